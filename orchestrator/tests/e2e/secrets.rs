//! Secrets reach who uses them, and nobody else gets to see them: a service shows its own in every way that it can think of, and
//! then every file and every line that the run left is searched for them.

use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use meshproof_proto::id::Digest;
use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{Scene, has_python, root};
use crate::session::{Session, Shown};

const PLAN: &str = "testdata/secrets/plan.yaml";

/// Of each a part that stands in no ordinary text is enough to know it by.
const LEAST: usize = 6;

/// What is looked for: a secret, and pieces of it.
struct Canary {
    name: &'static str,
    value: String,
}

impl Canary {
    /// Another one for each seed, with everything that encodings change.
    fn of(name: &'static str, seed: &str) -> Self {
        let digits = Digest::of(format!("{name} {seed}").as_bytes()).to_string();
        Self { name, value: format!("{}\"\\+/=%&<~ {}", &digits[..12], &digits[12..20]) }
    }

    /// The text, a part of it, and both in the usual encodings, without what an encoding says of the text around it.
    fn forms(&self) -> Vec<String> {
        let bytes = self.value.as_bytes();
        let mut forms = vec![HEXLOWER.encode(bytes), HEXUPPER.encode(bytes), percent(&self.value)];
        let quoted = serde_json::to_string(&self.value).expect("text");
        forms.push(quoted.trim_matches('"').to_owned());
        for at in 0..=bytes.len() - LEAST {
            let part = &bytes[at..at + LEAST];
            forms.push(String::from_utf8_lossy(part).into_owned());
            forms.push(HEXLOWER.encode(part));
            forms.push(HEXUPPER.encode(part));
            forms.push(part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"));
            forms.push(part.iter().map(|byte| format!("\\u{byte:04x}")).collect());
        }
        for skipped in 0..3 {
            // Digits that depend on this secret alone: those at its ends mix with the text around it.
            let whole = &bytes[skipped..skipped + (bytes.len() - skipped) / 3 * 3];
            for encoded in [BASE64.encode(whole), BASE64URL_NOPAD.encode(whole)] {
                forms.extend(encoded.as_bytes().windows(10).map(|part| String::from_utf8_lossy(part).into_owned()));
            }
        }
        forms
    }

    fn found_in(&self, text: &str) -> Option<String> {
        self.forms().into_iter().find(|form| text.contains(form.as_str()))
    }
}

fn percent(text: &str) -> String {
    let one = |byte: u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}

/// Every file below a folder with its content.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file of the run");
            all.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    all
}

fn seed() -> String {
    std::env::var("MESHPROOF_SECRETS_SEED").unwrap_or_else(|_| format!("{:?}", std::time::SystemTime::now()))
}

fn run(scene: &Scene, progress: &str, canaries: &[&Canary; 2]) -> crate::session::Ended {
    let [token, pepper] = canaries;
    let file = scene.path().join("token");
    std::fs::write(&file, format!("{}\n", token.value)).expect("room for a secret");
    let mut command = scene.run_command(Path::new(PLAN), progress);
    command.arg("--secret").arg(format!("token@{}", file.display()));
    command.arg("--param").arg(format!("digest={}", Digest::of(token.value.as_bytes())));
    command.env("VAULT_PEPPER", &pepper.value);
    // whatever any library tells, too
    command.env("MESHPROOF_LOG", "trace");
    let shown = if progress == "json" { Shown::Records } else { Shown::Text };
    Session::start(command, shown).end()
}

#[test]
fn a_secret_reaches_who_uses_it_and_is_in_nothing_that_a_run_leaves_in_any_encoding() {
    if !has_python() {
        return;
    }
    let seed = seed();
    println!("MESHPROOF_SECRETS_SEED={seed:?}");
    let [token, pepper] = [Canary::of("token", &seed), Canary::of("pepper", &seed)];
    for progress in ["plain", "json"] {
        let scene = Scene::new();
        let ended = run(&scene, progress, &[&token, &pepper]);
        ended.assert_code(1);
        scene.assert_nothing_left();
        let journal = Journal::read(&scene.out());
        let verdict = |test: &str| {
            let ended =
                journal.all("test-ended").find(|ended| ended["test"] == test).map(|ended| ended["verdict"].clone());
            ended.unwrap_or(Value::Null)
        };
        assert_eq!(verdict("it-is-the-right-one"), "pass", "{}", ended.all());
        let others: Vec<&Value> = journal.all("test-ended").filter(|ended| ended["verdict"] == "fail").collect();
        assert_eq!(others.len(), 8, "each of the others shows a secret and fails:\n{}", ended.all());
        let mut everything = files(&scene.out());
        let names: Vec<&str> = everything.iter().map(|(name, _)| name.as_str()).collect();
        for wanted in ["events.jsonl", "junit.xml", "logs/vault/stdout.log", "logs/vault/audit.log", "vault/state.bin"]
        {
            assert!(names.iter().any(|name| name.ends_with(wanted)), "{wanted} is missing: {names:?}");
        }
        everything.push(("stdout".to_owned(), ended.stdout()));
        everything.push(("stderr".to_owned(), ended.stderr()));
        for (name, text) in &everything {
            for canary in [&token, &pepper] {
                if let Some(form) = canary.found_in(text) {
                    let at = text.find(&form).expect("it was found");
                    let around = &text[text.floor_char_boundary(at.saturating_sub(200))
                        ..text.ceil_char_boundary((at + 200).min(text.len()))];
                    panic!("{name} shows {} as {form:?}: …{around}…", canary.name);
                }
            }
            assert!(!text.contains("PRIVATE KEY-----"), "{name} shows a private key of the run's authority");
        }
        let all: String = everything.into_iter().map(|(_, text)| text).collect();
        for name in ["***token***", "***pepper***", "***tls.vault.key***"] {
            assert!(all.contains(name), "{name} stands where a secret was");
        }
    }
}

#[test]
fn what_looks_for_secrets_finds_them_in_every_encoding_and_in_nothing_else() {
    let seed = seed();
    println!("MESHPROOF_SECRETS_SEED={seed:?}");
    let token = Canary::of("token", &seed);
    let quoted = serde_json::to_string(&token.value).expect("text");
    let mut written = vec![quoted, percent(&token.value), token.value[..LEAST].to_owned()];
    for before in ["", "a", "ab"] {
        let text = format!("{before}{} and more", token.value);
        written.extend([
            BASE64.encode(text.as_bytes()),
            HEXLOWER.encode(text.as_bytes()),
            HEXUPPER.encode(text.as_bytes()),
        ]);
        written.push(BASE64URL_NOPAD.encode(text.as_bytes()));
    }
    for text in written {
        assert!(token.found_in(&format!("it is {text} here")).is_some(), "{text}");
    }
    assert_eq!(token.found_in(&std::fs::read_to_string(root().join(PLAN)).expect("the plan")), None);
}

#[test]
fn check_and_dry_run_need_no_values_and_a_run_says_which_are_missing() {
    let scene = Scene::new();
    let said = |arguments: &[&str]| {
        let mut command = scene.meshproof();
        command.args(arguments).arg(PLAN).args(["--param", "digest=x"]);
        let output = command.output().expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    assert_eq!(said(&["check"]).0, Some(0));
    let (code, text) = said(&["run", "--dry-run"]);
    assert!(code == Some(0) && text.contains("secret token\n") && text.contains("secret pepper\n"), "{text}");
    let (code, text) = said(&["run"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("MP0310") && text.contains("--secret token@FILE, or MESHPROOF_SECRET_TOKEN"), "{text}");
    assert!(text.contains("or VAULT_PEPPER in the environment"), "{text}");
    let (code, text) = said(&["run", "--secret", "token=hunter2"]);
    assert!(code == Some(2) && text.contains("NAME@FILE"), "{text}");
    let (code, text) = said(&["run", "--secret", "token@no-such-file"]);
    assert!(code == Some(2) && text.contains("cannot read the secret `token` from no-such-file"), "{text}");
    let file = root().join("testdata/secrets/vault.py");
    let (code, text) = said(&["run", "--secret", &format!("tokne@{}", file.display())]);
    assert!(code == Some(3) && text.contains("did you mean `token`"), "{text}");
}
