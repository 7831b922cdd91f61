//! Where spans are told, as the environment says it.

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::limits::FLUSH_WITHIN;
use super::spans::Teller;

/// Why there is no collector, though one is named.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectorError {
    #[error("{0}")]
    Built(#[from] ExporterBuildError),
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
        let mut collector = Self { orchestrator: exporter((protocol, within))?, agents: exporter((protocol, within))? };
        collector.agents.set_resource(&resource(format!("{name}-agent")));
        collector.orchestrator.set_resource(&resource(name));
        Ok(Some(collector))
    }

    pub(super) async fn tell(&self, teller: Teller, spans: Vec<SpanData>) -> OTelSdkResult {
        match teller {
            Teller::Orchestrator => self.orchestrator.export(spans).await,
            Teller::Agent => self.agents.export(spans).await,
        }
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
fn exporter((protocol, within): (Protocol, Duration)) -> Result<SpanExporter, CollectorError> {
    if protocol == Protocol::Grpc {
        return Ok(SpanExporter::builder().with_tonic().build()?);
    }
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(plain);
    let client = opentelemetry_http::hyper::HyperClient::new(connector, within, None);
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
