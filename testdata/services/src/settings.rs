//! Settings come from the environment. A wrong one ends the process with one line that names it.

use std::fmt;

/// A setting that is missing or cannot be used; shown as one line that says which, what was expected and what came.
#[derive(Debug, PartialEq, Eq)]
pub struct BadSetting {
    name: &'static str,
    expected: &'static str,
    got: Option<String>,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} must be {}, ", self.name, self.expected)?;
        match &self.got {
            Some(got) => write!(out, "got {got:?}"),
            None => write!(out, "it is not set"),
        }
    }
}

impl std::error::Error for BadSetting {}

/// A port number; 0 lets the system choose, and the log says which.
pub fn port(name: &'static str) -> Result<u16, BadSetting> {
    read(name, "a port number", |text| text.parse().ok())
}

/// `host:port` of another service.
pub fn address(name: &'static str) -> Result<String, BadSetting> {
    read(name, "host:port", |text| {
        let (host, port) = text.rsplit_once(':')?;
        let usable = !host.is_empty() && port.parse::<u16>().is_ok();
        usable.then(|| text.to_owned())
    })
}

/// `http://host[:port][/base]`, as the address to connect to and the base path without its last slash.
pub fn http_url(name: &'static str) -> Result<(String, String), BadSetting> {
    read(name, "a URL that begins with http://", |text| {
        let rest = text.strip_prefix("http://")?;
        let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = match host.rsplit_once(':') {
            Some((_, port)) => port.parse::<u16>().ok().map(|_| host.to_owned())?,
            None => format!("{host}:80"),
        };
        let usable = !host.is_empty() && !host.starts_with(':');
        usable.then(|| (address, base.trim_end_matches('/').to_owned()))
    })
}

/// The path of a file.
pub fn path(name: &'static str) -> Result<String, BadSetting> {
    read(name, "the path of a file", |text| (!text.is_empty()).then(|| text.to_owned()))
}

fn read<T>(name: &'static str, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, BadSetting> {
    let text = std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
    let value = text.as_deref().and_then(parse);
    value.ok_or(BadSetting { name, expected, got: text })
}
