//! The addresses of this machine that a peer may offer to others, as they are now and each time they change.
//!
//! The kernel says over rtnetlink that an address or an interface changed; the watcher then asks for all of them anew, so a
//! notice that was lost costs nothing. What it refuses: to guess which address is the best one. It gives the usable ones and
//! leaves the choice to ICE, which tries them.

mod netlink;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use netlink::{Assigned, Interface};

/// An offer carries as many candidates in a signal of ordinary size; a host with more addresses offers the lowest.
const MOST_ADDRESSES: usize = 16;

/// Interfaces that lead to containers and guests of this very machine. Their addresses are the same on many machines, so
/// offering them only makes peers try what cannot work.
const HOST_ONLY: [&str; 6] = ["docker", "podman", "cni", "virbr", "lxcbr", "lxdbr"];

/// Which addresses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those by which other machines may reach this one.
    Network,
    /// Those of loopback too: the whole mesh may be on this machine.
    NetworkAndLoopback,
}

/// The addresses that a peer offers to others, as people write them: several separated by commas, or `auto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered(Vec<IpAddr>);

impl Offered {
    /// For a mesh's configuration. None: whatever this machine has, also when that changes.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.0.clone()
    }
}

impl FromStr for Offered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(Vec::new()));
        }
        let address = |part: &str| {
            let wrong = |_| {
                format!(
                    "`{part}` is not an IP address; several are separated by commas, `auto` means those that other machines reach"
                )
            };
            part.parse().map_err(wrong)
        };
        text.split(',').map(address).collect::<Result<_, _>>().map(Self)
    }
}

/// The usable addresses of one interface, for a peer that is to be reached by that one alone.
///
/// # Errors
///
/// There is no such interface, it has no usable address, or there is no rtnetlink here.
pub fn of_interface(name: &str) -> io::Result<Offered> {
    let socket = netlink::Socket::new()?;
    let interfaces = socket.interfaces()?;
    let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
        let known: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        return Err(io::Error::other(format!("there is no interface `{name}`; there are {}", known.join(", "))));
    };
    let on_it = |assigned: &&Assigned| assigned.interface == interface.index && assigned.is_settled();
    let addresses = socket.assigned()?.into_iter().filter(|assigned| on_it(&assigned)).map(|assigned| assigned.address);
    let addresses: Vec<IpAddr> =
        addresses.filter(|address| is_unicast(*address, Scope::NetworkAndLoopback)).take(MOST_ADDRESSES).collect();
    match addresses.is_empty() {
        true => Err(io::Error::other(format!("the interface `{name}` has no address by which others reach it"))),
        false => Ok(Offered(addresses)),
    }
}

/// Keeps a set of addresses up to date.
#[derive(Debug)]
pub struct AddressWatcher {
    scope: Scope,
    notices: UdpSocket,
    addresses: watch::Sender<BTreeSet<IpAddr>>,
}

impl AddressWatcher {
    /// Begins to listen for changes. The receiver has the present set at once; [`Self::run`] keeps it so.
    ///
    /// # Errors
    ///
    /// There is no rtnetlink here, or the process may not use it.
    pub fn open(scope: Scope) -> io::Result<(Self, watch::Receiver<BTreeSet<IpAddr>>)> {
        // listen first: what changes between the two is then noticed
        let notices = netlink::changes()?;
        let (addresses, present) = watch::channel(present(scope)?);
        Ok((Self { scope, notices, addresses }, present))
    }

    /// Runs until nobody holds a receiver any more.
    ///
    /// # Errors
    ///
    /// The kernel no longer answers; the last set stays as it is.
    pub async fn run(self) -> io::Result<()> {
        loop {
            tokio::select! {
                () = self.addresses.closed() => return Ok(()),
                changed = self.changed() => changed?,
            }
            let now = present(self.scope)?;
            self.addresses.send_if_modified(|before| {
                let differs = *before != now;
                *before = now;
                differs
            });
        }
    }

    /// Waits for a notice, and takes all that are there.
    async fn changed(&self) -> io::Result<()> {
        self.notices.readable().await?;
        let mut notice = [0; netlink::NOTICE_BYTES];
        loop {
            match self.notices.try_recv(&mut notice) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // some were lost, which is one more reason to look
                Err(error) if netlink::were_too_many(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The usable addresses of this moment.
fn present(scope: Scope) -> io::Result<BTreeSet<IpAddr>> {
    let socket = netlink::Socket::new()?;
    Ok(usable(&socket.interfaces()?, &socket.assigned()?, scope))
}

fn usable(interfaces: &[Interface], assigned: &[Assigned], scope: Scope) -> BTreeSet<IpAddr> {
    let serves = |assigned: &&Assigned| {
        let interface = interfaces.iter().find(|interface| interface.index == assigned.interface);
        assigned.is_settled() && interface.is_some_and(|interface| interface.is_running() && admits(interface, scope))
    };
    let addresses: BTreeSet<_> = assigned.iter().filter(serves).map(|assigned| assigned.address).collect();
    addresses.into_iter().filter(|address| is_unicast(*address, scope)).take(MOST_ADDRESSES).collect()
}

fn admits(interface: &Interface, scope: Scope) -> bool {
    match scope {
        Scope::NetworkAndLoopback if interface.is_loopback() => true,
        Scope::Network | Scope::NetworkAndLoopback => !interface.is_loopback() && !is_host_only(&interface.name),
    }
}

fn is_host_only(name: &str) -> bool {
    // docker names the bridge of a network after the first twelve digits of its id
    let bridge = name.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|c| c.is_ascii_hexdigit()));
    bridge || HOST_ONLY.iter().any(|prefix| name.starts_with(prefix))
}

fn is_unicast(address: IpAddr, scope: Scope) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
    };
    let loopback = address.is_loopback() && scope == Scope::Network;
    !(link_local || loopback || address.is_multicast() || address.is_unspecified())
}

#[cfg(test)]
mod tests;
