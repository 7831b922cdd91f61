//! A program beside the service, in a process group of its own that does not outlive the step.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use meshproof_proto::event::Pipe;
use meshproof_proto::expr::Template;
use meshproof_proto::order::{Bounds, ExecAction};
use meshproof_proto::trace::Traceparent;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::answer::{Answer, CallError, Came, ErrorKind, ExecAnswer, Output};
use super::live::LivePipe;
use super::started::Started;
use crate::limits;
use crate::permits::{Permits, Terms, spawn};

/// What every program finds of our environment; the rest is given or not there.
const INHERITED: [&str; 2] = ["PATH", "HOME"];

/// Where programs look for it: <https://opentelemetry.io/docs/specs/otel/context/env-carriers/>
const TRACEPARENT: &str = "TRACEPARENT";

pub(super) async fn perform(action: &ExecAction, scope: &Value, terms: Terms<'_>) -> Answer {
    let program = match Program::of(action, scope).and_then(|program| program.permitted(terms.permits)) {
        Ok(program) => program.traced(terms.parent),
        Err(message) => return Answer::impossible(message),
    };
    let sent = program.argv.join(" ");
    let started = Instant::now();
    let mut seen = Seen::default();
    let error = match timeout(terms.within, run(program, terms, &mut seen)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => {
            Some(CallError::new(ErrorKind::Timeout, format!("`{sent}` had not ended after {:?}; killed", terms.within)))
        }
    };
    Answer { sent, came: Came::Exec(seen.answer()), error, took: started.elapsed() }
}

/// An order with everything put in.
struct Program {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Option<String>,
    cwd: Option<String>,
    limits: Bounds,
}

impl Program {
    fn of(action: &ExecAction, scope: &Value) -> Result<Self, String> {
        let text = |template: &Template| template.render(scope).map_err(|unset| unset.to_string());
        let pair = |(name, value): &(String, Template)| Ok::<_, String>((name.clone(), text(value)?));
        let program = Self {
            argv: action.argv.iter().map(text).collect::<Result<_, _>>()?,
            env: action.env.iter().map(pair).collect::<Result<_, _>>()?,
            stdin: action.stdin.as_ref().map(text).transpose()?,
            cwd: action.cwd.clone(),
            limits: action.limits,
        };
        if program.argv.is_empty() { Err("there is no program to run".to_owned()) } else { Ok(program) }
    }

    fn permitted(self, permits: &Permits) -> Result<Self, String> {
        let variables = self.env.iter().map(|(name, _)| name.as_str());
        permits.program(&self.argv, self.cwd.as_deref(), variables)?;
        Ok(self)
    }

    /// It finds which span it runs for, unless the plan says another.
    fn traced(mut self, parent: Option<Traceparent>) -> Self {
        if let Some(parent) = parent.filter(|_| self.env.iter().all(|(name, _)| name != TRACEPARENT)) {
            self.env.push((TRACEPARENT.to_owned(), parent.to_string()));
        }
        self
    }

    fn start(&self, permits: &Permits) -> std::io::Result<Child> {
        let argv = self.limits.within(permits.limits).around(self.argv.clone());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        spawn(&mut command, &permits.confined)
    }
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    status: Option<ExitStatus>,
    stdout: Kept,
    stderr: Kept,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    lost: u64,
}

impl Seen {
    fn answer(self) -> ExecAnswer {
        let code = self.status.and_then(|status| status.code().or_else(|| status.signal().map(|number| 128 + number)));
        ExecAnswer { code, stdout: self.stdout.output(), stderr: self.stderr.output() }
    }
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(limits::OUTPUT_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.lost += (bytes.len() - kept) as u64;
    }

    fn output(self) -> Output {
        Output { text: String::from_utf8_lossy(&self.bytes).into_owned(), lost: self.lost }
    }
}

/// Kills a process group when dropped: at the end, at the deadline, and when the step is given up.
struct Group {
    leader: Option<Pid>,
    /// On disk until the group was ended.
    _started: Option<Started>,
}

impl Group {
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self { leader, _started: leader.map(Started::of) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.leader.take() {
            // No such group: all of them have ended, which is what is wanted. The number could belong to others only if the
            // system had given out every other process id since the program was waited for, an instant ago.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(program: Program, terms: Terms<'_>, seen: &mut Seen) -> Result<(), CallError> {
    let mut child = program
        .start(terms.permits)
        .map_err(|error| CallError::new(ErrorKind::Start, format!("`{}` did not start: {error}", program.argv[0])))?;
    let group = Group::of(&child);
    let Seen { status, stdout, stderr } = seen;
    let feeding = feed(child.stdin.take(), program.stdin.unwrap_or_default());
    let live = |pipe| terms.live.map(|live| live.pipe(pipe));
    let (out, err) = (live(Pipe::Stdout), live(Pipe::Stderr));
    let (from_out, from_err) = (child.stdout.take(), child.stderr.take());
    let pipes = async {
        tokio::join!(read(from_out, stdout, out), read(from_err, stderr, err));
    };
    tokio::pin!(feeding, pipes);
    let mut open = true;
    let mut hungry = true;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            () = &mut pipes, if open => open = false,
            () = &mut feeding, if hungry => hungry = false,
        }
    };
    // What the program left running goes before the pipes are read to their end: it would hold them open.
    drop(group);
    if open {
        let _ = timeout(limits::PIPE_GRACE, pipes).await;
    }
    let ended =
        ended.map_err(|error| CallError::new(ErrorKind::Io, format!("waiting for the program failed: {error}")))?;
    *status = Some(ended);
    Ok(())
}

/// A program that does not read its stdin is no error.
async fn feed(stdin: Option<ChildStdin>, text: String) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(text.as_bytes()).await;
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Kept, live: Option<LivePipe<'_>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 16 * 1024];
    let Some(mut live) = live else {
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            kept.take(&buffer[..count]);
        }
        return;
    };
    loop {
        tokio::select! {
            came = pipe.read(&mut buffer) => {
                let Ok(count @ 1..) = came else { break };
                kept.take(&buffer[..count]);
                live.take(&buffer[..count]);
            }
            () = live.due() => live.tell().await,
        }
    }
    live.end().await;
}
