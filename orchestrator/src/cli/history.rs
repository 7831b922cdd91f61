//! `meshproof runs`, `meshproof logs`, `meshproof rerun`.

use std::cmp::Reverse;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::ArgValueCandidates;
use meshproof_proto::verdict::Exit;

use super::completions;
use crate::attach::{self, AttachError};
use crate::commits;
use crate::commits::past::{self, Past};
use crate::history::{self, Brief, Finish, Flake, Keep, Kept, Log, Removed, State, Which, Why};
use crate::record::now_ms;
use crate::report::sanitise;
use crate::report::summary::counted;
use crate::report::table::{bytes, short, span, table};
use crate::say::{self, Reader};

/// Where the runs are.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// Folder of the kept runs. Default: meshproof/runs in $XDG_STATE_HOME or ~/.local/state.
    #[arg(long = "runs", value_name = "DIR", env = "MESHPROOF_RUNS")]
    folder: Option<PathBuf>,
}

impl Place {
    /// The folder of the run that is meant; without a name, of the one that goes on.
    pub(super) fn find(&self, wanted: Option<&str>) -> Result<PathBuf, AttachError> {
        attach::find(wanted, &self.kept()?)
    }

    pub(super) fn kept(&self) -> Result<Kept, history::HistoryError> {
        Kept::in_folder(self.folder.as_deref())
    }
}

/// How many runs stay.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Keeping {
    /// Keep so many runs; older ones are removed when a run ends. The newest stays in any case.
    #[arg(long, value_name = "N", env = "MESHPROOF_KEEP_RUNS", default_value_t = Keep::default().runs)]
    keep_runs: usize,
    /// Keep runs for so many days.
    #[arg(long, value_name = "DAYS", env = "MESHPROOF_KEEP_DAYS", default_value_t = Keep::default().age.as_secs() / 86_400)]
    keep_days: u64,
    /// Keep no more than this, all runs together, and all sessions of commits together.
    #[arg(long, value_name = "SIZE", env = "MESHPROOF_KEEP_SIZE", default_value = "1GiB", value_parser = size)]
    keep_size: u64,
}

fn size(text: &str) -> Result<u64, String> {
    crate::plan::size(text).map_err(|error| error.to_string())
}

impl Keeping {
    pub(super) fn keep(&self) -> Keep {
        let age = Duration::from_secs(self.keep_days.saturating_mul(86_400));
        Keep { runs: self.keep_runs, age, bytes: self.keep_size }
    }

    /// Removes what is too much, and says so. A run that has ended has its verdict, whatever happens here.
    pub(super) fn prune(&self, kept: &Kept) {
        match kept.prune(&self.keep(), now_ms()) {
            Ok(removed) => removed.iter().for_each(|removed| say::note(told(removed, &self.keep()))),
            Err(error) => say::note(format_args!("meshproof: {}", sanitise::line(&error.to_string()))),
        }
    }
}

fn told(removed: &Removed, keep: &Keep) -> String {
    let why = match removed.why {
        Why::Many if keep.runs <= 1 => format!("only the newest run stays (--keep-runs {})", keep.runs),
        Why::Many => format!("{} newer ones stay (--keep-runs)", keep.runs),
        Why::Old if keep.age.is_zero() => "only the newest run stays (--keep-days 0)".to_owned(),
        Why::Old => {
            format!("it is older than {} (--keep-days)", span(u64::try_from(keep.age.as_millis()).unwrap_or(u64::MAX)))
        }
        Why::Large { together } => {
            format!("it and the newer ones have {}, and {} may stay (--keep-size)", bytes(together), bytes(keep.bytes))
        }
    };
    format!("  removed {} ({}): {why}", sanitise::line(&removed.run), bytes(removed.bytes))
}

/// The arguments of `meshproof runs`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof runs                       what was run here, newest first\n  \
    meshproof runs --plan checkout       runs of one plan\n  meshproof runs --json | jq '.runs[0].folder'",
    after_help = "Exit codes: 0 done, 2 usage, 5 the folder cannot be read."
)]
pub(super) struct RunsArgs {
    #[command(flatten)]
    place: Place,
    /// Only runs of this plan.
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Lists the runs, and sessions of commits.
pub(super) fn runs(args: &RunsArgs) -> Exit {
    let listed = args.place.kept().and_then(|kept| Ok((kept.list()?, kept)));
    let ((mut briefs, unreadable), kept) = match listed {
        Ok(listed) => listed,
        Err(error) => return say::failed(&error, error.exit()),
    };
    for error in &unreadable {
        say::note(format_args!("meshproof: {}", sanitise::line(&error.to_string())));
    }
    let mut sessions = match commits::kept::list(&kept) {
        Ok(sessions) => sessions,
        Err(error) => return say::failed(&format!("cannot list the sessions of commits: {error}"), Exit::MeshFailed),
    };
    briefs.retain(|brief| args.plan.as_ref().is_none_or(|plan| brief.plan == *plan));
    sessions.retain(|session| args.plan.as_ref().is_none_or(|plan| session.of() == plan));
    let flakes = history::flaky(&briefs);
    if args.json {
        let document = serde_json::json!({ "runs": briefs, "sessions": sessions, "flaky": flakes });
        return say::result(&format!("{document:#}\n"));
    }
    if briefs.is_empty() && sessions.is_empty() {
        let of = args.plan.as_ref().map(|plan| format!(" of the plan {plan}")).unwrap_or_default();
        return say::result(&(sanitise::line(&format!("no run{of} is kept in {}", kept.folder().display())) + "\n"));
    }
    let runs = briefs.iter().map(|brief| (brief.began_ms, row(brief)));
    let mut rows: Vec<(u64, [String; 7])> =
        runs.chain(sessions.iter().map(|session| (session.began_ms, row_of_session(session)))).collect();
    rows.sort_by_key(|(began_ms, _)| Reverse(*began_ms));
    let rows: Vec<[String; 7]> = rows.into_iter().map(|(_, row)| row).collect();
    let mut text = table(["RUN", "PLAN", "WHEN", "VERDICT", "TOOK", "SIZE", "TESTS"], &rows);
    flakes.iter().for_each(|flake| text += &flaky_line(flake));
    say::result(&text)
}

/// A name longer than this is cut in a column.
const NAME: usize = 24;

fn row(brief: &Brief) -> [String; 7] {
    let (verdict, took) = match &brief.state {
        State::GoesOn => ("goes on".to_owned(), String::new()),
        State::BrokeOff => ("broke off".to_owned(), String::new()),
        State::Ended(Finish { verdict, duration_ms, .. }) => (verdict.to_string(), seconds(*duration_ms)),
    };
    let when = ago(brief.began_ms);
    [brief.run.clone(), short(&brief.plan, NAME), when, verdict, took, bytes(brief.bytes), brief.tests_in_words()]
}

fn row_of_session(past: &Past) -> [String; 7] {
    let took = match &past.state {
        past::State::Ended(ended) => seconds(ended.duration_ms),
        past::State::GoesOn | past::State::BrokeOff => String::new(),
    };
    let (of, when) = (short(past.of(), NAME), ago(past.began_ms));
    [past.session.clone(), of, when, past.verdict(), took, bytes(past.bytes), past.tests_in_words()]
}

fn seconds(duration_ms: f64) -> String {
    format!("{:.1} s", duration_ms / 1_000.0)
}

fn ago(at_ms: u64) -> String {
    format!("{} ago", span(now_ms().saturating_sub(at_ms)))
}

fn flaky_line(flake: &Flake) -> String {
    let Flake { plan, test, since_runs, not_passed, of } = flake;
    let runs = counted(*since_runs, "run");
    let text = format!(
        "flaky since {runs}: {test} of {plan} did not pass in {not_passed} of {of}, and the plan stayed the same"
    );
    sanitise::line(&text) + "\n"
}

/// The arguments of `meshproof logs`.
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  meshproof logs last                  which logs there are\n  \
    meshproof logs last shop             what the shop said\n  meshproof logs r-9d07 ledger --log audit --raw | grep posted", after_help = super::READ)]
pub(super) struct LogsArgs {
    /// A run: its name, a beginning of it, `last`, or its folder.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    run: String,
    /// Whose logs; without it they are listed.
    service: Option<String>,
    /// Only this one: `stdout`, `stderr`, `agent`, or one that the plan names.
    #[arg(long, value_name = "NAME", requires = "service")]
    log: Option<String>,
    /// The bytes as they are, also those that could move a terminal's cursor.
    #[arg(long, requires = "service")]
    raw: bool,
    #[command(flatten)]
    place: Place,
}

/// Shows logs.
pub(super) fn logs(args: &LogsArgs) -> Exit {
    let found = args.place.find(Some(&args.run)).and_then(|folder| Ok(history::logs(&folder)?));
    let all = match found {
        Ok(all) => all,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let Some(service) = &args.service else {
        let rows: Vec<[String; 3]> = all.iter().map(listed).collect();
        return say::result(&table(["SERVICE", "LOG", "SIZE"], &rows));
    };
    let is_wanted =
        |log: &&Log| log.service.as_ref() == Some(service) && args.log.as_ref().is_none_or(|name| log.name == *name);
    let wanted: Vec<&Log> = all.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        let log = args.log.as_ref().map(|name| format!(" of the name {name}")).unwrap_or_default();
        let why =
            format!("{} has no log{log} of {service}; `meshproof logs {}` lists what there is", args.run, args.run);
        return say::failed(&why, Exit::Usage);
    }
    for log in &wanted {
        let title = (wanted.len() > 1 && log.bytes > 0).then(|| format!("== {}\n", sanitise::line(&log.name)));
        match show(log, title.as_deref(), args) {
            Ok(Reader::Reads) => {}
            Ok(Reader::Gone) => return Exit::Passed,
            Err(error) => {
                return say::failed(&format!("cannot show {}: {error}", log.path.display()), Exit::MeshFailed);
            }
        }
    }
    Exit::Passed
}

fn listed(log: &Log) -> [String; 3] {
    [log.service.clone().unwrap_or_else(|| "-".to_owned()), log.name.clone(), bytes(log.bytes)]
}

/// Bytes of a log that are shown at a time.
const PIECE: usize = 64 * 1024;

/// A log may be larger than memory, so it is shown piece by piece, each up to a line's end where it has one.
fn show(log: &Log, title: Option<&str>, args: &LogsArgs) -> std::io::Result<Reader> {
    let mut file = BufReader::new(std::fs::File::open(&log.path)?);
    let (mut held, mut piece) = (Vec::new(), vec![0; PIECE]);
    if let Some(title) = title.filter(|_| !args.raw)
        && say::out(title)? == Reader::Gone
    {
        return Ok(Reader::Gone);
    }
    loop {
        let count = file.read(&mut piece)?;
        held.extend_from_slice(&piece[..count]);
        let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole = if count == 0 || whole == 0 && held.len() > PIECE { held.len() } else { whole };
        let ready: Vec<u8> = held.drain(..whole).collect();
        let shown = if args.raw {
            say::out_bytes(&ready)?
        } else {
            say::out(&sanitise::block(&String::from_utf8_lossy(&ready)))?
        };
        if count == 0 || shown == Reader::Gone {
            return Ok(shown);
        }
    }
}

/// The arguments of `meshproof rerun`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof rerun last                 the same again, with the same seed\n  \
    meshproof rerun last --failed        only the tests that did not pass\n  meshproof rerun r-9d07 -- --progress plain --seed 7",
    after_help = "Exit codes: those of the run (`meshproof run --help`); 2 also if there is no such run, 4 if --failed and all passed."
)]
pub(super) struct RerunArgs {
    /// A run: its name, a beginning of it, `last`, or its folder.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    run: String,
    /// Only the tests that did not pass.
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    place: Place,
    /// More arguments for `meshproof run`.
    #[arg(last = true)]
    more: Vec<String>,
}

/// Becomes the run.
pub(super) fn rerun(args: &RerunArgs) -> Exit {
    use std::os::unix::process::CommandExt as _;
    let brief = args.place.find(Some(&args.run)).and_then(|folder| Ok(Brief::read(&folder)?));
    let brief = match brief {
        Ok(brief) => brief,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let which = if args.failed { Which::Failed } else { Which::Same };
    let again = match history::again(&brief, which, &args.more) {
        Ok(again) => again,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let shown: Vec<String> = again.arguments.iter().map(|argument| sanitise::line(argument)).collect();
    say::note(format_args!("    rerun meshproof {}", shown.join(" ")));
    let binary = match std::env::current_exe() {
        Ok(binary) => binary,
        Err(error) => return say::failed(&format!("cannot find this program: {error}"), Exit::MeshFailed),
    };
    let error = std::process::Command::new(binary).args(&again.arguments).current_dir(&again.directory).exec();
    say::failed(&format!("cannot run it again in {}: {error}", again.directory.display()), Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_run_was_removed_is_told_as_its_owner_would_say_it() {
        let said = |why, keep: Keep| told(&Removed { run: "r-1".to_owned(), bytes: 2_000_000, why }, &keep);
        let many = |runs| said(Why::Many, Keep { runs, ..Keep::default() });
        assert_eq!(many(3), "  removed r-1 (2.00 MB): 3 newer ones stay (--keep-runs)");
        assert_eq!(many(1), "  removed r-1 (2.00 MB): only the newest run stays (--keep-runs 1)");
        assert_eq!(many(0), "  removed r-1 (2.00 MB): only the newest run stays (--keep-runs 0)");
        let old = |days: u64| said(Why::Old, Keep { age: Duration::from_hours(24 * days), ..Keep::default() });
        assert_eq!(old(30), "  removed r-1 (2.00 MB): it is older than 30 days (--keep-days)");
        assert_eq!(old(0), "  removed r-1 (2.00 MB): only the newest run stays (--keep-days 0)");
        let large = said(Why::Large { together: 5_500_000 }, Keep { bytes: 5_000_000, ..Keep::default() });
        assert_eq!(
            large,
            "  removed r-1 (2.00 MB): it and the newer ones have 5.50 MB, and 5.00 MB may stay (--keep-size)"
        );
    }
}
