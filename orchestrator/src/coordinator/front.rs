//! The terminal that a run was started in, when another process stands between them.
//!
//! That process ([`crate::cli`]'s `front`) reads the keys and waits for this one; their socket is this process's standard input. A key
//! for detaching (or `--detach`, from the beginning) has this process leave the terminal for good: its session, its output, the front. The run itself notices
//! nothing, for all that is shown of it is shown from its journal.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use futures::FutureExt as _;
use meshproof_proto::id::RunId;
use rustix::process::{Signal, getpid, kill_process, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};

use crate::progress::Curtain;

/// The variable that says that standard input is the socket to a front.
pub const FRONT: &str = "MESHPROOF_FRONT";

/// What the front says: somebody pressed this.
pub const DETACH: u8 = b'd';
pub const ENTER: u8 = b'\n';

/// What it says before anybody could press something: `--detach` was given.
pub const DETACH_ONCE_BEGUN: u8 = b'b';

/// What is answered once nothing ties this process to the terminal: the run's name, and a line's end.
pub const DETACHED_ENDS_WITH: u8 = b'\n';

/// Somebody at the terminal: how often Enter was pressed. Gone with whoever could press it.
pub type Person = watch::Receiver<u64>;

/// Whether this process stands behind a front.
///
/// # Errors
/// Standard input cannot be looked at.
pub fn is_there() -> io::Result<bool> {
    Ok(socket()?.is_some())
}

fn socket() -> io::Result<Option<StdUnixStream>> {
    if std::env::var_os(FRONT).is_none() {
        return Ok(None);
    }
    let input: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let socket = StdUnixStream::from(input);
    // Whatever a run starts inherits the variable, and has other standard inputs.
    Ok(socket.local_addr().is_ok().then_some(socket))
}

/// To be told that everything is ready for the run.
pub(super) type Begun = oneshot::Sender<()>;

/// The socket to the front, if there is one.
#[derive(Debug)]
pub(super) struct Front(UnixStream);

impl Front {
    /// Of this process.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub(super) fn of_this_process() -> io::Result<Option<Self>> {
        let Some(socket) = socket()? else { return Ok(None) };
        socket.set_nonblocking(true)?;
        Ok(Some(Self(UnixStream::from_std(socket)?)))
    }

    /// Listens to it from now on. It is to be told when the run begins.
    pub(super) fn attend(self, run: RunId, curtain: Curtain) -> (Person, Begun) {
        let (pressed, person) = watch::channel(0);
        let (begun, begins) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(error) = listen(self.0, (&pressed, begins), (run, curtain)).await {
                tracing::warn!(%error, "the terminal cannot be listened to");
            }
        });
        (person, begun)
    }
}

/// Until the front is gone, or this process has left the terminal.
async fn listen(
    mut front: UnixStream,
    (pressed, begins): (&watch::Sender<u64>, oneshot::Receiver<()>),
    (run, curtain): (RunId, Curtain),
) -> io::Result<()> {
    // a run that does not begin ends, and this with it
    let begins = begins
        .then(|begun| async move {
            if begun.is_err() {
                std::future::pending::<()>().await
            }
        })
        .fuse();
    tokio::pin!(begins);
    let mut is_to_detach = false;
    loop {
        let said = tokio::select! {
            said = front.read_u8() => said,
            () = &mut begins, if is_to_detach => Ok(DETACH),
        };
        match said {
            Ok(DETACH) => {
                curtain.fall();
                detach()?;
                return front.write_all(&[run.0.as_bytes(), &[DETACHED_ENDS_WITH]].concat()).await;
            }
            Ok(DETACH_ONCE_BEGUN) => is_to_detach = true,
            Ok(ENTER) => pressed.send_modify(|pressed| *pressed += 1),
            Ok(_) => {}
            // However it went, the run does not go on without anybody having said so: it ends as if the terminal had.
            Err(_) => return Ok(kill_process(getpid(), Signal::HUP)?),
        }
    }
}

/// Ctrl-C, the terminal's end and the front's do not reach this process any more, and it writes nowhere.
fn detach() -> io::Result<()> {
    let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    setsid()?;
    dup2_stdin(&nowhere)?;
    dup2_stdout(&nowhere)?;
    Ok(dup2_stderr(&nowhere)?)
}
