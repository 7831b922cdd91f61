//! What stands between a run and the terminal it was started in, so that the run can go on without it.
//!
//! The run is a process of its own, in the same process group: Ctrl-C and Ctrl-Z reach both as if they were one. This one reads the
//! keys, passes on what it is told by signals, waits, and ends as the run ends; or it ends when the run has left the terminal.

use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};

use meshproof_proto::verdict::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::limits;
use crate::coordinator::front::{self, DETACH, DETACH_ONCE_BEGUN, ENTER, FRONT};
use crate::progress::{Mode, is_live};
use crate::report::sanitise;
use crate::say;

/// How often it is looked whether the terminal is ours: it goes to others when a shell stops us or puts us into the background.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// For how long it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Everything is ready for the run.
    Begun,
    /// It has ended, or somebody at the terminal detaches it.
    Ended,
}

/// Whether this process is the one to stand there, and until when: somebody said it, or a person sees the run live, and can press something.
pub(super) fn wanted(mode: Mode, said: Option<Until>) -> Option<Until> {
    // Behind a front, standard input is a socket, which it would not be where this fails.
    if front::is_there().unwrap_or(false) {
        return None;
    }
    said.or_else(|| (is_live(mode) && io::stderr().is_terminal() && has_terminal()).then_some(Until::Ended))
}

/// Whether standard input is the terminal, and ours now.
fn has_terminal() -> bool {
    io::stdin().is_terminal() && tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

/// Starts the run behind this process, and stands before it.
pub(super) fn stand(until: Until) -> Exit {
    match super::runtime(super::Threads::One).block_on(before_a_run(until)) {
        Ok(exit) => exit,
        Err(error) => say::failed(&format!("cannot stand between the run and the terminal: {error}"), Exit::MeshFailed),
    }
}

async fn before_a_run(until: Until) -> io::Result<Exit> {
    let (mut interrupts, mut quits) = (signal(SignalKind::interrupt())?, signal(SignalKind::quit())?);
    let (mut terminations, mut hang_ups) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut thaws = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let (near, far) = StdUnixStream::pair()?;
    // What runs now, whatever became of its file.
    let mut command = Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    command.arg0(arguments.next().unwrap_or_default()).args(arguments).env(FRONT, "1");
    if until == Until::Begun {
        // where the run's name is to stand alone
        command.stdout(Stdio::null());
    }
    let child = command.stdin(Stdio::from(OwnedFd::from(far))).spawn()?;
    // The other end must be the run's alone.
    drop(command);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id is positive");
    let mut ended = wait(child);
    near.set_nonblocking(true)?;
    let (answers, mut keys_out) = UnixStream::from_std(near)?.into_split();
    let mut answers = BufReader::new(answers);
    if until == Until::Begun {
        keys_out.write_all(&[DETACH_ONCE_BEGUN]).await?;
    }
    let mut terminal = (until == Until::Ended).then(Keyboard::take).flatten();
    let mut keys = keys();
    let mut run = Vec::new();
    loop {
        tokio::select! {
            Some(status) = ended.recv() => return Ok(exit_of(status?)),
            // Ctrl-C, Ctrl-\ and the terminal's end come to the run too.
            _ = interrupts.recv() => {}
            _ = quits.recv() => {}
            _ = hang_ups.recv() => {}
            _ = terminations.recv() => drop(kill_process(pid, Signal::TERM)),
            _ = thaws.recv() => match &terminal {
                // The shell has had it meanwhile.
                Some(terminal) => terminal.set(),
                None if until == Until::Ended => terminal = Keyboard::take(),
                None => {}
            },
            Some(key) = keys.recv() => {
                if let Some(said) = said(key) {
                    // A run that is at its end hears nothing more.
                    let _ = keys_out.write_all(&[said]).await;
                }
            }
            read = answers.read_until(b'\n', &mut run) => match read {
                Ok(bytes) if bytes > 0 && run.ends_with(b"\n") => {
                    drop(terminal);
                    return Ok(detached(&run, until));
                }
                // It is ending.
                Ok(_) | Err(_) => {
                    let status = ended.recv().await.unwrap_or_else(|| Err(io::Error::other("nobody waits for it")));
                    return Ok(exit_of(status?));
                }
            },
        }
    }
}

fn detached(run: &[u8], until: Until) -> Exit {
    let run = sanitise::line(String::from_utf8_lossy(run).trim_end());
    if until == Until::Begun {
        // for scripts
        let _ = say::out(&format!("{run}\n"));
    }
    say::note(format_args!(
        " detached {run} goes on; `meshproof attach {run}` follows it, and tells its result when it is over"
    ));
    Exit::Passed
}

/// What a key means to the run.
fn said(key: u8) -> Option<u8> {
    match key {
        b'd' | b'D' => Some(DETACH),
        b'\n' | b'\r' => Some(ENTER),
        _ => None,
    }
}

/// Waits beside the loop, in a thread that ends with the run.
fn wait(mut child: std::process::Child) -> mpsc::Receiver<io::Result<ExitStatus>> {
    let (told, ended) = mpsc::channel(1);
    std::thread::spawn(move || {
        let _ = told.blocking_send(child.wait());
    });
    ended
}

fn exit_of(status: ExitStatus) -> Exit {
    super::exit_of(status)
        .unwrap_or_else(|| say::failed(&format!("the run's process died: {status}"), Exit::MeshFailed))
}

/// Keys as they are pressed. Waiting for them cannot be given up, so it is a thread that nobody waits for.
fn keys() -> mpsc::Receiver<u8> {
    let (pressed, keys) = mpsc::channel(limits::KEYS);
    std::thread::spawn(move || {
        while let Ok(key) = key() {
            if key.is_some_and(|key| pressed.blocking_send(key).is_err()) {
                return;
            }
        }
    });
    keys
}

/// The next one, or none so far. Who reads from a terminal that is another's is stopped by it, so it is looked at first.
fn key() -> io::Result<Option<u8>> {
    if !has_terminal() {
        poll(&mut [], Some(&LOOK_AGAIN))?;
        return Ok(None);
    }
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK_AGAIN)) {
        Ok(1..) if has_terminal() => {}
        Ok(_) | Err(Errno::INTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut key = [0];
    match rustix::io::read(&stdin, &mut key)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Some(key[0])),
    }
}

/// The terminal, giving keys as they are pressed and not showing them. Dropped, it is as it was.
struct Keyboard {
    before: Termios,
    keys: Termios,
}

impl Keyboard {
    fn take() -> Option<Self> {
        let before = has_terminal().then(|| tcgetattr(io::stdin()).ok()).flatten()?;
        let mut keys = before.clone();
        keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        let keyboard = Self { before, keys };
        keyboard.set();
        Some(keyboard)
    }

    fn set(&self) {
        change(&self.keys);
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        change(&self.before);
    }
}

/// A terminal that is gone, or another's, is left as it is.
fn change(modes: &Termios) {
    if has_terminal() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}
