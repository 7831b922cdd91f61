//! Where spans are told, as the environment says it.

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::client::{Heard, Why};
use super::limits::FLUSH_WITHIN;
use super::spans::Teller;

/// Why there is no collector, though one is named.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectorError {
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT and its like name {endpoint}, which is of no use: {source}")]
    Built { endpoint: String, source: ExporterBuildError },
    #[error("this machine's certificates cannot be read: {0}")]
    Certificates(#[from] std::io::Error),
    #[error("unsupported: OTEL_EXPORTER_OTLP_PROTOCOL={0}; `grpc` and `http/protobuf` are")]
    Protocol(String),
    #[error("unsupported: OTEL_TRACES_EXPORTER={0}; `otlp` and `none` are")]
    Exporter(String),
}

/// A collector. Orchestrator and agents are services of their own there.
#[derive(Debug)]
pub(super) struct Collector {
    orchestrator: SpanExporter,
    agents: SpanExporter,
    /// For people.
    endpoint: String,
    why: Why,
}

/// The value of a variable, where there is one that says something.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

impl Collector {
    /// None: none is named, or nobody wants it.
    pub(super) fn named(variables: Variables<'_>) -> Result<Option<Self>, CollectorError> {
        if !is_wanted(variables)? {
            return Ok(None);
        }
        let (protocol, within) = (protocol(variables)?, within(variables));
        let name = variables("OTEL_SERVICE_NAME").unwrap_or_else(|| "meshproof".to_owned());
        let (endpoint, why) = (endpoint(protocol, variables), Why::default());
        let built = |built: Result<SpanExporter, NoExporter>| {
            built.map_err(|error| match error {
                NoExporter::Certificates(error) => CollectorError::Certificates(error),
                NoExporter::Built(source) => CollectorError::Built { endpoint: endpoint.clone(), source },
            })
        };
        let orchestrator = built(exporter((protocol, within), &why))?;
        let agents = built(exporter((protocol, within), &why))?;
        let mut collector = Self { orchestrator, agents, endpoint, why };
        collector.agents.set_resource(&resource(format!("{name}-agent")));
        collector.orchestrator.set_resource(&resource(name));
        Ok(Some(collector))
    }

    /// Why they were not taken, in words of people.
    pub(super) async fn tell(&self, teller: Teller, spans: Vec<SpanData>) -> Result<(), String> {
        let told: OTelSdkResult = match teller {
            Teller::Orchestrator => self.orchestrator.export(spans).await,
            Teller::Agent => self.agents.export(spans).await,
        };
        told.map_err(|error| self.why.take().unwrap_or_else(|| plain(&error.to_string())))
    }

    /// Where it is, without what stands there for it alone.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Why an exporter cannot be made.
#[derive(Debug, thiserror::Error)]
enum NoExporter {
    #[error(transparent)]
    Built(#[from] ExporterBuildError),
    #[error(transparent)]
    Certificates(#[from] std::io::Error),
}

/// What an exporter says, without what it says of itself.
fn plain(error: &str) -> String {
    let said = error.strip_prefix("Operation failed: ").unwrap_or(error);
    let said = said.split_once(" export failed with ").map_or(said, |(_, said)| said);
    said.to_owned()
}

/// As the standard has it: a variable for traces names all of it, the other one what stands before the path of HTTP.
fn endpoint(protocol: Protocol, variables: Variables<'_>) -> String {
    let of_http = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/'));
    let (default, is_http) = match protocol {
        Protocol::Grpc => ("http://localhost:4317", false),
        _ => ("http://localhost:4318", true),
    };
    let named = variables("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").unwrap_or_else(|| {
        let base = variables("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_else(|| default.to_owned());
        if is_http { of_http(&base) } else { base }
    });
    match named.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => named,
    }
}

/// An address switches it on, or that it is asked for by name; the standard's default address alone does not, for most people have
/// no collector.
fn is_wanted(variables: Variables<'_>) -> Result<bool, CollectorError> {
    if variables("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let is_named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| variables(name).is_some());
    match variables("OTEL_TRACES_EXPORTER").as_deref() {
        None => Ok(is_named),
        Some("otlp") => Ok(true),
        Some("none") => Ok(false),
        Some(other) if is_named => Err(CollectorError::Exporter(other.to_owned())),
        Some(_) => Ok(false),
    }
}

fn protocol(variables: Variables<'_>) -> Result<Protocol, CollectorError> {
    let named = variables("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variables("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match named.as_deref() {
        None | Some("http/protobuf") => Ok(Protocol::HttpBinary),
        Some("grpc") => Ok(Protocol::Grpc),
        Some(other) => Err(CollectorError::Protocol(other.to_owned())),
    }
}

/// How long the collector may take for a message; the variables are in milliseconds. What is no number is as if it were not there, as for every
/// exporter.
fn within(variables: Variables<'_>) -> Duration {
    let named = variables("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| variables("OTEL_EXPORTER_OTLP_TIMEOUT"));
    named.and_then(|ms| ms.trim().parse().ok()).map_or(FLUSH_WITHIN, Duration::from_millis)
}

/// Address, headers and certificates are taken from the environment, and by gRPC's own the time.
fn exporter((protocol, within): (Protocol, Duration), why: &Why) -> Result<SpanExporter, NoExporter> {
    if protocol == Protocol::Grpc {
        return Ok(SpanExporter::builder().with_tonic().build()?);
    }
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(plain);
    let client = opentelemetry_http::hyper::HyperClient::new(connector, within, None);
    let client = Heard { client, why: why.clone() };
    Ok(SpanExporter::builder().with_http().with_protocol(protocol).with_http_client(client).build()?)
}

/// `OTEL_RESOURCE_ATTRIBUTES` are among it.
fn resource(name: String) -> Resource {
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(given: &[(&str, &str)]) -> Result<bool, String> {
        let variables =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        is_wanted(&variables).and_then(|wanted| protocol(&variables).map(|_| wanted)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_collector_is_named_with_its_path_and_without_who_may_use_it() {
        let of = |protocol, given: &[(&str, &str)]| {
            let variables =
                |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            endpoint(protocol, &variables)
        };
        assert_eq!(of(Protocol::HttpBinary, &[]), "http://localhost:4318/v1/traces");
        assert_eq!(of(Protocol::Grpc, &[]), "http://localhost:4317");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:s3cret@otel:4318/");
        assert_eq!(of(Protocol::HttpBinary, &[base]), "https://otel:4318/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel/in");
        assert_eq!(of(Protocol::HttpBinary, &[base, traces]), "http://otel/in");
        assert_eq!(
            plain("Operation failed: Traces export failed with gRPC code: Unavailable"),
            "gRPC code: Unavailable"
        );
    }

    #[test]
    fn a_collector_is_told_when_one_is_named_and_nobody_says_no() {
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(wanted(&[named]), Ok(true));
        assert_eq!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces")]), Ok(true));
        assert_eq!(wanted(&[("OTEL_TRACES_EXPORTER", "otlp")]), Ok(true));
        assert_eq!(wanted(&[named, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
        assert_eq!(wanted(&[named, ("OTEL_SDK_DISABLED", "True")]), Ok(false));
        assert_eq!(wanted(&[named, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(true));
        let json = wanted(&[named, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).expect_err("not built in");
        assert!(json.contains("`grpc` and `http/protobuf` are"), "{json}");
        let zipkin = wanted(&[named, ("OTEL_TRACES_EXPORTER", "zipkin")]).expect_err("another one");
        assert!(zipkin.contains("zipkin"), "{zipkin}");
    }
}
