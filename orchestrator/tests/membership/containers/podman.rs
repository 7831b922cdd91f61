//! Containers of one test, and the network and volumes that they share; gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::process::Process;

/// For machines with control groups of the first version, and limits below podman's own.
const SETTINGS: &str = "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
    [containers]\ndefault_ulimits = [\"nofile=16384:16384\", \"nproc=30000:30000\"]\n";

/// What containers cannot be built or run without.
pub struct Missing {
    pub what: String,
    pub why: String,
    /// From packages, by whoever set this machine up.
    pub could_be_installed: bool,
}

pub fn missing() -> Option<Missing> {
    let cannot = |what: &str, why: String| Some(Missing { what: what.to_owned(), why, could_be_installed: false });
    for program in ["podman", "musl-gcc", "rustup"] {
        let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if let Err(error) = there {
            let why = format!("cannot be run: {error}");
            return Some(Missing { what: program.to_owned(), why, could_be_installed: true });
        }
    }
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let added = Command::new("rustup").args(["target", "add", &target]).output().map_err(|error| error.to_string());
    match added {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return cannot(&target, format!("cannot be fetched: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Err(error) => return cannot(&target, error),
    }
    // a kernel, or a sandbox, that has no containers
    tried(&["info"]).err().and_then(|error| cannot("podman", format!("does not work here: {error}")))
}

/// The file with podman's settings: written once and whole, for others read it meanwhile, and half of it would be taken for all.
pub fn settings() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            return "/dev/null".into();
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (file, new) =
            (folder.join("containers.conf"), folder.join(format!("containers.conf.{}", std::process::id())));
        std::fs::write(&new, SETTINGS).expect("the folder of tests can be written to");
        std::fs::rename(&new, &file).expect("the folder of tests can be written to");
        file
    });
    &FILE
}

fn podman(arguments: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command.args(arguments).env("CONTAINERS_CONF", settings()).stdin(Stdio::null());
    command
}

/// What it prints, or what it complains of.
pub fn tried(arguments: &[&str]) -> Result<String, String> {
    let output = podman(arguments).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

pub fn done(arguments: &[&str]) -> String {
    tried(arguments).unwrap_or_else(|error| panic!("podman {arguments:?}: {error}"))
}

/// How a container is started.
#[derive(Default)]
pub struct Container<'a> {
    pub name: &'a str,
    pub image: &'a str,
    /// Where it lives, and the last number of its address there.
    pub address: Option<(&'a Network, u8)>,
    /// Another network, in which its address has the same last number.
    pub also: Option<&'a Network>,
    /// The container whose network it shares.
    pub beside: Option<&'a str>,
    pub variables: &'a [(&'a str, &'a str)],
    pub volumes: &'a [(&'a str, &'a str)],
    /// What is mounted where the agent looks for its token.
    pub secret: Option<&'a str>,
    pub arguments: &'a [&'a str],
}

/// A network of one test, as podman has it.
pub struct Network {
    name: String,
    /// The first three numbers of its addresses.
    prefix: String,
}

impl Network {
    /// That of the machine itself is 1.
    pub fn address(&self, host: u8) -> String {
        format!("{}.{host}", self.prefix)
    }

    pub fn subnet(&self) -> String {
        format!("{}.0/24", self.prefix)
    }
}

/// Everything of one test, by a prefix of its own.
pub struct Yard {
    prefix: String,
    number: u32,
    networks: Vec<String>,
}

impl Yard {
    /// `part` tells it from other tests of this process.
    pub fn new(part: &str) -> Self {
        let number = std::process::id();
        Self { prefix: format!("mp{number}{part}"), number: number % 200, networks: Vec::new() }
    }

    /// A network `10.SECOND.x.0/24` from which no other one can be reached.
    pub fn network(&mut self, part: &str, second: u8) -> Network {
        let network = Network { name: self.name(part), prefix: format!("10.{second}.{}", self.number) };
        done(&["network", "create", "--opt", "isolate=true", "--subnet", &network.subnet(), &network.name]);
        self.networks.push(network.name.clone());
        network
    }

    pub fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }

    /// Made when it is used.
    pub fn volume(&self, part: &str) -> String {
        self.name(part)
    }

    pub fn mountpoint(&self, volume: &str) -> PathBuf {
        done(&["volume", "inspect", "--format", "{{.Mountpoint}}", &self.volume(volume)]).trim().into()
    }

    pub fn secret(&self, part: &str, file: &Path) -> String {
        let name = self.name(part);
        done(&["secret", "create", &name, &file.display().to_string()]);
        name
    }

    /// Nobody's privilege, nothing to write to but its volumes, and started again when it dies.
    pub fn start(&self, container: &Container<'_>) {
        let mut words: Vec<String> = ["run", "--detach", "--read-only", "--cap-drop", "all", "--restart", "always"]
            .into_iter()
            .chain(["--name", &self.name(container.name), "--label", &self.prefix])
            .map(str::to_owned)
            .collect();
        if let Some((network, host)) = container.address {
            let networks = [network].into_iter().chain(container.also);
            words.extend(networks.map(|network| format!("--network={}:ip={}", network.name, network.address(host))));
        }
        if let Some(beside) = container.beside {
            words.push(format!("--network=container:{beside}"));
        }
        words.extend(container.variables.iter().map(|(name, value)| format!("--env={name}={value}")));
        words.extend(container.volumes.iter().map(|(volume, at)| format!("--volume={volume}:{at}")));
        words.extend(
            container.secret.map(|secret| format!("--secret={secret},target=/etc/meshproof/token,uid=65532,mode=0400")),
        );
        words.push(format!("meshproof-{}:test", container.image));
        words.extend(container.arguments.iter().map(|argument| (*argument).to_owned()));
        done(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// What a container has said, and what it says from now on.
    pub fn log(&self, name: &str) -> Process {
        Process::start(podman(&["logs", "--follow", &self.name(name)]))
    }

    /// Its process dies, as when the kernel needs its memory.
    pub fn kill(&self, name: &str) {
        let process = self.process(name);
        let killed = Command::new("kill").args(["-9", &process]).status().expect("there is kill");
        assert!(killed.success(), "{process}");
    }

    /// Gone, and not started again.
    pub fn remove(&self, name: &str) {
        done(&["rm", "--force", "--time", "0", &self.name(name)]);
    }

    /// A secret that may be made anew.
    pub fn forget(&self, part: &str) {
        done(&["secret", "rm", &self.name(part)]);
    }

    /// The hardware address that a container has in a network.
    pub fn hardware(&self, name: &str, network: &Network) -> String {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{}\").MacAddress}}}}", network.name);
        done(&["inspect", "--format", &format, &self.name(name)]).trim().to_owned()
    }

    /// The id of its process.
    pub fn process(&self, name: &str) -> String {
        done(&["inspect", "--format", "{{.State.Pid}}", &self.name(name)]).trim().to_owned()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let label = format!("label={}", self.prefix);
        let listed = |arguments: &[&str]| tried(arguments).unwrap_or_default();
        let containers = listed(&["ps", "--all", "--quiet", "--filter", &label]);
        let containers: Vec<&str> = containers.split_whitespace().collect();
        if !containers.is_empty() {
            let _ = tried(&[&["rm", "--force", "--volumes", "--time", "0"], &containers[..]].concat());
        }
        let _ = tried(&["volume", "rm", "--force", &self.volume("audit")]);
        for secret in listed(&["secret", "ls", "--format", "{{.Name}}"]).lines() {
            if secret.starts_with(&self.prefix) {
                let _ = tried(&["secret", "rm", secret]);
            }
        }
        for network in &self.networks {
            let _ = tried(&["network", "rm", "--force", network]);
        }
    }
}
