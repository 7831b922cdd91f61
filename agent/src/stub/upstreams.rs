//! Hosts that a service picks at run time and reaches through the stub as its proxy.
//!
//! Nothing leaves by itself: a host that the plan does not name is refused, and one that it names is answered here, handed to
//! a service of the plan, or refused. Calls over TLS are looked at like any other: the stub shows a certificate for the host,
//! signed in the run's name. What goes through is HTTP/1.1; anything else fails as unsupported.

mod forward;
mod mint;
mod tunnel;

pub(super) use forward::forward;
pub(super) use tunnel::open;

use hyper::http::request::Parts;
use meshproof_proto::glob;
use meshproof_proto::order::{Becomes, Target, Upstreams};

use super::journal::Journal;
use mint::Mint;

/// The hosts of one stub, ready to be asked for.
#[derive(Debug)]
pub(super) struct Hosts {
    rules: Vec<Rule>,
    mint: Mint,
}

/// What becomes of the calls to some hosts.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    /// Where those are counted that no route takes.
    pub(super) slot: usize,
    host: String,
    becomes: Becomes,
}

/// The host that a call was for, as its client named it, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) scheme: &'static str,
}

impl Hosts {
    /// `Err` says what is wrong with the order.
    pub(super) fn of(order: &Upstreams, journal: &Journal) -> Result<Self, String> {
        let rule = |upstream: &meshproof_proto::order::Upstream| Rule {
            id: upstream.id.clone(),
            slot: journal.slot(&upstream.id).0,
            host: upstream.host.clone(),
            becomes: upstream.becomes.clone(),
        };
        Ok(Self { rules: order.hosts.iter().map(rule).collect(), mint: Mint::of(&order.authority, &order.subject)? })
    }

    /// The first rule for the host.
    pub(super) fn rule(&self, host: &Host) -> Option<&Rule> {
        let with_port = format!("{}:{}", host.name, host.port);
        self.rules.iter().find(|rule| glob::matches(&rule.host, &host.name) || glob::matches(&rule.host, &with_port))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.id.as_str())
    }
}

impl Rule {
    pub(super) fn refuses(&self) -> bool {
        self.becomes == Becomes::Refused
    }

    /// Where calls go that no route takes.
    pub(super) fn target(&self) -> Option<&Target> {
        match &self.becomes {
            Becomes::Rewritten(target) => Some(target),
            Becomes::Intercepted | Becomes::Refused => None,
        }
    }
}

impl Host {
    /// Of a call whose client took us for a proxy; `None`: it did not.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let authority = parts.uri.authority()?;
        let (scheme, port) = if parts.method == hyper::Method::CONNECT { ("https", 443) } else { ("http", 80) };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Some(Self { name, port: authority.port_u16().unwrap_or(port), scheme })
    }
}

/// As people write it: without the port that goes without saying.
impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => write!(f, "{}://{name}", self.scheme),
            (scheme, port) => write!(f, "{scheme}://{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(method: &str, uri: &str) -> Option<Host> {
        let request = hyper::Request::builder().method(method).uri(uri).body(()).expect("a request");
        Host::of(&request.into_parts().0)
    }

    #[test]
    fn a_host_is_the_one_that_the_client_named() {
        let shown = |method: &str, uri: &str| host(method, uri).map(|host| host.to_string());
        assert_eq!(shown("GET", "/path"), None);
        assert_eq!(shown("GET", "http://API.example/path").as_deref(), Some("http://api.example"));
        assert_eq!(shown("GET", "http://api.example:8080/").as_deref(), Some("http://api.example:8080"));
        assert_eq!(shown("CONNECT", "api.example:443").as_deref(), Some("https://api.example"));
        assert_eq!(shown("CONNECT", "[::1]:8443").as_deref(), Some("https://[::1]:8443"));
    }
}
