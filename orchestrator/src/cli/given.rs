//! What a plan is given on the command line: parameters, and files that hold secrets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshproof_proto::limits::SECRET_MOST_BYTES;

use crate::beside;
use crate::local::mask_own_log;
use crate::plan::{Inputs, SecretInputs, Wanted};

/// Shared by every command that reads a plan.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Given {
    /// A parameter of the plan: `--param card=4000`. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
    /// A secret of the plan and the file that holds it: `--secret api-key@key.txt`. May be given several times. Without it,
    /// MESHPROOF_SECRET_API_KEY in the environment counts.
    #[arg(long = "secret", value_name = "NAME@FILE", value_parser = secret)]
    secrets: Vec<(String, PathBuf)>,
}

impl Given {
    /// The parameters, by name.
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        self.params.iter().cloned().collect()
    }

    /// The same without this secret, and without parameters: for a plan beside the one that they are for.
    pub(super) fn without(&self, secret: Option<&str>) -> Self {
        let mut secrets = self.secrets.clone();
        secrets.retain(|(name, _)| Some(name.as_str()) != secret);
        Self { params: Vec::new(), secrets }
    }

    /// Everything that the plan in this folder is given. `Err` says what cannot be read.
    pub(super) fn inputs(&self, plan_dir: &Path, wanted: Wanted) -> Result<Inputs, String> {
        let mut given = BTreeMap::new();
        for (name, file) in &self.secrets {
            let value = read(file)
                .map_err(|error| format!("cannot read the secret `{name}` from {}: {error}", file.display()))?;
            if given.insert(name.clone(), value).is_some() {
                return Err(format!("the secret `{name}` is given twice"));
            }
        }
        // What is not text cannot be looked up by name.
        let environment = std::env::vars_os();
        let environment =
            environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let secrets = SecretInputs { given, environment: environment.collect(), wanted };
        // from here on, whatever goes wrong
        mask_own_log(Arc::new(secrets.masker()));
        Ok(Inputs {
            dir: plan_dir.to_string_lossy().into_owned(),
            params: self.params(),
            secrets,
            read_file: Some(beside::read),
        })
    }
}

/// The text of a file, without the line end that editors and `echo` leave there.
fn read(file: &Path) -> io::Result<String> {
    // One more than is masked, so that a larger one is refused for its size and not cut.
    let most = SECRET_MOST_BYTES as u64 + 3;
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8(bytes)
        .map_err(|_| io::Error::other("it is not text (UTF-8); encode it, in base64 for example"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// `name=value` of a `--param`.
fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("`NAME=VALUE` was expected, as in `--param card=4000`".to_owned()),
    }
}

/// `name@file` of a `--secret`.
fn secret(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('@') {
        Some((name, file)) if !name.is_empty() && !name.contains('=') && !file.is_empty() => {
            Ok((name.to_owned(), file.into()))
        }
        _ => Err(
            "`NAME@FILE` was expected, as in `--secret api-key@key.txt`; a value on the command line could be read by \
                  everybody on this machine"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(content).expect("room for it");
        file
    }

    #[test]
    fn a_secret_is_a_file_whose_last_line_end_does_not_count() {
        for (content, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a b", "a b"), ("", "")] {
            assert_eq!(read(file(content.as_bytes()).path()).expect("text"), value);
        }
        assert!(read(file(&[0xff, 0xfe]).path()).is_err());
        assert_eq!(read(file(&vec![b'x'; 1_000_000]).path()).expect("text").len(), SECRET_MOST_BYTES + 3);
    }

    #[test]
    fn a_value_never_stands_on_the_command_line() {
        assert_eq!(secret("key@dir/k@y"), Ok(("key".to_owned(), "dir/k@y".into())));
        for wrong in ["key", "key=hunter2", "key=a@b", "@file", "key@"] {
            let refused = secret(wrong).expect_err(wrong);
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
