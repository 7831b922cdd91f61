//! An agent in numbers, under the names that Prometheus' conventions give them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use meshproof_mesh::LinkInfo;
use meshproof_proto::id::Name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::own;

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
        let count = |count: usize| ConstGauge::new(count as f64);
        let title = ("meshproof_agent_info", None, "The agent's name and version");
        to.each(title, MetricType::Gauge, [(build, count(1))])?;
        let title = ("meshproof_uptime", Some(Unit::Seconds), "Since this instance began");
        to.one(title, ConstGauge::new(self.up.as_secs_f64()))?;
        let servers = [("up", self.reached), ("away", self.away)].map(|(state, of)| (State { state }, count(of)));
        to.each(("meshproof_signaling_servers", None, "Signaling servers by state"), MetricType::Gauge, servers)?;
        let of_state = |state| self.links.iter().filter(|link| link.state == state).count();
        let links = STATES.map(|state| (State { state }, count(of_state(state))));
        to.each(("meshproof_links", None, "Links to peers by state"), MetricType::Gauge, links)?;
        self.encode_links(&mut to)?;
        let title = ("meshproof_run_active", None, "Whether it takes part in a run");
        to.one(title, count(usize::from(self.in_run)))?;
        to.one(
            ("meshproof_steps_running", None, "Steps that run now"),
            ConstGauge::new(f64::from(self.steps_running)),
        )?;
        to.one(("meshproof_faults_active", None, "Faults that are active now"), count(self.faults_active))?;
        let title = ("meshproof_events_unacknowledged", None, "Events that the run's journal does not have yet");
        to.one(title, ConstGauge::new(self.events_unacked as f64))?;
        let Some(own) = own() else { return Ok(()) };
        let title = ("process_resident_memory", Some(Unit::Bytes), "Memory of this process");
        to.one(title, ConstGauge::new(own.memory_bytes as f64))?;
        to.one(("process_open_fds", None, "Descriptors of this process"), ConstGauge::new(own.descriptors as f64))?;
        let title = ("process_cpu", Some(Unit::Seconds), "Processor time of this process");
        to.one(title, ConstCounter::new(own.cpu_ms as f64 / 1e3))
    }
}

impl Figures {
    fn encode_links(&self, to: &mut Writer<'_, '_>) -> fmt::Result {
        // a name may have the link of a former instance beside its own
        let sums = |of: fn(&LinkInfo) -> Option<f64>| {
            let mut sums = BTreeMap::<&str, f64>::new();
            for (link, figure) in self.links.iter().filter_map(|link| Some((link, of(link)?))) {
                *sums.entry(&link.name).or_default() += figure;
            }
            sums.into_iter().map(|(peer, sum)| (Peer { peer: peer.to_owned() }, sum))
        };
        let gauges = |of| sums(of).map(|(peer, sum)| (peer, ConstGauge::new(sum)));
        let counters = |of| sums(of).map(|(peer, sum)| (peer, ConstCounter::new(sum)));
        let title = ("meshproof_link_rtt", Some(Unit::Seconds), "Round trip of the last heartbeat");
        let rtt: fn(&LinkInfo) -> Option<f64> = |link| (link.state == "up").then_some(link.rtt?.as_secs_f64());
        to.each(title, MetricType::Gauge, gauges(rtt))?;
        let title = ("meshproof_link_queued", Some(Unit::Bytes), "Bytes that wait for the peer");
        to.each(title, MetricType::Gauge, gauges(|link| Some(link.queued as f64)))?;
        let title = ("meshproof_link_sent", Some(Unit::Bytes), "Payload bytes sent");
        to.each(title, MetricType::Counter, counters(|link| Some(link.bytes_sent as f64)))?;
        let title = ("meshproof_link_received", Some(Unit::Bytes), "Payload bytes received");
        to.each(title, MetricType::Counter, counters(|link| Some(link.bytes_received as f64)))
    }
}

/// One figure after the other.
struct Writer<'w, 'e>(&'w mut DescriptorEncoder<'e>);

/// A figure's name, its unit where it has one, and what it is.
type Title<'t> = (&'t str, Option<Unit>, &'t str);

impl Writer<'_, '_> {
    fn one(&mut self, (name, unit, help): Title<'_>, metric: impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
    }

    /// The same figure of several; it is told of nobody where there is none.
    fn each<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        (name, unit, help): Title<'_>,
        kind: MetricType,
        metrics: impl IntoIterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, metric) in metrics {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
