//! What an agent knows of the service beside it without a run: in a mesh that stands, runs come and go, and the service was there
//! before them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meshproof_proto::labels::Labels;
use meshproof_proto::limits::LINK_LOST;
use meshproof_proto::order::ServicePlace;
use meshproof_proto::units;

/// Where the service is, and where it looks for others.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Standing {
    /// Where the service beside this agent listens, for runs that find it instead of starting it: `http=127.0.0.1:8080`; several are
    /// separated by commas. Default: the number that the plan gives the port, on loopback
    #[arg(long, value_name = "PORT=HOST:PORT", env = "MESHPROOF_SERVICE", value_delimiter = ',', value_parser = port)]
    pub service: Vec<(String, String)>,
    /// Log files of that service, by the name that plans use: `audit=/var/log/audit.log`; several are separated by commas
    #[arg(long, value_name = "LOG=FILE", env = "MESHPROOF_LOGS", value_delimiter = ',', value_parser = log)]
    pub logs: Vec<(String, PathBuf)>,
    /// Ports on loopback where that service expects others: `payments=9001` for a stub, `ledger.tcp=7070` for a port of another
    /// service; several are separated by commas. Default: any free one
    #[arg(long, value_name = "NAME=PORT", env = "MESHPROOF_LISTEN", value_delimiter = ',', value_parser = listen)]
    pub listen: Vec<(String, u16)>,
    /// Labels by which people choose this agent, and others like it: `zone=eu,tier=db`
    #[arg(long, value_name = "KEY=VALUE", env = "MESHPROOF_LABELS", default_value_t)]
    pub labels: Labels,
    /// End a run here when its orchestrator has been out of reach for so long
    #[arg(long, value_name = "DURATION", env = "MESHPROOF_RUN_GRACE", default_value = "30s", value_parser = grace)]
    pub run_grace: Duration,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            service: Vec::new(),
            logs: Vec::new(),
            listen: Vec::new(),
            labels: Labels::default(),
            run_grace: LINK_LOST,
        }
    }
}

impl Standing {
    pub(crate) fn place(&self) -> ServicePlace {
        let log = |(name, path): &(String, PathBuf)| (name.clone(), path.to_string_lossy().into_owned());
        let logs: BTreeMap<_, _> = self.logs.iter().map(log).collect();
        ServicePlace { ports: self.service.iter().cloned().collect(), logs, ..ServicePlace::default() }
    }

    /// Where the service expects that stub, or that port of another service.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.listen.iter().find(|(known, _)| known == name).map(|(_, port)| *port)
    }
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("`{text}` is no NAME=VALUE")),
    }
}

fn port(text: &str) -> Result<(String, String), String> {
    let (name, address) = pair(text)?;
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && is_port(port) => Ok((name.to_owned(), address.to_owned())),
        _ => Err(format!("{name}: `{address}` is no HOST:PORT, as in 127.0.0.1:8080")),
    }
}

fn log(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = pair(text)?;
    match PathBuf::from(path) {
        path if path.is_absolute() => Ok((name.to_owned(), path)),
        _ => Err(format!("{name}: `{path}` is no absolute path")),
    }
}

fn listen(text: &str) -> Result<(String, u16), String> {
    let (name, number) = pair(text)?;
    match number.parse::<u16>() {
        Ok(number) if number != 0 => Ok((name.to_owned(), number)),
        _ => Err(format!("{name}: `{number}` is no port; 1 to 65535 were expected")),
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_service_is_and_where_it_looks_for_others_is_read_and_what_is_none_is_told() {
        assert_eq!(port("http=[::1]:8080"), Ok(("http".to_owned(), "[::1]:8080".to_owned())));
        assert_eq!(log("audit=/var/log/a.log"), Ok(("audit".to_owned(), "/var/log/a.log".into())));
        assert_eq!(listen("ledger.tcp=7070"), Ok(("ledger.tcp".to_owned(), 7070)));
        assert_eq!(port("http"), Err("`http` is no NAME=VALUE".to_owned()));
        assert!(port("http=8080").is_err_and(|told| told.contains("is no HOST:PORT, as in")));
        assert!(port("http=h:0").is_err_and(|told| told.contains("is no HOST:PORT, as in")));
        assert!(log("audit=a.log").is_err_and(|told| told.contains("no absolute path")));
        assert!(listen("payments=99999").is_err_and(|told| told.contains("1 to 65535")));
        assert!(grace("soon").is_err());
    }

    #[test]
    fn what_an_agent_was_told_is_what_it_tells() {
        let standing = Standing {
            service: vec![("http".to_owned(), "127.0.0.1:1".to_owned())],
            logs: vec![("audit".to_owned(), "/a".into())],
            listen: vec![("payments".to_owned(), 2)],
            ..Standing::default()
        };
        let place = standing.place();
        assert_eq!(place.ports["http"], "127.0.0.1:1");
        assert_eq!(place.logs["audit"], "/a");
        assert_eq!((standing.port("payments"), standing.port("stock.http")), (Some(2), None));
    }
}
