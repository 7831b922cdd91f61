//! Words of other tools, for people who come from there: what they are called in a plan.

const NO_REDIRECTS: &str = "no redirect is followed: it is an answer, with `expect: { status: 302, headers: { location: /new } }`, and what it \
                            leads to is a step of its own";

/// The other word, the word of a plan, and what is to be said of it where that word fits.
const WORDS: &[(&str, &str, &str)] = &[
    ("command", "exec", "a program is `exec: { argv: [PROGRAM, ARGUMENT] }`"),
    ("entrypoint", "exec", "a program is `exec: { argv: [PROGRAM, ARGUMENT] }`"),
    ("run", "exec", "a program is `exec: { argv: [PROGRAM, ARGUMENT] }`, a line for a shell `exec: { shell: LINE }`"),
    ("script", "exec", "a line for a shell is `exec: { shell: LINE }`"),
    ("cmd", "argv", "a program and its arguments are a list: `argv: [PROGRAM, ARGUMENT]`"),
    ("args", "argv", "a program and its arguments are one list: `argv: [PROGRAM, ARGUMENT]`"),
    ("environment", "env", "variables are `env: { NAME: VALUE }`"),
    ("depends_on", "needs", "what has to be ready before is `needs: [SERVICE]`"),
    ("dependencies", "needs", "what has to be ready before is `needs: [SERVICE]`"),
    ("healthcheck", "ready", "when a service is ready is said by a step: `ready: { http: { get: /healthz } }`"),
    ("readiness", "ready", "when a service is ready is said by a step: `ready: { http: { get: /healthz } }`"),
    ("volumes", "files", "files in a service's folder are `files: { PATH: TEXT }`"),
    ("name", "id", "it is called by its `id`"),
    ("before", "steady", "what must hold before the first step is `steady`, what needs doing is the first step"),
    ("finally", "after", "steps that always run are `after`"),
    ("teardown", "after", "steps that always run are `after`"),
    ("cleanup", "after", "steps that always run are `after`"),
    ("assert", "expect", "what must come back is `expect`"),
    ("asserts", "expect", "what must come back is `expect`"),
    ("check", "expect", "what must come back is `expect`"),
    ("capture", "save", "what later steps need is `save: { NAME: $.path }`"),
    ("captures", "save", "what later steps need is `save: { NAME: $.path }`"),
    ("extract", "save", "what later steps need is `save: { NAME: $.path }`"),
    ("register", "save", "what later steps need is `save: { NAME: $.path }`"),
    ("if", "when", "whether a step runs is said by `when`"),
    ("sleep", "eventually", "there is no sleep: `eventually: 30s` repeats a step until it holds"),
    ("wait", "eventually", "there is no wait: `eventually: 30s` repeats a step until it holds"),
    ("retry", "eventually", "`eventually: 30s` repeats a step until it holds"),
    ("retries", "eventually", "`eventually: 30s` repeats a step until it holds"),
    ("interval", "eventually", "how often is not said: `eventually: 30s` tries after growing waits, or is woken"),
    ("period", "eventually", "how often is not said: `eventually: 30s` tries after growing waits, or is woken"),
    ("attempts", "eventually", "how often is not said: `eventually: 30s` tries until it holds"),
    ("timeout", "within", "`within` bounds one attempt of a step, `eventually` repeats it until it holds"),
    ("duration", "for", "how long it lasts is `for`"),
    ("loop", "repeat", "steps that run again are `repeat: { times: N, steps: […] }`"),
    ("log", "say", "a line for people is `say`"),
    ("print", "say", "a line for people is `say`"),
    ("echo", "say", "a line for people is `say`"),
    ("url", "get", "a call is its method and a path, `get: /path`; which service is meant says `to` beside `http`"),
    ("method", "get", "a call is its method and a path, as `post: /path`"),
    ("follow", "get", NO_REDIRECTS),
    ("redirect", "get", NO_REDIRECTS),
    ("redirects", "get", NO_REDIRECTS),
    ("follow-redirects", "get", NO_REDIRECTS),
    ("data", "body", "what is sent is `json` or `body`"),
    ("form", "body", "what is sent is `json` or `body`"),
    ("request", "when", "what a route takes is `when`, what it answers `reply`"),
    ("response", "reply", "what a route takes is `when`, what it answers `reply`"),
    ("then", "reply", "what a route takes is `when`, what it answers `reply`"),
    ("delay", "latency", "what comes later has a `latency`"),
    ("rate", "bandwidth", "how much passes is `bandwidth: 2mbit`"),
    ("drop", "loss", "what is lost is `loss: 100%`"),
    ("code", "status", "the number of an answer is its `status`"),
];

/// What to say of a key that the plan does not have, where one of these can stand.
pub fn hint(found: &str, fits: impl Fn(&str) -> bool) -> Option<&'static str> {
    WORDS.iter().find(|(other, ours, _)| *other == found && fits(ours)).map(|(.., hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_another_tool_is_told_only_where_ours_fits() {
        assert!(hint("depends_on", |word| word == "needs").is_some_and(|hint| hint.contains("needs: [SERVICE]")));
        assert_eq!(hint("depends_on", |word| word == "exec"), None);
        assert_eq!(hint("quantum", |_| true), None);
    }
}
