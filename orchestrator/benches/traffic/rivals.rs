//! Programs that others use for the same, where they are installed.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// The first line of what a program says of its version; none: it is not in the `PATH`.
pub fn version(program: &str, flag: &str) -> Option<String> {
    let said = Command::new(program).arg(flag).output().ok()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.contains("ersion") || line.contains(program))?;
    Some(line.split(" [").next().unwrap_or(line).split(" - ").next().unwrap_or(line).trim().to_owned())
}

pub fn skipped(program: &str) {
    eprintln!("skipped: {program} is not in the PATH; `apt-get install {program}` brings it");
}

/// A proxy that passes connections on, until this is dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    pub address: String,
    /// What it is, and the command line that started it.
    pub what: String,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Proxy {
    pub fn haproxy(to: &str) -> Option<Self> {
        let version = version("haproxy", "-v")?;
        let port = free_port();
        let settings = format!(
            "global\n  nbthread 1\n  maxconn 20000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             listen l\n  bind 127.0.0.1:{port}\n  server s {to}\n"
        );
        let file = std::env::temp_dir().join(format!("mp-haproxy-{port}.cfg"));
        std::fs::write(&file, settings).expect("a new file");
        let mut command = Command::new("haproxy");
        command.arg("-q").arg("-f").arg(&file);
        Some(Self::start(command, port, format!("{version}: `haproxy -f FILE`, mode tcp, nbthread 1")))
    }

    pub fn socat(to: &str) -> Option<Self> {
        let version = version("socat", "-V")?;
        let port = free_port();
        let mut command = Command::new("socat");
        let listens = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=1024");
        command.arg(&listens).arg(format!("TCP:{to},nodelay"));
        let what = format!("{version}: `socat TCP-LISTEN:PORT,fork,reuseaddr,nodelay,backlog=1024 TCP:TO,nodelay`");
        Some(Self::start(command, port, what))
    }

    fn start(mut command: Command, port: u16, what: String) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it said its version");
        let address = format!("127.0.0.1:{port}");
        while std::net::TcpStream::connect(&address).is_err() {
            std::thread::yield_now();
        }
        Self { child, address, what }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
