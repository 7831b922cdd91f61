//! The plan's own build, once, before anything starts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use meshproof_proto::event::Evidence;
use tokio::process::Command;

use super::outcome::Broken;
use super::scribe::Scribe;
use crate::plan::Plan;
use crate::plan::compiled::BuildCommand;
use crate::record::Happening;

/// Lines of a failed build's output that are shown.
const SHOWN_LINES: usize = 40;

/// Runs every build command of a plan, in order, until one fails.
pub(super) async fn build(plan: &Plan, plan_dir: &Path, scribe: &mut Scribe) -> Result<(), Broken> {
    for command in &plan.build {
        let shown = command.argv.join(" ");
        scribe.say(Happening::BuildBegan { command: shown.clone() })?;
        let began = Instant::now();
        let result = one(command, plan_dir).await;
        let duration_ms = began.elapsed().as_secs_f64() * 1_000.0;
        let problem = result.as_ref().err().map(|failed| failed.how.clone());
        scribe.say(Happening::BuildEnded { command: shown.clone(), duration_ms, problem })?;
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

async fn one(command: &BuildCommand, plan_dir: &Path) -> Result<(), Failed> {
    let cwd: PathBuf = command.cwd.as_ref().map_or_else(|| plan_dir.to_owned(), |cwd| plan_dir.join(cwd));
    let failed = |how: String| Failed { how, output: String::new() };
    let (program, arguments) = command.argv.split_first().ok_or_else(|| failed("it names no program".to_owned()))?;
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&cwd)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(format!("cannot run it in {}: {error}", cwd.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    Err(Failed { how: output.status.to_string(), output: shown })
}
