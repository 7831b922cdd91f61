//! What the usual environment variables say about proxies.

use std::net::IpAddr;

use super::{ProxyAddress, ProxyError};

/// In this order, and each in lower case first, as curl has it.
const VARIABLES: [[&str; 2]; 3] =
    [["https_proxy", "HTTPS_PROXY"], ["http_proxy", "HTTP_PROXY"], ["all_proxy", "ALL_PROXY"]];

/// A proxy, and for whom it is not.
#[derive(Debug)]
pub(super) struct Rules {
    /// The variable and its text.
    proxy: Option<(&'static str, String)>,
    exceptions: Vec<String>,
}

impl Rules {
    pub(super) fn of_the_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&str| variable(name).filter(|text| !text.trim().is_empty());
        let proxy = VARIABLES.iter().flatten().find_map(|name| Some((*name, set(name)?)));
        let exceptions = ["no_proxy", "NO_PROXY"].iter().find_map(set).unwrap_or_default();
        let exceptions = exceptions.split([',', ' ']).map(str::trim).filter(|exception| !exception.is_empty());
        Self { proxy, exceptions: exceptions.map(str::to_ascii_lowercase).collect() }
    }

    /// # Errors
    ///
    /// A proxy is named for this host, and it is no address.
    pub(super) fn proxy_for(&self, host: &str, port: u16) -> Result<Option<ProxyAddress>, ProxyError> {
        let Some((variable, text)) = &self.proxy else { return Ok(None) };
        if is_this_machine(host) || self.exceptions.iter().any(|exception| excepts(exception, host, port)) {
            return Ok(None);
        }
        let address = text.parse().map_err(|source| ProxyError::Environment { variable, source })?;
        Ok(Some(address))
    }
}

/// A proxy elsewhere would reach another machine under that name.
fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `*`, a domain (with all below it), an address, or a block of addresses (`10.0.0.0/8`); a name may carry a port.
fn excepts(exception: &str, host: &str, port: u16) -> bool {
    if exception == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return match exception.split_once('/') {
            Some((network, bits)) => in_block(address, network, bits),
            None => exception.trim_matches(['[', ']']).parse() == Ok(address) || exception == format!("{host}:{port}"),
        };
    }
    let domain = match exception.rsplit_once(':') {
        Some((domain, only)) if only.parse() == Ok(port) => domain,
        Some(_) => return false,
        None => exception,
    };
    let domain = domain.trim_start_matches("*.").trim_start_matches('.');
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn in_block(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    // a shift by the whole width means that the block is everything
    bits <= width && (address ^ network).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(variables: &'static [(&str, &str)]) -> Rules {
        Rules::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
    }

    fn proxied(rules: &Rules, host: &str) -> Option<String> {
        rules.proxy_for(host, 80).expect("a good address").map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_tunnel_of_https_is_preferred_and_lower_case_wins() {
        for (variables, expected) in [
            (&[("ALL_PROXY", "all:1"), ("HTTP_PROXY", "http:1"), ("HTTPS_PROXY", "https:1")][..], Some("https:1")),
            (&[("ALL_PROXY", "all:1"), ("HTTP_PROXY", "http:1")], Some("http:1")),
            (&[("ALL_PROXY", "all:1")], Some("all:1")),
            (&[("HTTPS_PROXY", "upper:1"), ("https_proxy", "lower:1")], Some("lower:1")),
            (&[("HTTPS_PROXY", ""), ("all_proxy", "all:1")], Some("all:1")),
            (&[], None),
        ] {
            assert_eq!(proxied(&rules(variables), "far.example").as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn this_machine_and_what_no_proxy_names_is_reached_directly() {
        let rules = rules(&[
            ("HTTPS_PROXY", "proxy:1"),
            ("NO_PROXY", "near.example, .below.example,10.0.0.0/8,192.0.2.7,2001:db8::/32, port.example:81"),
        ]);
        let direct = [
            "localhost",
            "127.9.9.9",
            "::1",
            "near.example",
            "NEAR.example",
            "a.near.example",
            "x.below.example",
            "10.1.2.3",
            "192.0.2.7",
            "2001:db8::1",
        ];
        for host in direct {
            assert_eq!(proxied(&rules, host), None, "{host}");
        }
        for host in ["far.example", "notnear.example", "11.0.0.1", "192.0.2.8", "2001:db9::1", "port.example"] {
            assert_eq!(proxied(&rules, host).as_deref(), Some("proxy:1"), "{host}");
        }
        assert_eq!(rules.proxy_for("port.example", 81).expect("a good address"), None);
    }

    #[test]
    fn a_star_means_everything_and_so_does_an_empty_prefix() {
        for exceptions in
            [&[("http_proxy", "p:1"), ("no_proxy", "*")], &[("http_proxy", "p:1"), ("no_proxy", "0.0.0.0/0")]]
        {
            assert_eq!(proxied(&rules(exceptions), "198.51.100.1"), None);
        }
    }

    #[test]
    fn a_bad_address_names_its_variable_and_only_matters_where_it_is_meant() {
        let rules = rules(&[("ALL_PROXY", "socks5://user:secret@proxy:1080")]);
        assert!(proxied(&rules, "localhost").is_none());
        let error = rules.proxy_for("far.example", 80).expect_err("no http proxy").to_string();
        assert_eq!(error, "ALL_PROXY names no usable proxy: only http:// proxies are supported, not socks5://");
    }
}
