//! Where a proxy is, and who we are to it.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use thiserror::Error;

/// An HTTP proxy: `http://user:password@host:port`, or less of it. What is secret in it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    pub(super) host: String,
    pub(super) port: u16,
    /// `user:password`.
    credentials: Option<Vec<u8>>,
}

/// The text is no proxy's address. It is not repeated, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadProxy {
    #[error("only http:// proxies are supported, not {0}://")]
    Scheme(String),
    #[error("http://HOST:PORT was expected")]
    NoHost,
    #[error("the port is no number up to 65535")]
    Port,
    #[error("user and password hold a % that is not followed by two hexadecimal digits")]
    Escape,
}

impl FromStr for ProxyAddress {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => return Err(BadProxy::Scheme(scheme.to_owned())),
            None => text,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(unescaped(credentials)?), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(BadProxy::NoHost);
        }
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

impl ProxyAddress {
    /// What goes into `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| format!("Basic {}", BASE64.encode(credentials)))
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyAddress({self})")
    }
}

/// The port of HTTP when none is named; an IPv6 address stands in brackets.
fn host_and_port(place: &str) -> Result<(&str, u16), BadProxy> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(BadProxy::NoHost)?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port.parse().map_err(|_| BadProxy::Port)?)),
        None if port.is_empty() => Ok((host, 80)),
        None => Err(BadProxy::NoHost),
    }
}

fn unescaped(text: &str) -> Result<Vec<u8>, BadProxy> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(BadProxy::Escape)?;
        let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
        let value = high.zip(low).map(|(high, low)| high * 16 + low).ok_or(BadProxy::Escape)?;
        bytes.push(u8::try_from(value).expect("two hexadecimal digits"));
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ProxyAddress {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_address_may_leave_out_all_but_the_host() {
        for (text, shown) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("proxy.example:3128", "proxy.example:3128"),
            ("HTTP://proxy.example/", "proxy.example:80"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ] {
            assert_eq!(parsed(text).to_string(), shown);
            assert_eq!(parsed(text).authorization(), None);
        }
    }

    #[test]
    fn credentials_are_unescaped_and_never_shown() {
        let address = parsed("http://al%40ice:p%3Ass@proxy:1");
        assert_eq!(address.authorization().expect("credentials"), format!("Basic {}", BASE64.encode(b"al@ice:p:ss")));
        assert_eq!(format!("{address} {address:?}"), "proxy:1 ProxyAddress(proxy:1)");
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for (text, error) in [
            ("socks5://proxy:1080", BadProxy::Scheme("socks5".to_owned())),
            ("https://proxy:443", BadProxy::Scheme("https".to_owned())),
            ("http://", BadProxy::NoHost),
            ("http://:3128", BadProxy::NoHost),
            ("http://proxy:port", BadProxy::Port),
            ("http://proxy:99999", BadProxy::Port),
            ("http://a%4@proxy", BadProxy::Escape),
            ("http://a%zz@proxy", BadProxy::Escape),
            ("http://pro xy", BadProxy::NoHost),
        ] {
            assert_eq!(text.parse::<ProxyAddress>(), Err(error), "{text}");
        }
    }
}
