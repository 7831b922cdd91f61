//! `meshproof chat`.

mod ask;
mod child;
mod page;
mod room;
mod terminal;
mod tree;
mod voice;

use std::io::{BufRead as _, IsTerminal as _};

use meshproof_proto::verdict::Exit;
use tokio::sync::mpsc;

use super::mesh::{self, MeshArgs};
use crate::console::limits;
use crate::say;
pub(super) use page::reads_lines;
use room::{Next, Room};
use voice::Voice;

/// The arguments of `meshproof chat`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof chat                                  with the run that goes on, and whoever else is there\n  \
    meshproof chat -c /who -c '@all ping'           lines for a script\n  \
    meshproof chat -c '@shop http get /healthz --expect status=200'\n  \
    meshproof chat < lines.txt                      the same, a line at a time",
    after_help = "Lines: /command, @agent verb, @all verb, #run command, words for the other people, // for words that begin with a slash.\n\
    /help lists the commands, `@all help` the verbs.\n\n\
    Exit codes: of what the lines came to the one that counts most: 0 well, 1 something did not hold, 2 a line was not understood, or there is no such run,\n\
    5 an agent did not answer or refused, 9 a fault could not be confirmed as healed, 130 Ctrl-C; of a command its own."
)]
pub(super) struct Args {
    #[command(flatten)]
    mesh: MeshArgs,
    /// A line, done to its end before the next; may be given several times. Without any, lines are read from standard input.
    #[arg(short = 'c', value_name = "LINE", allow_hyphen_values = true)]
    lines: Vec<String>,
    /// The name that others see, and the run's journal keeps. Default: your user's.
    #[arg(long = "as", value_name = "NAME", env = "USER", default_value = "someone")]
    person: String,
}

/// Talks with a mesh.
pub(super) fn run(args: Args) -> Exit {
    super::log_to_stderr();
    super::runtime(super::Threads::Two).block_on(async {
        let Args { mesh, lines, person } = args;
        let mut room = Room::new(mesh, person);
        let talk = async {
            match lines.is_empty() && std::io::stdin().is_terminal() {
                true => at_a_terminal(&mut room).await,
                false => through(&mut room, lines).await,
            }
        };
        let exit = tokio::select! {
            exit = Box::pin(talk) => exit,
            exit = mesh::stopped() => exit,
        };
        // whoever says it twice does not wait for what was begun here
        tokio::select! {
            () = Box::pin(room.leave()) => exit,
            exit = mesh::stopped() => exit,
        }
    })
}

/// These lines, or those of standard input, each done before the next.
async fn through(room: &mut Room, lines: Vec<String>) -> Exit {
    let mut given = lines.into_iter();
    let mut read = if given.len() > 0 { None } else { Some(lines_read()) };
    let mut exits = Vec::new();
    while let Some(line) = match &mut read {
        Some(read) => next_line(room, read).await,
        None => given.next(),
    } {
        match room.whole(&line).await {
            Next::Came(exit) => exits.push(exit),
            Next::Over => break,
        }
    }
    Exit::of(exits)
}

/// Lines of standard input. Reading cannot be given up, so it is a thread that nobody waits for.
fn lines_read() -> mpsc::Receiver<String> {
    let (read, lines) = mpsc::channel(limits::LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
            if read.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line, the room attended to meanwhile.
async fn next_line(room: &mut Room, lines: &mut mpsc::Receiver<String>) -> Option<String> {
    loop {
        let happened = tokio::select! {
            line = lines.recv() => return line,
            happened = room.next() => happened,
        };
        room.took(happened).await;
    }
}

/// Lines of a person: what takes long goes on while the next is written.
async fn at_a_terminal(room: &mut Room) -> Exit {
    if !terminal::can_edit() {
        room.greet(Voice::Outputs).await;
        let mut read = lines_read();
        while let Some(line) = next_line(room, &mut read).await {
            if matches!(room.begin(&line).await, Next::Over) {
                break;
            }
        }
        say::note("");
        return Exit::Passed;
    }
    let mut seat = terminal::sit(tree::trees(), room.names());
    room.greet(seat.voice.clone()).await;
    while let Some(line) = next_line(room, &mut seat.lines).await {
        if matches!(room.begin(&line).await, Next::Over) {
            break;
        }
        seat.go_on();
    }
    Exit::Passed
}
