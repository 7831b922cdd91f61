//! A mesh of one test: its folder, its signaling server, and whoever joins.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;

pub struct Town {
    place: TempDir,
    port: u16,
    scheme: &'static str,
    pub signaling: Option<Process>,
}

impl Town {
    /// A mesh with a signaling server that knows its root key.
    pub fn new() -> Self {
        let (mut town, line) = Self::without_signaling("ws");
        town.start_signaling(&line);
        town
    }

    /// A mesh whose server is started by the test, and its URL told as `wss`.
    pub fn without_signaling(scheme: &'static str) -> (Self, String) {
        let place = TempDir::with_prefix("mp-").expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let town = Self { place, port, scheme, signaling: None };
        let line = town.done(&["mesh", "new", "dev", "--signaling", &town.url()]);
        (town, line.trim().to_owned())
    }

    /// A mesh that nobody told where its server will be, and the line that starts one.
    pub fn without_url() -> (Self, String) {
        let (mut town, _) = Self::without_signaling("ws");
        town.place = TempDir::with_prefix("mp-").expect("a temporary folder");
        let line = town.done(&["mesh", "new", "dev"]);
        (town, line.trim().to_owned())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/mesh", self.scheme, self.port)
    }

    /// Runs the line that `mesh new` printed.
    pub fn start_signaling(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["meshproof", arguments @ ..] = &words[..] else { panic!("a command of meshproof was expected: {line}") };
        let mut signaling = Process::start(self.command(arguments));
        signaling.says("listening on");
        self.signaling = Some(signaling);
    }

    /// The line that starts a signaling server for the root key as it is now.
    pub fn signaling_line(&self) -> String {
        self.done(&["mesh", "signaling"])
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.current_dir(self.place.path()).args(arguments);
        for variable in
            ["MESHPROOF_LOG", "MESHPROOF_SIGNALING", "MESHPROOF_ROOT", "MESHPROOF_TOKEN_FILE", "MESHPROOF_CA"]
        {
            command.env_remove(variable);
        }
        command.env("XDG_RUNTIME_DIR", self.place.path());
        command
    }

    pub fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the binary was built with this test")
    }

    /// What a command that does well prints.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a command that does not exits with, and says.
    pub fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.ask(arguments);
        (output.status.code().expect("an exit"), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A token in a file.
    pub fn invite(&self, names: &str, role: &str) -> String {
        let file = format!("{}.token", names.replace('*', "x"));
        self.done(&["mesh", "invite", names, "--role", role, "--out", &file]);
        file
    }

    /// An agent that keeps its state, in its mesh.
    pub fn agent(&self, name: &str, token: &str) -> Process {
        let mut agent = self.begun(name, token);
        agent.says("joined");
        agent
    }

    /// The same of one that may not be let in.
    pub fn begun(&self, name: &str, token: &str) -> Process {
        let state = format!("state-{name}");
        let mut command = self.command(&["agent", "--token-file", token, "--state", &state]);
        command.env("MESHPROOF_LOG", "info,meshproof::calls=debug,webrtc=error,rtc=error,tarpc=off");
        Process::start(command)
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.path().join(format!("state-{name}"))
    }

    /// A mesh file, made with a new console's token.
    pub fn console(&self, name: &str) -> String {
        let token = self.invite(&format!("{name}-*"), "operator-console");
        let file = format!("{name}.toml");
        self.done(&["mesh", "join", &token, "--out", &file]);
        file
    }

    /// The agents that answer.
    pub fn agents(&self, file: &str) -> Vec<String> {
        let told: Value = serde_json::from_str(&self.done(&["who", "--mesh", file, "--json"])).expect("a document");
        let peers = told["peers"].as_array().expect("a list").iter();
        let answers = peers.filter(|peer| peer["role"] == "agent" && peer["silent"].is_null());
        answers.map(|peer| peer["name"].as_str().expect("a name").to_owned()).collect()
    }

    pub fn stdin(&self, arguments: &[&str], file: &str) -> Output {
        let from = File::open(self.path().join(file)).expect("it was written");
        self.command(arguments).stdin(from).output().expect("the binary was built with this test")
    }
}
