//! The plan's own build, once, before anything starts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use meshproof_proto::event::Evidence;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::outcome::Broken;
use super::scribe::Scribe;
use crate::local::Withheld;
use crate::plan::Plan;
use crate::plan::compiled::BuildCommand;
use crate::record::Happening;

/// Lines of a failed build's output that are shown.
const SHOWN_LINES: usize = 40;

/// From SIGKILL to the end of a build's last process; one that left the group may hold its output for longer.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// What is built, and the folder that its commands are relative to.
pub(super) struct Project<'p> {
    pub plan: &'p Plan,
    pub dir: &'p Path,
}

/// Runs every build command of a plan, in order, until one fails or all of it is to stop.
pub(super) async fn build(project: Project<'_>, scribe: &mut Scribe, stop: &CancellationToken) -> Result<(), Broken> {
    let withheld = Withheld::of(project.plan);
    for command in &project.plan.build {
        let shown = command.argv.join(" ");
        scribe.say_early(Happening::BuildBegan { command: shown.clone() })?;
        let began = Instant::now();
        let result = one((command, &withheld), project.dir, stop).await;
        let duration_ms = began.elapsed().as_secs_f64() * 1_000.0;
        let problem = result.as_ref().err().map(|failed| failed.how.clone());
        scribe.say_early(Happening::BuildEnded { command: shown.clone(), duration_ms, problem })?;
        if let Err(failed) = result {
            return Err(Broken {
                what: format!("`{shown}` failed: {}", failed.how),
                at: Some(command.span),
                evidence: vec![Evidence { title: "build output".to_owned(), text: failed.output }],
            });
        }
    }
    Ok(())
}

struct Failed {
    how: String,
    output: String,
}

async fn one(
    (command, withheld): (&BuildCommand, &Withheld),
    plan_dir: &Path,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let cwd: PathBuf = command.cwd.as_ref().map_or_else(|| plan_dir.to_owned(), |cwd| plan_dir.join(cwd));
    let failed = |how: String| Failed { how, output: String::new() };
    let (program, arguments) = command.argv.split_first().ok_or_else(|| failed("it names no program".to_owned()))?;
    let mut running = Command::new(program);
    withheld.keep_from(running.as_std_mut());
    running.args(arguments).current_dir(&cwd).envs(command.env.iter().map(|(name, value)| (name, value)));
    running.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // a build is many processes; as a group of their own they can be ended together
    let running = running.process_group(0).spawn();
    let running = running.map_err(|error| failed(format!("cannot run it in {}: {error}", cwd.display())))?;
    let group = Group::of(&running);
    let mut output = std::pin::pin!(running.wait_with_output());
    let output = tokio::select! {
        output = &mut output => output.map_err(|error| failed(format!("cannot wait for its end: {error}")))?,
        () = stop.cancelled() => {
            drop(group);
            // it is over when nobody holds its output any more
            let _ = timeout(KILLED_WITHIN, output).await;
            return Err(failed("stopped".to_owned()));
        }
    };
    group.ended();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    Err(Failed { how: output.status.to_string(), output: shown })
}

/// The processes of a build. Dropped before they ended, it kills them.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // an error means that nobody is left
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
