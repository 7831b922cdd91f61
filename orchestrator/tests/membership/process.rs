//! One process that goes on beside a test, and what it says.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that nobody has looked at yet. The process waits when there are more.
const LINES: usize = 4096;

/// Ends with its value.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::listening(command)
    }

    /// The same, with the standard input that the command has been given.
    pub fn listening(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built with this test");
        let (told, lines) = sync_channel(LINES);
        read(child.stdout.take().expect("it is a pipe"), told.clone());
        read(child.stderr.take().expect("it is a pipe"), told);
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line with this in it.
    pub fn says(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(line) = line else { panic!("nothing was said of {part:?}, but:\n{}", self.seen.join("\n")) };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// All lines so far that were looked at.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Where lines for it go, if that is a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is a pipe, and asked for once")
    }

    /// The code that it ends with.
    pub fn exit(mut self) -> Option<i32> {
        self.child.wait().expect("it is our child").code()
    }

    /// It goes on living, and does nothing any more.
    pub fn freeze(&self) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::STOP).expect("it is our child");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn kill(mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: impl Read + Send + 'static, told: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
}
