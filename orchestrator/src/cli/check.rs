//! `meshproof check`, `meshproof explain`, and reading a plan for every command that needs one.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use meshproof_proto::verdict::Exit;

use super::commits::then_of;
use super::given::Given;
use crate::plan::compiled::commits::Commits;
use crate::plan::{self, Checked, Code, Diagnostic, Look, Mistakes, Plan, Source, Spanned, Wanted};
use crate::report::sanitise;
use crate::report::summary::counted;
use crate::say;

/// The arguments of `meshproof check`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof check plan.yaml\n  meshproof check plan.yaml --param peers=50    with what the plan is to be given",
    after_help = "Exit codes: 0 nothing is wrong, 2 usage, 3 invalid plan."
)]
pub(super) struct Args {
    /// The plan file.
    plan: PathBuf,
    #[command(flatten)]
    given: Given,
}

/// Checks a plan and starts nothing.
pub(super) fn check(args: &Args) -> Exit {
    match read(&args.plan, &args.given, Wanted::Names) {
        Ok((plan, source)) => {
            if let Some(form) = &plan.commits {
                return commits(args, form);
            }
            let left = left_to_build(&plan, &source);
            say::result(&(sound(&args.plan, &plan) + &left))
        }
        Err(exit) => exit,
    }
}

/// A plan of commits, and the plan that runs for each.
fn commits(args: &Args, form: &Commits) -> Exit {
    let dir = match plan_dir(&args.plan) {
        Ok(dir) => dir,
        Err(error) => return say::failed(&error, Exit::Usage),
    };
    let then = match then_of(form, (&dir, &args.given), Wanted::Names) {
        Ok(then) => then,
        Err(exit) => return exit,
    };
    let of_each = then.zip(form.then.as_ref()).map(|(then, named)| sound(Path::new(&named.value), &then.plan));
    let text = format!("{}: commits of {}, nothing wrong\n", args.plan.display(), form.repo);
    say::result(&(text + &of_each.unwrap_or_default()))
}

fn sound(path: &Path, plan: &Plan) -> String {
    let steps: usize = plan.tests.iter().map(|test| test.steps.len() + test.after.len()).sum();
    let (tests, steps) = (counted(plan.tests.len(), "test"), counted(steps, "step"));
    format!("{}: {tests}, {steps}, nothing wrong\n", path.display())
}

/// Files that are not there, a line each: the build may make them.
pub(super) fn left_to_build(plan: &Plan, source: &Source) -> String {
    let line = |file: &Spanned<String>| {
        let (place, file) = (source.place(file.span), sanitise::line(&file.value));
        format!("{place}: there is no file {file} beside the plan yet; its build has to make it\n")
    };
    plan.left_to_build.iter().map(line).collect()
}

/// Explains a code of a diagnostic.
pub(super) fn explain(code: &str) -> Exit {
    match Code::parse(code) {
        Some(code) => say::result(&format!("{code}: {}\n\n{}\n", code.title(), code.explanation())),
        None => say::failed(&format!("there is no code `{code}`; codes look like MP0107"), Exit::Usage),
    }
}

/// Reads a plan, or prints what is wrong with it. What is to run needs the values of its secrets.
pub(super) fn read(path: &Path, given: &Given, wanted: Wanted) -> Result<(Plan, Source), Exit> {
    let shown = path.display();
    let usage = |why: String| say::failed(&why, Exit::Usage);
    let bytes = std::fs::read(path).map_err(|error| usage(format!("cannot read the plan {shown}: {error}")))?;
    let dir = plan_dir(path).map_err(|error| usage(format!("cannot tell the folder of the plan {shown}: {error}")))?;
    let inputs = given.inputs(&dir, wanted).map_err(usage)?;
    let Checked { source, plan } = plan::check(&shown.to_string(), &bytes, &inputs);
    match plan {
        Ok(plan) => Ok((plan, source)),
        Err(mistakes) => show(&mistakes, &source),
    }
}

/// The plan for services of one kind, or what of it they do not allow.
pub(super) fn allowed(
    plan: Result<Plan, Vec<Diagnostic>>,
    (source, path, given): (&Source, &Path, &Given),
) -> Result<Plan, Exit> {
    let usage = |why: String| say::failed(&why, Exit::Usage);
    plan.or_else(|found| {
        let dir = plan_dir(path).map_err(|error| usage(error.to_string()))?;
        let inputs = given.inputs(&dir, Wanted::Names).map_err(usage)?;
        show(&Mistakes::of(found, &inputs), source)
    })
}

fn show<T>(mistakes: &Mistakes, source: &Source) -> Result<T, Exit> {
    let look = if std::io::stderr().is_terminal() { Look::Fancy } else { Look::Plain };
    say::beside(&mistakes.render(source, look));
    Err(Exit::InvalidPlan)
}

/// The absolute folder of a plan.
pub(super) fn plan_dir(path: &Path) -> std::io::Result<PathBuf> {
    let file = std::path::absolute(path)?;
    let dir = file.parent().unwrap_or(Path::new("/"));
    dir.canonicalize()
}
