//! `meshproof commits` and `meshproof bisect`.

mod elsewhere;
mod request;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshproof_proto::verdict::Exit;

use super::given::Given;
use super::history::{Keeping, Place};
use crate::commits::limits::{PARALLEL_MOST, REPEAT_MOST};
use crate::commits::request::{Request, SKIP_EXIT, What};
use crate::commits::search::BadWhen;
use crate::commits::{self, News, kept, report};
use crate::coordinator;
use crate::plan::Plan;
use crate::plan::compiled::commits::{Commits, Which};
use crate::record::now_ms;
use crate::report::sanitise;
use crate::report::style::Style;
use crate::report::summary::counted;
use crate::run::Flaky;
use crate::say;
pub(super) use elsewhere::ElsewhereArgs;
use request::request;
pub(super) use request::{of_plan, then_of};

/// What both commands take.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The repository: a folder, or a URL. One that is elsewhere is cloned once and updated after that.
    #[arg(long, value_name = "PATH|URL", default_value = ".")]
    repo: String,
    /// A file that holds `user:password`, or a token, for the repository's server.
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// How projects of this type are built and tested, where no command says: rust, go, node, python, make, or a file of yours.
    #[arg(long, value_name = "TYPE")]
    template: Option<String>,
    /// A line for a shell that builds the commit before its test. A commit that cannot be built is not counted as bad.
    #[arg(long, value_name = "LINE")]
    build: Option<String>,
    /// A file or folder of the present that is laid over each commit: today's tests, for example. May be given several times.
    #[arg(long, value_name = "PATH", value_parser = inside)]
    overlay: Vec<String>,
    /// The exit code by which a test says that this commit cannot be tested.
    #[arg(long, value_name = "CODE", default_value_t = SKIP_EXIT, value_parser = clap::value_parser!(i64).range(1..=255))]
    skip_exit: i64,
    /// Results of a commit before it is believed: of each that is listed, of the culprit and its parents.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(REPEAT_MOST)))]
    repeat: u32,
    /// When several results make a commit bad: `all` where a test fails now and then, `any` where the bug shows now and then.
    #[arg(long, value_enum, default_value_t)]
    bad_when: BadWhen,
    /// What it comes to that a commit passes at times and fails at times.
    #[arg(long, value_enum, default_value_t = Flaky::Warn)]
    flaky: Flaky,
    /// Test so many commits at once, each with an agent of its own. Default: 1; with --mesh, as many as there are agents.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLEL_MOST)))]
    parallel: Option<u32>,
    #[command(flatten)]
    elsewhere: ElsewhereArgs,
    /// How long the build, and the test, may take each.
    #[arg(long, value_name = "DURATION", default_value = WITHIN_DEFAULT, value_parser = duration)]
    within: Duration,
    /// A plan that is run in the commit's folder once its test has passed.
    #[arg(long, value_name = "PLAN")]
    then: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
    /// Keep the files of commits that did not pass for so long, as in `24h`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_failed: Option<Duration>,
    /// Where results go: commits.json, junit.xml, report.html, and a folder a run. Default: a folder among the kept runs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One JSON document on standard output, instead of the table.
    #[arg(long)]
    json: bool,
    /// Say nothing until it is over.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    keeping: Keeping,
    /// The test: a program and its arguments, or one line for a shell.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// As clap shows the limit of that name.
const WITHIN_DEFAULT: &str = "30m";

/// The arguments of `meshproof commits`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof commits HEAD~2 HEAD~1 HEAD -- pytest -v\n  \
    meshproof commits v1.4.0..HEAD --parallel 4 -- 'make test && ./e2e.sh'\n  \
    meshproof commits HEAD --template rust\n  \
    meshproof commits HEAD~9..HEAD --mesh me.toml --agents role=build -- make test",
    after_help = "Exit codes: 0 all passed, 1 one failed or could not be built, 2 usage, 5 one could not be tested or nothing was,\n\
    7 flaky and --flaky fail, 130 Ctrl-C, 143 SIGTERM."
)]
pub(super) struct CommitsArgs {
    /// Commits: HEAD, HEAD~2, a hash, a tag, or `a..b` for all after a up to b.
    commits: Vec<String>,
    /// Remove every workspace that is kept, and end.
    #[arg(long)]
    clean: bool,
    #[command(flatten)]
    common: Common,
}

/// The arguments of `meshproof bisect`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof bisect --good v1.4.0 -- make test\n  \
    meshproof bisect --good v1.4.0 --bad HEAD --parallel 4 --overlay tests -- pytest tests/test_checkout.py\n  \
    meshproof bisect --good HEAD~50 --repeat 5 --bad-when all -- ./flaky-test.sh",
    after_help = "Exit codes: 0 found, 1 the good commit fails or the bad one passes, 2 usage, 5 it cannot be told,\n\
    7 the test is flaky beyond telling, or flaky at all and --flaky fail, 130 Ctrl-C, 143 SIGTERM."
)]
pub(super) struct BisectArgs {
    /// A commit that passes.
    #[arg(long, value_name = "COMMIT")]
    good: String,
    /// A commit after it that fails.
    #[arg(long, value_name = "COMMIT", default_value = "HEAD")]
    bad: String,
    #[command(flatten)]
    common: Common,
}

fn duration(text: &str) -> Result<Duration, String> {
    match crate::plan::duration(text) {
        Ok(Duration::ZERO) => Err("more than nothing was expected, as in `10m`".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// A path inside the repository.
fn inside(text: &str) -> Result<String, String> {
    let path = Path::new(text);
    let is_normal = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    if text.is_empty() || !path.components().all(is_normal) {
        return Err("a path inside the repository was expected, relative to its top, as in `tests`".to_owned());
    }
    Ok(text.to_owned())
}

/// Tests each of some commits.
pub(super) fn commits(args: CommitsArgs) -> Exit {
    if args.clean {
        return clean(&args.common.place);
    }
    if args.commits.is_empty() {
        return say::failed(&"no commit is named, as in `meshproof commits HEAD~2..HEAD -- make test`", Exit::Usage);
    }
    test(What::Each(args.commits), &args.common)
}

/// Looks for the commit that broke it.
pub(super) fn bisect(args: BisectArgs) -> Exit {
    test(What::Bisect { good: args.good, bad: args.bad }, &args.common)
}

fn clean(place: &Place) -> Exit {
    match place.kept() {
        Err(error) => say::failed(&error, error.exit()),
        Ok(kept) => match kept::clean(&kept) {
            Ok(removed) => say::result(&format!("removed {}\n", counted(removed, "workspace"))),
            Err(error) => say::failed(&format!("a workspace cannot be removed: {error}"), Exit::MeshFailed),
        },
    }
}

fn test(what: What, common: &Common) -> Exit {
    let show = match (common.json, common.quiet) {
        (true, _) => Show::Json,
        (false, true) => Show::Quiet,
        (false, false) => Show::Table,
    };
    let output = Output { show, out: common.out.as_deref() };
    match request(what, common) {
        Ok(request) => common
            .elsewhere
            .conduct(request, common.parallel, |request| conduct(request, &output, (&common.place, &common.keeping))),
        Err(exit) => exit,
    }
}

fn usage(error: impl std::fmt::Display) -> Exit {
    say::failed(&error, Exit::Usage)
}

/// What a plan would do.
pub(super) fn intent(plan: &Plan, form: &Commits) -> String {
    let which = match &form.which {
        Which::Bisect { good, bad } => format!("search what broke it after {good} up to {bad}"),
        Which::Each(words) => format!("test each of {}", words.join(", ")),
    };
    let said = |what: &str, line: &Option<String>| match (line, &form.template) {
        (Some(line), _) => format!("{what} {line}\n"),
        (None, Some(template)) => format!("{what} as the template {template} says\n"),
        (None, None) => String::new(),
    };
    let then = form.then.as_ref().map(|plan| format!("then the plan {}\n", plan.value)).unwrap_or_default();
    let text = format!(
        "plan {}\ncommits of {}: {which}, {} at once\n{}{}{then}",
        plan.name,
        form.repo,
        form.parallel,
        said("build", &form.build),
        said("test", &form.run)
    );
    sanitise::block(&text)
}

/// How results are shown.
pub(super) struct Output<'o> {
    pub(super) show: Show,
    pub(super) out: Option<&'o Path>,
}

/// What is written where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// Lines while it goes on, and a table.
    Table,
    /// Lines while it goes on, and one document.
    Json,
    /// A table.
    Quiet,
}

/// Tests what is asked for, and tells what came of it.
pub(super) fn conduct(request: &Request, output: &Output<'_>, (place, keeping): (&Place, &Keeping)) -> Exit {
    let kept = match place.kept() {
        Ok(kept) => kept,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let name = coordinator::fresh_id().0.replacen("r-", "c-", 1);
    let begun = match kept::begin(output.out, &kept, &name) {
        Ok(begun) => begun,
        Err(error) => return say::failed(&format!("cannot make a folder for the results: {error}"), Exit::Usage),
    };
    super::log_to_stderr();
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    let tell = |news: News<'_>| {
        if output.show != Show::Quiet {
            say::beside(&report::told(&news, style));
        }
    };
    let ran = super::runtime(super::Threads::Two).block_on(commits::run(request, &begun.folder, &tell));
    let results = match ran {
        Ok(results) => results,
        Err(error) => return say::failed(&error, error.exit()),
    };
    if let Err(error) = report::write(&begun.folder.path, &results) {
        return say::failed(&error, Exit::MeshFailed);
    }
    say::note(format_args!("results: {}", sanitise::line(&begun.folder.path.to_string_lossy())));
    let text = match output.show {
        Show::Json => report::json(&results),
        Show::Table | Show::Quiet => report::summary(&results, shown_style()),
    };
    let told = say::result(&text);
    drop(begun);
    match kept::prune(&kept, &keeping.keep(), now_ms()) {
        Ok(removed) => {
            removed.iter().for_each(|removed| say::note(format_args!("  removed {}", sanitise::line(removed))))
        }
        Err(error) => say::note(format_args!("meshproof: {error}")),
    }
    if told == Exit::Passed { results.exit() } else { told }
}

fn shown_style() -> Style {
    if std::io::stdout().is_terminal() { Style::Coloured } else { Style::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commits::limits::WITHIN;

    #[test]
    fn what_is_laid_over_stays_inside() {
        assert_eq!(inside("tests/e2e.sh"), Ok("tests/e2e.sh".to_owned()));
        for wrong in ["", "/etc", "../other", "a/../../b"] {
            assert!(inside(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration(WITHIN_DEFAULT), Ok(WITHIN));
    }
}
