//! How a run is run again: with the arguments it had, in the folder it was started in, with its seed.

use std::path::PathBuf;

use meshproof_proto::verdict::Exit;
use thiserror::Error;

use super::brief::Brief;

/// What `meshproof` is to be started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    pub directory: PathBuf,
    /// From `run` on.
    pub arguments: Vec<String>,
}

/// It cannot be run again.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RerunError {
    #[error("{0} was not started by `meshproof run`, or by one that did not yet write down how")]
    Unknown(String),
    #[error("every test of {0} passed; leave out --failed to run all of them again")]
    NoneFailed(String),
    #[error("an argument of {0} was a secret, which nobody wrote down; run it by hand")]
    Secret(String),
}

impl RerunError {
    /// What the command exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoneFailed(_) => Exit::NothingSelected,
            Self::Unknown(_) | Self::Secret(_) => Exit::Usage,
        }
    }
}

/// Which tests are run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that were asked for.
    Same,
    /// Of them those that did not pass.
    Failed,
}

/// Options of `run` that stand there once; said anew, the new one counts.
const ONCE: [&str; 11] = [
    "--out",
    "--seed",
    "--repeat",
    "--progress",
    "--status-level",
    "--failure-output",
    "--deadline",
    "--flaky",
    "--keep-runs",
    "--keep-days",
    "--keep-size",
];

/// How the run is run again, with more arguments. Its reports go elsewhere: those of the first stay.
///
/// # Errors
/// Nobody wrote down how it was started, or there is nothing to run again.
pub fn again(brief: &Brief, which: Which, more: &[String]) -> Result<Again, RerunError> {
    let unknown = || RerunError::Unknown(brief.run.clone());
    let how = brief.invocation.as_ref().filter(|how| !how.arguments.is_empty()).ok_or_else(unknown)?;
    if how.arguments.iter().any(|argument| argument.contains("***")) {
        return Err(RerunError::Secret(brief.run.clone()));
    }
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(without(&how.arguments, &["--out", "--seed"]));
    if which == Which::Failed {
        let failed: Vec<&str> = brief.not_passed().collect();
        if failed.is_empty() {
            return Err(RerunError::NoneFailed(brief.run.clone()));
        }
        arguments = without(&arguments, &["--test", "--repeat"]);
        // `t#3` is the third time of `t`
        let mut tests: Vec<&str> = failed.iter().map(|test| test.split('#').next().unwrap_or(test)).collect();
        tests.dedup();
        arguments.extend(tests.iter().map(|test| format!("--test={test}")));
    }
    arguments.push(format!("--seed={}", brief.seed));
    let anew: Vec<&str> = ONCE.into_iter().filter(|once| more.iter().any(|argument| name(argument) == *once)).collect();
    arguments = without(&arguments, &anew);
    arguments.extend_from_slice(more);
    Ok(Again { directory: PathBuf::from(&how.directory), arguments })
}

/// The arguments without these options and their values.
fn without(arguments: &[String], options: &[&str]) -> Vec<String> {
    let mut left = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if !options.contains(&name(argument)) {
            left.push(argument.clone());
        } else if name(argument) == argument {
            rest.next();
        }
    }
    left
}

/// `--out` of `--out=DIR`.
fn name(argument: &str) -> &str {
    argument.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshproof_proto::verdict::Verdict;

    use super::*;
    use crate::record::Invocation;

    fn brief(arguments: &[&str]) -> Brief {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Brief {
            seed: 7,
            tests: BTreeMap::from([
                ("good".to_owned(), Some(Verdict::Pass)),
                ("bad#1".to_owned(), Some(Verdict::Fail)),
                ("bad#2".to_owned(), Some(Verdict::Fail)),
                ("late".to_owned(), None),
            ]),
            invocation: Some(Invocation {
                directory: "/src".to_owned(),
                arguments: words(arguments),
                ..Invocation::default()
            }),
            ..Brief::named("r-1")
        }
    }

    fn arguments(of: &[&str], which: Which, more: &[&str]) -> String {
        let more: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
        again(&brief(of), which, &more).expect("it can be").arguments.join(" ")
    }

    #[test]
    fn the_same_again_is_the_same_seed_and_not_the_same_folder() {
        let of = ["plan.yaml", "--out", "here", "--param", "a=b", "--test=x"];
        assert_eq!(arguments(&of, Which::Same, &[]), "run plan.yaml --param a=b --test=x --seed=7");
        assert_eq!(arguments(&of, Which::Same, &["--seed", "8"]), "run plan.yaml --param a=b --test=x --seed 8");
        assert_eq!(arguments(&["--seed=7", "p"], Which::Same, &["--out=o"]), "run p --seed=7 --out=o");
    }

    #[test]
    fn failed_means_the_tests_that_did_not_pass_each_once() {
        let of = ["plan.yaml", "--test", "*", "--repeat=2"];
        assert_eq!(arguments(&of, Which::Failed, &[]), "run plan.yaml --test=bad --test=late --seed=7");
        let mut passed = brief(&of);
        passed.tests.retain(|_, verdict| *verdict == Some(Verdict::Pass));
        assert_eq!(again(&passed, Which::Failed, &[]), Err(RerunError::NoneFailed("r-1".to_owned())));
    }

    #[test]
    fn what_nobody_wrote_down_or_may_write_down_is_said() {
        assert_eq!(again(&brief(&[]), Which::Same, &[]), Err(RerunError::Unknown("r-1".to_owned())));
        let secret = brief(&["p", "--param", "key=***api-key***"]);
        assert_eq!(again(&secret, Which::Same, &[]), Err(RerunError::Secret("r-1".to_owned())));
    }
}
