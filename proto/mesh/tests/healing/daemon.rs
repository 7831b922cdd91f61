//! Servers from Debian that a scenario needs in one of its namespaces. They have no part in this program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::netns::{self, Host, Network};
use crate::parts::trust;

pub const TURN_PORT: u16 = 3478;
pub const PROXY_PORT: u16 = 8888;

/// Far more than one takes to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(20);

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: PathBuf,
}

/// Whether a program can be run. Where it cannot, that is said, and is an error where .ci/setup could have installed it.
pub fn is_installed(program: &str) -> Result<bool, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(|folder| folder.join(program).is_file()) {
        return Ok(true);
    }
    let why = format!("{program} is not installed; .ci/setup installs it");
    println!("skipped: {why}");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") { Err(why) } else { Ok(false) }
}

impl Daemon {
    /// coturn, over UDP, on that host.
    pub async fn turn(network: &Network, host: Host) -> Result<Self, String> {
        let (folder, address) = (folder()?, netns::address(host).to_string());
        let (user, port) = (format!("{}:{}", trust::TURN_USER, trust::TURN_PASSWORD), TURN_PORT.to_string());
        let database = folder.join("users");
        let mut command = within(network, host, "turnserver");
        command.args(["-n", "--log-file", "stdout", "--pidfile", "/dev/null", "--no-cli", "--no-tls", "--no-dtls"]);
        command.args(["--no-tcp", "--lt-cred-mech", "--realm", trust::MESH, "--user", &user]);
        command.args(["--listening-ip", &address, "--relay-ip", &address, "--listening-port", &port, "--db"]);
        command.arg(&database);
        Self::start(command, folder, "Total General servers").await
    }

    /// An HTTP proxy on that host.
    pub async fn proxy(network: &Network, host: Host) -> Result<Self, String> {
        let folder = folder()?;
        let file = folder.join("tinyproxy.conf");
        let text = format!("Port {PROXY_PORT}\nListen {}\nTimeout 600\nLogLevel Info\n", netns::address(host));
        std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let mut command = within(network, host, "tinyproxy");
        command.arg("-d").arg("-c").arg(&file);
        Self::start(command, folder, "Accepting connections").await
    }

    async fn start(mut command: Command, folder: PathBuf, begun: &str) -> Result<Self, String> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let mut words = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let daemon = Self { child, folder };
        let beginning = tokio::time::timeout(BEGINS_WITHIN, until(&mut words, begun)).await;
        match beginning {
            Ok(true) => {
                // read on, so that it never waits for us
                tokio::spawn(async move { while let Ok(Some(_)) = words.next_line().await {} });
                Ok(daemon)
            }
            Ok(false) => Err(format!("{command:?} ended before it said `{begun}`")),
            Err(_) => Err(format!("{command:?} did not say `{begun}` within {BEGINS_WITHIN:?}")),
        }
    }

    /// Ends it without a word, and waits until it is gone.
    pub async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| format!("cannot kill a server: {error}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A program in a host's namespace; it is killed when the scenario is.
fn within(network: &Network, host: Host, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.namespace(host.0), "setpriv", "--pdeathsig", "KILL", program]);
    command
}

fn folder() -> Result<PathBuf, String> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("meshproof-healing-{}-{number}", std::process::id()));
    make(&folder)?;
    Ok(folder)
}

fn make(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))
}

/// True when it says that; false when it ends before.
async fn until(words: &mut Lines<BufReader<ChildStdout>>, begun: &str) -> bool {
    while let Ok(Some(line)) = words.next_line().await {
        if line.contains(begun) {
            return true;
        }
    }
    false
}
