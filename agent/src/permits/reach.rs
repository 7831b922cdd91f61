//! Which addresses may be dialled.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;

/// Where clouds keep what a machine may know of itself, its credentials among it, outside of the link-local ranges.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// What steps and tunnels may dial.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    allowed: BTreeSet<IpAddr>,
    /// Host and port of each signaling server, as they are looked up.
    control: Vec<(String, u16)>,
}

impl Reach {
    pub(super) fn new(allowed: Vec<IpAddr>, control: &[String]) -> Self {
        let control = control.iter().filter_map(|url| place_of(url)).collect();
        Self { allowed: allowed.into_iter().map(plain).collect(), control }
    }

    /// Judges `host:port` as it is written; names are judged by what they come to.
    pub(super) fn written(&self, address: &str) -> Result<(), String> {
        let Ok(address) = address.parse::<SocketAddr>() else { return Ok(()) };
        self.ip(address.ip())?;
        let literal = |(host, port): &(String, u16)| Some(SocketAddr::new(host.parse().ok()?, *port));
        match self.control.iter().filter_map(literal).any(|control| is_same(control, address)) {
            true => Err(of_control(address)),
            false => Ok(()),
        }
    }

    /// Those of the addresses that may be dialled. None of them: why not the first.
    pub(super) async fn of(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        let control = self.control_at(&found).await;
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in found {
            let judged = match control.iter().any(|control| is_same(*control, address)) {
                true => Err(of_control(address)),
                false => self.ip(address.ip()),
            };
            match judged {
                Ok(()) => permitted.push(address),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        match refused {
            Some(reason) if permitted.is_empty() => Err(reason),
            _ => Ok(permitted),
        }
    }

    /// Where the signaling servers are that listen on one of these ports; the others need no look-up.
    async fn control_at(&self, found: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut places = Vec::new();
        for (host, port) in &self.control {
            if found.iter().any(|address| address.port() == *port)
                && let Ok(addresses) = lookup_host((host.as_str(), *port)).await
            {
                places.extend(addresses);
            }
        }
        places
    }

    fn ip(&self, ip: IpAddr) -> Result<(), String> {
        let ip = plain(ip);
        let what = match ip {
            _ if METADATA.contains(&ip) => "a cloud's metadata address",
            IpAddr::V4(ip) if ip.is_link_local() => "a link-local address, as clouds keep their metadata at",
            IpAddr::V6(ip) if ip.is_unicast_link_local() => "a link-local address",
            IpAddr::V4(_) | IpAddr::V6(_) => return Ok(()),
        };
        if self.allowed.contains(&ip) {
            return Ok(());
        }
        Err(format!("{ip} is {what}; start the agent with --reach {ip} (MESHPROOF_REACH) if it is to be reached"))
    }
}

fn of_control(address: SocketAddr) -> String {
    format!("{address} is a signaling server of this mesh; the mesh's own way is no target")
}

/// Without the ways in which IPv6 writes an address of IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(long) if !long.is_loopback() && !long.is_unspecified() => long.to_ipv4().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

/// Whether both lead to one socket, as far as can be told: every address of loopback, and none at all, is this machine.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let (a, b) = (plain(one.ip()), plain(other.ip()));
    one.port() == other.port() && (a == b || (here(a) && here(b)))
}

/// `host` and `port` of `wss://host:port/mesh`.
fn place_of(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?']).next()?;
    let usual = if scheme == "wss" { 443 } else { 80 };
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((bare(host), port.parse().ok()?)),
        _ => Some((bare(place), usual)),
    }
}
