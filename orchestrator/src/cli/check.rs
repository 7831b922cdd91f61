//! `meshproof check`, `meshproof explain`, and reading a plan for every command that needs one.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use meshproof_proto::verdict::Exit;

use crate::plan::{self, Checked, Code, Inputs, Look, Plan, Source};

/// The arguments of `meshproof check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file.
    plan: PathBuf,
    /// A parameter of the plan: `--param card=4000`. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
}

/// `name=value` of a `--param`.
pub(super) fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("`NAME=VALUE` was expected, as in `--param card=4000`".to_owned()),
    }
}

/// Checks a plan and starts nothing.
pub(super) fn check(args: &Args) -> Exit {
    match read(&args.plan, &args.params) {
        Ok((plan, _)) => {
            let steps: usize = plan.tests.iter().map(|test| test.steps.len() + test.after.len()).sum();
            println!("{}: {} tests, {steps} steps, nothing wrong", args.plan.display(), plan.tests.len());
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

/// Explains a code of a diagnostic.
pub(super) fn explain(code: &str) -> Exit {
    match Code::parse(code) {
        Some(code) => {
            println!("{code}: {}\n\n{}", code.title(), code.explanation());
            Exit::Passed
        }
        None => {
            eprintln!("meshproof: there is no code `{code}`; codes look like MP0107");
            Exit::Usage
        }
    }
}

/// Reads a plan, or prints what is wrong with it.
pub(super) fn read(path: &Path, params: &[(String, String)]) -> Result<(Plan, Source), Exit> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        eprintln!("meshproof: cannot read the plan {shown}: {error}");
        Exit::Usage
    })?;
    let dir = plan_dir(path).map_err(|error| {
        eprintln!("meshproof: cannot tell the folder of the plan {shown}: {error}");
        Exit::Usage
    })?;
    let inputs = Inputs { dir: dir.to_string_lossy().into_owned(), params: params.iter().cloned().collect() };
    let Checked { source, plan } = plan::check(&shown.to_string(), &bytes, &inputs);
    match plan {
        Ok(plan) => Ok((plan, source)),
        Err(mistakes) => {
            let look = if std::io::stderr().is_terminal() { Look::Fancy } else { Look::Plain };
            eprint!("{}", mistakes.render(&source, look));
            Err(Exit::InvalidPlan)
        }
    }
}

/// The absolute folder of a plan.
pub(super) fn plan_dir(path: &Path) -> std::io::Result<PathBuf> {
    let file = std::path::absolute(path)?;
    let dir = file.parent().unwrap_or(Path::new("/"));
    dir.canonicalize()
}
