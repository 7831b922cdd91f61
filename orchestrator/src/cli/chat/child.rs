//! Commands of the command line, each as a process of its own: what a chat shows of one is what a shell would.

use std::process::Stdio;

use meshproof_proto::verdict::Exit;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::voice::Voice;
use crate::chat::filter::Filter;

/// What becomes of its output.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// The chat's own, as it comes.
    Ours,
    /// Lines among others, each with its thread, as far as they are shown.
    Lines(Voice, String, watch::Receiver<Filter>),
}

impl Output {
    /// Those that a line has behind its thread, at a person's terminal.
    fn columns(&self) -> Option<usize> {
        let Self::Lines(Voice::Above(_) | Voice::Outputs, thread, _) = self else { return None };
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        usize::from(width.0).checked_sub(thread.chars().count() + 1)
    }
}

/// Runs it to its end, or until it is to stop: then it is interrupted, as by Ctrl-C, and ends as it does then.
pub(super) async fn run(words: Vec<String>, output: Output, stop: CancellationToken) -> std::io::Result<Exit> {
    // what runs now, whatever became of its file
    let mut command = Command::new("/proc/self/exe");
    // a terminal's Ctrl-C is for the chat, which passes it on
    command.args(&words).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    if let Output::Lines(..) = output {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    if let Some(columns) = output.columns() {
        command.env("COLUMNS", columns.to_string());
    }
    let mut child = command.spawn()?;
    let told = (child.stdout.take(), child.stderr.take());
    let telling = async {
        if let (Output::Lines(voice, thread, filter), (Some(stdout), Some(stderr))) = (&output, told) {
            let (out, err) = tokio::join!(tell(stdout, (voice, thread), filter), tell(stderr, (voice, thread), filter));
            if out + err > 0 {
                voice.note(&format!("{thread} {} lines were not shown, as `/filter` says", out + err));
            }
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    let ending = async {
        tokio::select! {
            ended = child.wait() => ended,
            () = stop.cancelled() => {
                if let Some(pid) = pid {
                    // it may have ended just now
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
                }
                child.wait().await
            }
        }
    };
    let (ended, ()) = tokio::join!(ending, telling);
    Ok(crate::cli::exit_of(ended?).unwrap_or(Exit::MeshFailed))
}

/// Gives how many lines were not shown.
async fn tell(pipe: impl AsyncRead + Unpin, (voice, thread): (&Voice, &str), filter: &watch::Receiver<Filter>) -> u64 {
    let (mut lines, mut left_out) = (BufReader::new(pipe).lines(), 0);
    while let Ok(Some(line)) = lines.next_line().await {
        let is_shown = filter.borrow().shows(&line);
        match is_shown {
            true => voice.result_of_many(&format!("{thread} {line}\n")).await,
            false => left_out += 1,
        }
    }
    left_out
}
