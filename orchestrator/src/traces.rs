//! A run as a distributed trace (OpenTelemetry), told to a collector while the run goes on.
//!
//! One more reader of the run's records: whatever ended becomes a span, the run's, its tests', its steps', and of what agents did. Agents
//! tell the collector nothing, for most of them reach nobody but the mesh; their spans are made here of the events that they sent. They
//! gave services the ids of these spans ([`meshproof_proto::trace`]), so that what a service tells of itself hangs below them.
//!
//! Where to, and how, is said by the usual variables: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. A collector that is
//! away changes no verdict: it is said once.

mod client;
mod collector;
mod limits;
mod spans;
mod telling;

pub use telling::Traces;
