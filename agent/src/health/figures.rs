//! An agent in numbers, under the names that Prometheus' conventions give them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hyper::header::HeaderValue;
use meshproof_mesh::LinkInfo;
use meshproof_proto::id::Name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::own;

/// Of [`Figures::text`].
pub(super) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Every state that a link may be in, so that none is missing where it is nought.
const STATES: [&str; 5] = ["connecting", "up", "suspect", "lost", "idle"];

/// How an agent is.
#[derive(Debug)]
pub(crate) struct Figures {
    pub name: Name,
    pub up: Duration,
    /// Signaling servers that are reached, and those that are not.
    pub reached: usize,
    pub away: usize,
    pub links: Vec<LinkInfo>,
    pub in_run: bool,
    pub steps_running: u32,
    pub faults_active: usize,
    pub events_unacked: u64,
}

impl Figures {
    /// Whether somebody could be given work for it: it can be found, or is linked already.
    pub(super) fn is_ready(&self) -> bool {
        self.reached > 0 || self.links.iter().any(|link| link.state == "up")
    }

    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // writing to a String cannot fail, and whatever else does leaves out figures and not the agent
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    name: String,
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Peer {
    peer: String,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut to = Writer(&mut encoder);
        let build = Build { name: self.name.to_string(), version: env!("CARGO_PKG_VERSION") };
        to.gauges("meshproof_agent_info", "The agent's name and version", [(build, 1)])?;
        to.gauge(("meshproof_uptime", Some(Unit::Seconds)), "Since this instance began", self.up.as_secs_f64())?;
        let servers = [("up", self.reached), ("away", self.away)];
        to.gauges(
            "meshproof_signaling_servers",
            "Signaling servers by state",
            servers.map(|(state, count)| (State { state }, count as i64)),
        )?;
        let count = |state| self.links.iter().filter(|link| link.state == state).count() as i64;
        to.gauges("meshproof_links", "Links to peers by state", STATES.map(|state| (State { state }, count(state))))?;
        self.encode_links(&mut to)?;
        to.gauge(("meshproof_run_active", None), "Whether it takes part in a run", f64::from(u8::from(self.in_run)))?;
        to.gauge(("meshproof_steps_running", None), "Steps that run now", f64::from(self.steps_running))?;
        to.gauge(("meshproof_faults_active", None), "Faults that are active now", self.faults_active as f64)?;
        let unacked = self.events_unacked as f64;
        to.gauge(
            ("meshproof_events_unacknowledged", None),
            "Events that the run's journal does not have yet",
            unacked,
        )?;
        let Some(own) = own() else { return Ok(()) };
        to.gauge(("process_resident_memory", Some(Unit::Bytes)), "Memory of this process", own.memory_bytes as f64)?;
        to.gauge(("process_open_fds", None), "Descriptors of this process", own.descriptors as f64)?;
        to.counter(("process_cpu", Some(Unit::Seconds)), "Processor time of this process", own.cpu_ms as f64 / 1e3)
    }
}

impl Figures {
    fn encode_links(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        // a name may have the link of a former instance beside its own
        let each = |of: fn(&LinkInfo) -> Option<f64>| {
            let mut sums = BTreeMap::<&str, f64>::new();
            for (link, figure) in self.links.iter().filter_map(|link| Some((link, of(link)?))) {
                *sums.entry(&link.name).or_default() += figure;
            }
            sums.into_iter().map(|(peer, sum)| (Peer { peer: peer.to_owned() }, sum))
        };
        let rtt = |link: &LinkInfo| (link.state == "up").then_some(link.rtt?.as_secs_f64());
        to.per_peer(("meshproof_link_rtt", Unit::Seconds), "Round trip of the last heartbeat", each(rtt))?;
        let queued = |link: &LinkInfo| Some(link.queued as f64);
        to.per_peer(("meshproof_link_queued", Unit::Bytes), "Bytes that wait for the peer", each(queued))?;
        let sent = each(|link| Some(link.bytes_sent as f64));
        to.counted(("meshproof_link_sent", Unit::Bytes), "Payload bytes sent", sent)?;
        let received = each(|link| Some(link.bytes_received as f64));
        to.counted(("meshproof_link_received", Unit::Bytes), "Payload bytes received", received)
    }
}

/// One figure after the other.
struct Writer<'w, 'e>(&'w mut DescriptorEncoder<'e>);

impl Writer<'_, '_> {
    fn gauge(&mut self, (name, unit): (&str, Option<Unit>), help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
    }

    fn counter(&mut self, (name, unit): (&str, Option<Unit>), help: &str, value: f64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, unit.as_ref(), counter.metric_type())?)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, i64)>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn per_peer(
        &mut self,
        (name, unit): (&str, Unit),
        help: &str,
        values: impl Iterator<Item = (Peer, f64)>,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0_f64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, Some(&unit), kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counted(
        &mut self,
        (name, unit): (&str, Unit),
        help: &str,
        values: impl Iterator<Item = (Peer, f64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_f64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, Some(&unit), kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
