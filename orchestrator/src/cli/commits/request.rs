//! What is asked for, by a command line or by a plan.

use std::path::Path;
use std::sync::Arc;

use meshproof_proto::verdict::Exit;

use super::{Common, usage};
use crate::cli::check;
use crate::cli::given::Given;
use crate::commits::git::Credentials;
use crate::commits::limits::WITHIN;
use crate::commits::request::{Check, Keep, Request, SKIP_EXIT, Then, What};
use crate::commits::search::Rule;
use crate::commits::template::Template;
use crate::commits::{repository, template};
use crate::plan::compiled::commits::{Commits, Which};
use crate::plan::model::commits as model;
use crate::plan::{Plan, Wanted};

/// What the command line asks for; else it was said what is wrong.
pub(super) fn request(what: What, common: &Common) -> Result<Request, Exit> {
    let place = repository::Place::of(&common.repo).map_err(usage)?;
    let credentials = common.credentials.as_deref().map(credentials).transpose().map_err(usage)?;
    let template = templated(common.template.as_deref(), &place)?;
    let run = line(&common.command).or_else(|| template.as_ref().map(|template| template.run.clone()));
    let why = "nothing says how a commit is tested: give the command after `--`, or --template TYPE";
    let run = run.ok_or_else(|| usage(why))?;
    let then = common.then.as_deref().map(|plan| then(plan, &common.given, Wanted::Values)).transpose()?;
    let build = common.build.clone().or_else(|| template.and_then(|template| template.build));
    let (skip_exit, within) = (common.skip_exit, common.within);
    let check = Check { build, run, skip_exit, within, overlay: common.overlay.clone(), then };
    Ok(Request {
        name: None,
        place,
        credentials,
        what,
        check,
        rule: Rule { repeat: common.repeat, bad_when: common.bad_when },
        flaky: common.flaky,
        parallel: common.parallel.unwrap_or(1) as usize,
        mesh: None,
        keep: common.keep_failed.map_or(Keep::Never, Keep::OnFailure),
    })
}

/// What a plan of this folder asks for; else it was said what is wrong.
pub(in crate::cli) fn of_plan(plan: &Plan, form: &Commits, (dir, given): (&Path, &Given)) -> Result<Request, Exit> {
    let place = match form.is_url {
        true => repository::Place::of(&form.repo).map_err(usage)?,
        false => repository::Place::Path(dir.join(&form.repo)),
    };
    let secret = form.credentials.as_deref();
    let value = plan.secrets.iter().find(|(name, _)| Some(*name) == secret);
    let credentials = value.map(|(_, value)| Credentials::of(value)).transpose().map_err(usage)?;
    let template = templated(form.template.as_deref(), &place)?;
    let run = form.run.clone().or_else(|| template.as_ref().map(|template| template.run.clone()));
    // The plan was read: without a template it has a check.
    let run = run.ok_or_else(|| usage("nothing says how a commit is tested"))?;
    let then = then_of(form, (dir, given), Wanted::Values)?;
    let check = Check {
        build: form.build.clone().or_else(|| template.and_then(|template| template.build)),
        run,
        skip_exit: form.skip_exit.map_or(SKIP_EXIT, i64::from),
        within: form.within.unwrap_or(WITHIN),
        overlay: form.overlay.clone(),
        then,
    };
    let what = match &form.which {
        Which::Bisect { good, bad } => What::Bisect { good: good.clone(), bad: bad.clone() },
        Which::Each(words) => What::Each(words.clone()),
    };
    let keep = match form.keep {
        None => Keep::Never,
        Some(model::Keep::OnFailure(time)) => Keep::OnFailure(time),
        Some(model::Keep::Always(time)) => Keep::Always(time),
    };
    let rule = Rule { repeat: form.repeat, bad_when: form.bad_when };
    let (name, parallel) = (Some(plan.name.to_string()), form.parallel);
    Ok(Request { name, place, credentials, what, check, rule, flaky: form.flaky, parallel, mesh: None, keep })
}

/// The plan that runs for each commit, if there is one; else it was said what is wrong with it.
pub(in crate::cli) fn then_of(
    form: &Commits,
    (dir, given): (&Path, &Given),
    wanted: Wanted,
) -> Result<Option<Then>, Exit> {
    let given = given.without(form.credentials.as_deref());
    form.then.as_ref().map(|plan| then(&dir.join(&plan.value), &given, wanted)).transpose()
}

fn templated(name: Option<&str>, place: &repository::Place) -> Result<Option<Template>, Exit> {
    let repository = match place {
        repository::Place::Path(path) => Some(path.as_path()),
        repository::Place::Url(_) => None,
    };
    let found = name.map(|name| template::template(name, repository, template::config().as_deref()));
    found.transpose().map_err(usage)
}

/// A plan that runs for each commit.
fn then(plan: &Path, given: &Given, wanted: Wanted) -> Result<Then, Exit> {
    let (read, source) = check::read(plan, given, wanted)?;
    if read.commits.is_some() {
        return Err(usage(format!(
            "{} is a plan of commits itself; what runs for each is a plan of tests",
            plan.display()
        )));
    }
    let read = check::allowed(read.at_home(), (&source, plan, given))?;
    Ok(Then { plan: Arc::new(read), source: Arc::new(source) })
}

fn credentials(file: &Path) -> Result<Credentials, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("cannot read the credentials in {}: {error}", file.display()))?;
    Credentials::of(&text).map_err(|error| format!("the credentials in {}: {error}", file.display()))
}

/// One argument is a line for a shell as it is; several are a program and its arguments.
fn line(command: &[String]) -> Option<String> {
    match command {
        [] => None,
        [line] => Some(line.clone()),
        words => Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
    }
}

fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_line_and_several_are_a_program_with_its_arguments() {
        let of = |words: &[&str]| line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["make test && ./e2e.sh"]).as_deref(), Some("make test && ./e2e.sh"));
        assert_eq!(of(&["pytest", "-k", "a or b's", ""]).as_deref(), Some("pytest -k 'a or b'\\''s' ''"));
    }
}
