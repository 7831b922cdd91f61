//! Networks of a scenario's own: a namespace for each process, all on the bridge of one more, where paths are cut.
//!
//! A namespace is named after the process that made it. What an earlier run left behind because it was killed is removed by
//! the next one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Begins the name of every namespace of ours, before the process id.
const MARK: &str = "mph";

/// Where iproute2 keeps named namespaces.
const NAMESPACES: &str = "/run/netns";

/// Forwarding rules of the bridge; each that is added drops one direction. Those about old sockets outlive the cut.
const NO_CUT: &str = "add table bridge cuts\nadd chain bridge cuts forward { type filter hook forward priority 0; policy accept; }\n\
     add chain bridge cuts old { type filter hook forward priority 1; policy accept; }\n";

/// A host on the scenario's network, by its name and the last byte of its address.
pub type Host = (&'static str, u8);

/// A bridge and the namespaces on it; they go when this does.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: Vec<Host>,
}

/// Whether networks can be made here, and if not, why.
pub fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("this takes root".to_owned());
    }
    for program in ["ip", "nft"] {
        let there = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        there.map_err(|error| format!("`{program}` cannot be run ({error}); .ci/setup installs it"))?;
    }
    sweep();
    let network = Network::new("try", &[])?;
    drop(network);
    Ok(())
}

pub fn address((_, last): Host) -> Ipv4Addr {
    at(last)
}

pub fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last)
}

impl Network {
    /// A network of its own for a scenario, with these hosts on it.
    pub fn new(scenario: &str, hosts: &[Host]) -> Result<Self, String> {
        // dropped when half made, it is removed all the same
        let network = Self { prefix: format!("{MARK}{}-{scenario}", std::process::id()), hosts: hosts.to_vec() };
        let bridge = network.bridge();
        ip(&["netns", "add", &bridge])?;
        ip_in(&bridge, "link add br0 type bridge\nlink set br0 up\n")?;
        nft_in(&bridge, NO_CUT)?;
        for host in hosts {
            network.add(*host)?;
        }
        Ok(network)
    }

    fn add(&self, (name, last): Host) -> Result<(), String> {
        let (bridge, namespace) = (self.bridge(), self.namespace(name));
        ip(&["netns", "add", &namespace])?;
        let outside = format!(
            "link add to-{name} type veth peer name eth0 netns {namespace}\nlink set to-{name} master br0\nlink set to-{name} up\n"
        );
        ip_in(&bridge, &outside)?;
        ip_in(&namespace, &format!("link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\n", at(last)))
    }

    pub fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.prefix)
    }

    /// Drops what goes from the first to the second address.
    pub fn cut(&self, from: Ipv4Addr, to: Ipv4Addr) -> Result<(), String> {
        nft_in(&self.bridge(), &format!("add rule bridge cuts forward ip saddr {from} ip daddr {to} drop\n"))
    }

    /// Ends every cut.
    pub fn heal(&self) -> Result<(), String> {
        nft_in(&self.bridge(), "flush chain bridge cuts forward\n")
    }

    /// From now on the sockets that both hosts have now hear nothing of each other, whatever is healed; newer ones may.
    pub fn retire_sockets(&self, hosts: [Host; 2]) -> Result<(), String> {
        let mut rules = "flush chain bridge cuts old\n".to_owned();
        let [one, other] = hosts;
        for (from, to) in [(one, other), (other, one)] {
            let ports = self.udp_ports(from.0)?.join(", ");
            let (from, to) = (address(from), address(to));
            writeln!(rules, "add rule bridge cuts old ip saddr {from} ip daddr {to} udp sport {{ {ports} }} drop")
                .expect("a string takes it");
        }
        nft_in(&self.bridge(), &rules)
    }

    fn udp_ports(&self, name: &str) -> Result<Vec<String>, String> {
        let listed = ip(&["netns", "exec", &self.namespace(name), "cat", "/proc/net/udp"])?;
        let local = listed.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)?.split_once(':'));
        Ok(local.filter_map(|(_, port)| u16::from_str_radix(port, 16).ok()).map(|port| port.to_string()).collect())
    }

    /// Gives a host another address in place of the one it has.
    pub fn replace(&self, name: &str, old: Ipv4Addr, new: Ipv4Addr) -> Result<(), String> {
        // the other way round the new one would be the old one's secondary, and go with it
        let change = format!("address del {old}/24 dev eth0\naddress add {new}/24 dev eth0\n");
        ip_in(&self.namespace(name), &change)
    }

    /// Has a host's own firewall refuse every datagram that it sends.
    pub fn forbid_udp(&self, name: &str) -> Result<(), String> {
        let rules = "add table inet own\nadd chain inet own output { type filter hook output priority 0; policy accept; }\n\
                     add rule inet own output meta l4proto udp drop\n";
        nft_in(&self.namespace(name), rules)
    }

    pub fn permit_udp(&self, name: &str) -> Result<(), String> {
        nft_in(&self.namespace(name), "delete table inet own\n")
    }

    /// Sends a datagram from a host, if its kernel lets it.
    pub fn send_udp(&self, name: &str, to: Host) -> Result<(), String> {
        let send = format!("echo > /dev/udp/{}/9", address(to));
        run(Command::new("ip").args(["netns", "exec", &self.namespace(name), "bash", "-c", &send]), "").map(drop)
    }

    /// Leaves a host no route but to these: packets to others are not even sent.
    pub fn route_only(&self, name: &str, to: &[Host]) -> Result<(), String> {
        let routes: String = to.iter().map(|host| format!("route add {} dev eth0\n", address(*host))).collect();
        ip_in(&self.namespace(name), &format!("route del 10.77.0.0/24 dev eth0\n{routes}"))
    }

    pub fn has_route(&self, name: &str, to: Host) -> bool {
        ip(&["-n", &self.namespace(name), "route", "get", &address(to).to_string()]).is_ok()
    }

    /// Does this to a host's interfaces or addresses, in the words of `ip`.
    pub fn change(&self, name: &str, words: &str) -> Result<(), String> {
        ip_in(&self.namespace(name), words)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = self.hosts.iter().map(|(name, _)| self.namespace(name));
        for namespace in hosts.chain([self.bridge()]) {
            if Path::new(NAMESPACES).join(&namespace).exists()
                && let Err(error) = ip(&["netns", "delete", &namespace])
            {
                eprintln!("a namespace is left: {error}");
            }
        }
    }
}

/// Removes the namespaces, and whoever is in them, of test processes that are gone.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return };
    for entry in entries.flatten() {
        let Ok(namespace) = entry.file_name().into_string() else { continue };
        let made_by = namespace.strip_prefix(MARK).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        let Some(pid) = made_by.filter(|pid| pid.parse::<u32>().is_ok()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            for pid in inhabitants(&namespace) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let _ = ip(&["netns", "delete", &namespace]);
        }
    }
}

fn inhabitants(namespace: &str) -> Vec<rustix::process::Pid> {
    let listed = ip(&["netns", "pids", namespace]).unwrap_or_default();
    listed.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?)).collect()
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    run(Command::new("ip").args(arguments), "")
}

fn ip_in(namespace: &str, commands: &str) -> Result<(), String> {
    run(Command::new("ip").args(["-n", namespace, "-batch", "-"]), commands).map(drop)
}

fn nft_in(namespace: &str, rules: &str) -> Result<(), String> {
    run(Command::new("ip").args(["netns", "exec", namespace, "nft", "-f", "-"]), rules).map(drop)
}

/// Runs a program to its end and gives what it printed.
fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let output = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            // what it is told is short, so it fits into the pipe; dropped, the pipe ends
            child.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
            child.wait_with_output()
        })
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} with {input:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
