//! The codes of all diagnostics: stable numbers that `meshproof explain` knows. A number is never used again for
//! something else. 01xx is about the text, 02xx about values, 03xx about names, 04xx about steps.

use std::fmt;

/// What is wrong, as a stable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    YamlSyntax,
    UnquotedExpression,
    TooLarge,
    DuplicateKey,
    ForbiddenCharacter,
    UnknownKey,
    MissingKey,
    WrongType,
    YamlFeature,
    NotYet,
    EmptyPlan,
    LanguageVersion,
    Unsupported,
    BareNumber,
    Unit,
    OutOfRange,
    Choice,
    Name,
    Empty,
    NumberLosesDigits,
    Pattern,
    Path,
    Expression,
    UnusableSecret,
    FileBeside,
    UnknownService,
    UnknownPort,
    UnknownStub,
    UnknownRoute,
    UnknownFault,
    UnknownLog,
    UnknownName,
    DuplicateName,
    Cycle,
    MissingSecret,
    NoVerb,
    SeveralVerbs,
    Modifier,
    NobodyActs,
    FaultTarget,
    FaultEffect,
    Check,
    NoPath,
}

/// One line of the table: a code, its number, its title, its explanation.
struct Entry(Code, u16, &'static str, &'static str);

const TABLE: &[Entry] = &[
    Entry(
        Code::YamlSyntax,
        101,
        "this is not YAML",
        "The file could not be read as YAML 1.2. Syntax errors come one at a time, because what follows one cannot be trusted. \
         Often a value inside `{ }` or `[ ]` needs quotes: any that contains , : # { } [ ]. Tabs cannot indent.",
    ),
    Entry(
        Code::UnquotedExpression,
        102,
        "an expression needs quotes here",
        "Inside `{ }` and `[ ]` YAML reads the braces of `${{ … }}` as its own. Put the value in double quotes: \
         `{ url: \"${{ stubs.payments.url }}\" }`. Outside of them quotes are optional, and always allowed.",
    ),
    Entry(
        Code::TooLarge,
        103,
        "the plan is too large",
        "A plan has limits on its size, its nesting and its number of values, so that a file from a stranger cannot exhaust \
         the machine. Aliases count as copies. To repeat a step use `repeat` or `matrix`; to send much data use `stream`.",
    ),
    Entry(
        Code::DuplicateKey,
        104,
        "a key stands twice in one map",
        "YAML requires the keys of a map to differ. Remove one, or give one another name.",
    ),
    Entry(
        Code::ForbiddenCharacter,
        105,
        "a character may not stand in a plan",
        "Control characters, NUL, characters that reverse the order of text, and bytes that are not UTF-8 are refused: \
         they make a plan look like something it is not, or end it early in other programs. The value of a header has one line.",
    ),
    Entry(
        Code::UnknownKey,
        106,
        "an unknown key",
        "Every key of a plan means something, so an unknown one is a slip that would otherwise be ignored in silence. \
         Modifiers (id, at, to, expect, save, within, eventually, when, optional, idempotent) stand on the step, \
         beside the verb and never inside it.",
    ),
    Entry(
        Code::MissingKey,
        107,
        "a key is missing",
        "What is written here cannot work without the named key. Nothing is guessed that could be guessed wrongly.",
    ),
    Entry(
        Code::WrongType,
        108,
        "a value of the wrong type",
        "For example a list where text belongs. Quotes make text of a number: `\"4242\"` is text, `4242` is a number.",
    ),
    Entry(
        Code::YamlFeature,
        109,
        "a part of YAML that plans do not use",
        "Tags, directives, several documents in one file, and maps or lists as keys have no meaning in a plan. \
         Anchors and aliases work.",
    ),
    Entry(
        Code::NotYet,
        110,
        "this version cannot do that yet",
        "The key or verb belongs to the plan language, but this version of meshproof does not carry it out. \
         It is refused rather than ignored, so that a pass never rests on something that did not happen.",
    ),
    Entry(
        Code::EmptyPlan,
        111,
        "there is no plan here",
        "The file has no content. `meshproof init` writes a small plan to begin with.",
    ),
    Entry(
        Code::LanguageVersion,
        112,
        "an unknown version of the plan language",
        "A plan begins with `meshproof: 1`, the version of the language it is written in.",
    ),
    Entry(
        Code::Unsupported,
        113,
        "unsupported",
        "A stub or a step cannot do this in the way that the real thing does, so it is refused. Something like it, done \
         approximately, would make a test pass that proves nothing: request collapsing in a stub, for example, which answers \
         every call by itself.",
    ),
    Entry(
        Code::BareNumber,
        201,
        "a bare number where a unit belongs",
        "Durations, sizes, rates, bandwidths and percentages carry their unit: 800ms, 64KiB, 500/s, 10mbit, 5%. \
         A bare number would be read in one unit by its writer and in another by the tool. Zero is no exception: 0s.",
    ),
    Entry(
        Code::Unit,
        202,
        "a quantity that cannot be read",
        "A quantity is a number directly followed by its unit. Durations: us ms s m h d (1m30s works). Sizes: B KiB MiB GiB. \
         Bandwidth: kbit mbit gbit. Rates: /s /m. Shares: %.",
    ),
    Entry(
        Code::OutOfRange,
        203,
        "a value outside of what is possible",
        "The value has the right form and cannot be: a loss of 200%, a port above 65535 or of two services at once, a timeout of years.",
    ),
    Entry(Code::Choice, 204, "not one of the choices", "The key takes one of a few words, which the message lists."),
    Entry(
        Code::Name,
        205,
        "this cannot be a name",
        "Names consist of letters, digits, `-` and `_`, begin with a letter, and have at most 63 characters: they become \
         host names, file names and variables.",
    ),
    Entry(
        Code::Empty,
        206,
        "something is empty that cannot be",
        "An empty command, an empty list of steps or an empty text here would do nothing, and a test that does nothing passes.",
    ),
    Entry(
        Code::NumberLosesDigits,
        207,
        "a number that would change when read",
        "Numbers with leading zeros or more digits than fit are changed by being read as numbers. If it is an \
         identifier, put it in quotes; it is text then.",
    ),
    Entry(
        Code::Pattern,
        208,
        "a pattern that cannot be read",
        "Between slashes stands a regular expression (syntax of Rust's regex crate: no look-around, no back-references). \
         A key of a JSON matcher that begins with `$` is a JSONPath after RFC 9535. A comparison is `<`, `<=`, `>` or `>=` and a quantity.",
    ),
    Entry(
        Code::Path,
        209,
        "a path that leaves its folder",
        "Files of a service live in its own working directory and are named relative to it, without `..`. The target \
         of an http verb begins with `/`; which service it goes to is said by `to`.",
    ),
    Entry(
        Code::Expression,
        210,
        "an expression that cannot be read",
        "`${{ … }}` holds a look-up, optionally followed by filters: `${{ stubs.payments.url }}`, `${{ order | upper }}`. \
         There are no loops, no arithmetic and no side effects.",
    ),
    Entry(
        Code::UnusableSecret,
        211,
        "a secret that cannot be masked",
        "What is told of a run never shows a secret, so one that cannot be found again in what services print is refused: an empty one, \
         one that is so short that it would be found in every word (fewer than 6 bytes), one that is very large (more than 16 KiB). \
         A value that everybody may see is a parameter. The last line end of a `--secret` file does not count.",
    ),
    Entry(
        Code::FileBeside,
        212,
        "a file beside the plan that cannot be used",
        "What a plan names with `from`, `proto`, `file`, `ca`, `cert` and `key` are files relative to the plan's folder. They are looked at \
         before anything starts: each is there and can be read, descriptions have all that they import and the method that is called, \
         records are JSON, certificates and keys are PEM. In a plan with a `build` one may be missing until it is built.",
    ),
    Entry(
        Code::UnknownService,
        301,
        "an unknown service",
        "`at`, `to`, `needs` and traffic name services of this plan, those under `services:`.",
    ),
    Entry(
        Code::UnknownPort,
        302,
        "an unknown or ambiguous port",
        "`to: shop` means the port named like the verb, else the only port. With several ports say `to: shop.admin`.",
    ),
    Entry(Code::UnknownStub, 303, "an unknown stub", "The name is none of those under `stubs:`."),
    Entry(Code::UnknownRoute, 304, "an unknown route", "The stub has no route with this `id`."),
    Entry(
        Code::UnknownFault,
        305,
        "an unknown fault",
        "`fault: NAME` and `heal: NAME` name faults under `faults:`, or by the `id` of a step that began one in place.",
    ),
    Entry(
        Code::UnknownLog,
        306,
        "an unknown log",
        "Logs are named `service.log`: `ledger.stdout`, `ledger.stderr`, or one of the service's `logs:`. `ledger` means \
         all logs of the service, `*` all logs of the run.",
    ),
    Entry(
        Code::UnknownName,
        307,
        "an unknown name in an expression",
        "Expressions look up params, secrets, services, stubs, plan, self (in a service), call and request (in a reply), record and \
         index (in a stream), and what earlier steps have saved.",
    ),
    Entry(
        Code::DuplicateName,
        308,
        "a name is used twice",
        "Ids of tests in a plan, of steps in a test, of routes in a stub, and the values of a matrix' axis must differ: results are filed \
         under them.",
    ),
    Entry(
        Code::Cycle,
        309,
        "services need each other in a circle",
        "`needs` says which services must be ready first, so a circle could never start. Addresses make no order: a service may \
         mention another's address without needing it.",
    ),
    Entry(
        Code::MissingSecret,
        310,
        "a secret has no value",
        "The plan mentions `${{ secrets.NAME }}`, and nobody gave it. Give it with `--secret NAME@FILE`, where the file holds the value, or \
         in the environment as MESHPROOF_SECRET_NAME (in capitals, `-` as `_`), or as the variable that `secrets:` names. Values never stand on \
         the command line or in the plan: both are seen by others. `check` and `run --dry-run` start nothing and need none.",
    ),
    Entry(
        Code::NoVerb,
        401,
        "a step without a verb",
        "A step is exactly one verb (http, tcp, exec, stream, expect, fault, heal, collect, say, …) plus modifiers. \
         `expect` is the verb only when it stands alone.",
    ),
    Entry(
        Code::SeveralVerbs,
        402,
        "a step with several verbs",
        "A step is exactly one verb. Write one step for each; they run one after the other.",
    ),
    Entry(
        Code::Modifier,
        403,
        "a modifier that does not fit here",
        "`for` belongs to `fault` and `freeze`, `prove` to `fault`. Modifiers stand on the step, beside the verb and never inside it.",
    ),
    Entry(
        Code::NobodyActs,
        404,
        "it is not said who acts, or on whom",
        "`at` is the agent that acts, `to` the service it is aimed at. With `to` alone, the agent beside that service acts. \
         http, tcp, grpc and ws need `to`, exec needs one of both, stream needs both.",
    ),
    Entry(
        Code::FaultTarget,
        405,
        "a fault needs exactly one target",
        "A fault disturbs one thing: `traffic: a -> b` (or `a <-> b`), `stub: name`, `service: name`, `link:` or `partition:`.",
    ),
    Entry(
        Code::FaultEffect,
        406,
        "a fault needs an effect that fits its target",
        "For example `latency: 800ms` or `loss: 100%`. A fault that does nothing would prove nothing.",
    ),
    Entry(
        Code::Check,
        407,
        "a check that does not fit its verb",
        "Each verb has its own results to check: http has status, headers, json, body, size, duration, error; tcp has line, \
         body, duration, error; exec has code, stdout, stderr, json, duration; grpc has code, message, json, duration, error; ws as tcp; stream has records, each, latency, duration, error.",
    ),
    Entry(
        Code::NoPath,
        408,
        "a fault on traffic that does not pass through the mesh",
        "A fault on traffic disturbs what passes through the mesh between two services: the calls of a service that was given \
         `${{ services.NAME.PORT }}`, and of http and tcp steps with `at` and `to`; not the records of `stream`. `.direct` is the address \
         past the mesh, where no fault applies. A fault between two services that never meet in the mesh would do nothing.",
    ),
];

impl Code {
    fn entry(self) -> &'static Entry {
        TABLE.iter().find(|entry| entry.0 == self).expect("every code stands in the table, as a test proves")
    }

    /// All codes, by number.
    pub fn all() -> impl Iterator<Item = Code> {
        TABLE.iter().map(|entry| entry.0)
    }

    /// The code of `MP0107`, `mp0107` or `107`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Code> {
        let digits = text.trim_start_matches(['M', 'm', 'P', 'p']);
        let number: u16 = digits.parse().ok()?;
        TABLE.iter().find(|entry| entry.1 == number).map(|entry| entry.0)
    }

    /// One line.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.entry().2
    }

    /// What `meshproof explain` says below the title.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        self.entry().3
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MP{:04}", self.entry().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_number_and_is_found_by_it() {
        let numbers: std::collections::BTreeSet<u16> = TABLE.iter().map(|entry| entry.1).collect();
        assert_eq!(numbers.len(), TABLE.len());
        assert_eq!(TABLE.len(), Code::NoPath as usize + 1, "a code is missing from the table");
        for code in Code::all() {
            assert_eq!(Code::parse(&code.to_string()), Some(code));
            assert!(!code.explanation().is_empty());
        }
        assert_eq!(Code::parse("MP9999"), None);
        assert_eq!(Code::parse("nonsense"), None);
    }
}
