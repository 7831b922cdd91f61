//! What this machine can do for a run, and what is missing for what.
//!
//! Each thing is tried, not guessed from versions: a namespace is made, a socket is bound, a file is written. Nothing of it stays.

mod bundle;

pub use bundle::bundle;

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use serde::Serialize;

use crate::local;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: &'static str,
    /// What one has it for.
    pub used_for: &'static str,
    pub need: Need,
    /// What there is, or what is missing and what helps.
    pub found: Result<String, String>,
}

/// Who cannot do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// No plan runs.
    Every,
    /// Only plans or runs that ask for it.
    Some,
    /// Nothing here uses it yet.
    Later,
}

/// Tries everything; runs would be kept in this folder.
#[must_use]
pub fn look(runs: Result<&Path, String>) -> Vec<Finding> {
    let finding = |need, what, used_for, found| Finding { what, used_for, need, found };
    vec![
        finding(Need::Every, "kept runs", "journals, reports and logs", runs.and_then(writable)),
        finding(Need::Every, "loopback", "signaling, agents and services of a run on this machine", loopback()),
        finding(Need::Every, "open files", "connections of services and agents", open_files()),
        finding(Need::Some, "data network", "plans with `network:`", data_network()),
        finding(Need::Some, "landlock", "agents that confine the programs of steps", landlock()),
        finding(Need::Later, "netem", "faults on interfaces", netem()),
        finding(Need::Later, "nft", "faults on interfaces", nft()),
        finding(Need::Some, "podman", "runs `--on podman`", program("podman")),
        finding(Need::Some, "docker", "runs `--on docker`", program("docker")),
        finding(Need::Some, "kubectl", "runs `--on kubernetes`", program("kubectl")),
    ]
}

/// Whether plans run here.
#[must_use]
pub fn is_able(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.need != Need::Every || finding.found.is_ok())
}

fn writable(folder: &Path) -> Result<String, String> {
    // the first parent that is there has to take the rest
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let name = there.join(format!(".meshproof-doctor-{}", std::process::id()));
    let written =
        std::fs::File::options().create_new(true).write(true).open(&name).and_then(|mut file| file.write_all(b"?"));
    // an error means that it was never made
    let _ = std::fs::remove_file(&name);
    let shown = folder.display();
    match written {
        Ok(()) => Ok(shown.to_string()),
        Err(error) => {
            Err(format!("{shown} cannot be written: {error}; name another with --runs DIR or MESHPROOF_RUNS"))
        }
    }
}

fn loopback() -> Result<String, String> {
    let refused =
        |error: std::io::Error| format!("127.0.0.1 cannot be listened at: {error}; `ip link set lo up` may help");
    TcpListener::bind(("127.0.0.1", 0)).map_err(refused)?;
    let one = UdpSocket::bind(("127.0.0.1", 0)).map_err(refused)?;
    let to = one.local_addr().map_err(refused)?;
    one.send_to(b"?", to).map_err(refused)?;
    Ok("TCP and UDP at 127.0.0.1".to_owned())
}

/// A run of three services needs a few hundred.
const FILES: u64 = 1_024;

fn open_files() -> Result<String, String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FILES => {
            Err(format!("no more than {most} may be open, {FILES} are needed; raise `ulimit -Hn`"))
        }
        Some(most) => Ok(format!("up to {most}")),
        None => Ok("as many as there are".to_owned()),
    }
}

fn data_network() -> Result<String, String> {
    let helps = "run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN, with iproute2 installed and /dev/net/tun there";
    local::namespaces_possible()
        .map(|()| "network namespaces and TUN devices".to_owned())
        .map_err(|error| format!("{error}; {helps}"))
}

/// Latency on an interface, by the kernel.
fn netem() -> Result<String, String> {
    let on_loopback = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
    let by_kernel = local::network_takes("tc", &on_loopback);
    by_kernel
        .map(|()| "`tc` shapes by netem".to_owned())
        .map_err(|error| format!("{error}; it takes root, iproute2 and a kernel with sch_netem (`modprobe sch_netem`)"))
}

/// A filter whose elements end by themselves, by the kernel.
fn nft() -> Result<String, String> {
    let ends_by_itself = "add table inet try; add set inet try cut { type ipv4_addr; flags timeout; }; \
                          add element inet try cut { 198.18.0.1 timeout 1s }";
    let by_kernel = local::network_takes("nft", &[ends_by_itself]);
    by_kernel
        .map(|()| "`nft` filters by sets with timeouts".to_owned())
        .map_err(|error| format!("{error}; it takes root, nftables and a kernel with nf_tables (`modprobe nf_tables`)"))
}

fn landlock() -> Result<String, String> {
    match local::can_confine() {
        true => Ok("this kernel has it".to_owned()),
        false => Err(
            "not in this kernel, or not switched on (`lsm=landlock,…`); agents refuse steps that they cannot confine"
                .to_owned(),
        ),
    }
}

fn program(name: &'static str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.map(|file| file.display().to_string()).ok_or_else(|| "not installed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_tried_where_it_would_be_made_and_nothing_stays() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let runs = place.path().join("not/yet/there");
        assert_eq!(writable(&runs), Ok(runs.display().to_string()));
        assert_eq!(std::fs::read_dir(place.path()).expect("ours").count(), 0);
        assert!(writable(Path::new("/proc/nowhere")).expect_err("nobody writes there").contains("--runs DIR"));
    }

    #[test]
    fn only_what_every_plan_needs_makes_a_machine_unable() {
        let finding = |need, found: Result<&str, &str>| Finding {
            what: "x",
            used_for: "y",
            need,
            found: found.map(str::to_owned).map_err(str::to_owned),
        };
        let some = [finding(Need::Every, Ok("a")), finding(Need::Some, Err("b")), finding(Need::Later, Err("c"))];
        assert!(is_able(&some) && !is_able(&[finding(Need::Every, Err("a"))]));
    }
}
