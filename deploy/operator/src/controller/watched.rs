//! How the operator is, for machines: `/healthz`, `/readyz`, `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use meshproof_health::{Question, Watched};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::leader::Standing;
use crate::clock::Clock;
use crate::kinds::MeshPool;
use crate::limits;
use crate::pool::Happened;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    namespace: String,
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCondition {
    namespace: String,
    pool: String,
    condition: String,
}

/// What is counted.
#[derive(Debug)]
pub struct Figures {
    looks: Family<OfKind, Counter>,
    failures: Family<OfKind, Counter>,
    failovers: Counter,
    replaced: Counter,
    calls: Counter,
    pools: Mutex<Option<Store<MeshPool>>>,
    clock: Clock,
    /// Milliseconds on the clock at which the loop last went round.
    pulse: AtomicU64,
    standing: Mutex<Standing>,
}

impl Figures {
    pub fn new(clock: Clock) -> Self {
        Self {
            looks: Family::default(),
            failures: Family::default(),
            failovers: Counter::default(),
            replaced: Counter::default(),
            calls: Counter::default(),
            pools: Mutex::default(),
            clock,
            pulse: AtomicU64::new(0),
            standing: Mutex::new(Standing::Follows),
        }
    }

    /// Counts every call to the API server.
    pub fn called(&self) {
        self.calls.inc();
    }

    pub(super) fn watch(&self, pools: Store<MeshPool>) {
        *self.pools.lock().expect("nobody panics with it") = Some(pools);
    }

    pub(super) fn looked(&self, kind: &'static str) {
        self.looks.get_or_create(&OfKind { kind }).inc();
    }

    pub(super) fn failed(&self, kind: &'static str) {
        self.failures.get_or_create(&OfKind { kind }).inc();
    }

    pub(super) fn happened(&self, happened: &[Happened]) {
        for one in happened {
            match one.reason {
                "FailedOver" => drop(self.failovers.inc()),
                "PodReplaced" => drop(self.replaced.inc()),
                _ => {}
            }
        }
    }

    pub fn beat(&self) {
        self.pulse.store(millis(self.clock), Ordering::Relaxed);
    }

    pub(super) fn stands(&self, standing: Standing) {
        *self.standing.lock().expect("nobody panics with it") = standing;
    }

    fn has_pulse(&self) -> bool {
        let since = millis(self.clock).saturating_sub(self.pulse.load(Ordering::Relaxed));
        u128::from(since) < limits::PULSE.as_millis()
    }

    fn text(&self) -> String {
        let mut registry = Registry::with_prefix("meshproof_operator");
        let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("info", "Which operator this is", info);
        let leads = *self.standing.lock().expect("nobody panics with it") == Standing::Leads;
        let leader: Gauge = Gauge::default();
        leader.set(i64::from(leads));
        registry.register("leader", "Whether it acts", leader);
        registry.register("looks", "Looks at objects", self.looks.clone());
        registry.register("look_failures", "Looks that failed and are tried again", self.failures.clone());
        registry.register("failovers", "Zones that were lost and taken over from", self.failovers.clone());
        registry.register("pods_replaced", "Pods that did not stay up and were started anew", self.replaced.clone());
        registry.register("api_calls", "Requests to the API server, watches too", self.calls.clone());
        let (epochs, conditions) = self.of_pools();
        registry.register("pool_epoch", "Changes of the active zone, from 1", epochs);
        registry.register("pool_condition", "Whether a condition of a pool holds", conditions);
        let (mut text, mut process) = (String::new(), Registry::default());
        let memory: Gauge = Gauge::default();
        memory.set(resident_bytes());
        process.register_with_unit("process_resident_memory", "Memory of this process", Unit::Bytes, memory);
        // writing into a string does not fail
        let _ = encode(&mut text, &registry).and_then(|()| {
            text.truncate(text.trim_end().trim_end_matches("# EOF").len());
            encode(&mut text, &process)
        });
        text
    }

    fn of_pools(&self) -> (Family<OfPool, Gauge>, Family<OfCondition, Gauge>) {
        let (epochs, conditions) = (Family::default(), Family::default());
        let pools = self.pools.lock().expect("nobody panics with it").as_ref().map(Store::state).unwrap_or_default();
        for known in pools {
            let (namespace, pool) = (known.namespace().unwrap_or_default(), known.name_any());
            let status = known.status.clone().unwrap_or_default();
            let of_pool = OfPool { namespace: namespace.clone(), pool: pool.clone() };
            let epoch: &Family<OfPool, Gauge> = &epochs;
            epoch.get_or_create(&of_pool).set(status.epoch.unwrap_or_default());
            for condition in status.conditions {
                let of = OfCondition { namespace: namespace.clone(), pool: pool.clone(), condition: condition.type_ };
                let holds: &Family<OfCondition, Gauge> = &conditions;
                holds.get_or_create(&of).set(i64::from(condition.status == "True"));
            }
        }
        (epochs, conditions)
    }
}

fn millis(clock: Clock) -> u64 {
    u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Pages of 4 KiB, as on every machine that the images are built for.
fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<i64>().ok());
    pages.unwrap_or_default() * 4096
}

/// What answers.
#[derive(Clone, Debug)]
pub struct Health(pub Arc<Figures>);

impl Watched for Health {
    async fn tell(&self, question: Question) -> Result<String, String> {
        let Self(figures) = self;
        match question {
            Question::Figures => Ok(figures.text()),
            // a replica that follows is ready: it is there to take over
            Question::Lives | Question::Ready if figures.has_pulse() => Ok("ok".to_owned()),
            Question::Lives | Question::Ready => Err("it has not looked at its lease for 15 s".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_well_while_its_loop_goes_round_and_its_figures_are_open_metrics() {
        let health = Health(Arc::new(Figures::new(Clock::start())));
        health.0.beat();
        health.0.failed("MeshPool");
        assert!(health.tell(Question::Lives).await.is_ok());
        let text = health.tell(Question::Figures).await.expect("figures");
        assert!(text.contains("meshproof_operator_look_failures_total{kind=\"MeshPool\"} 1"), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1, "{text}");
        tokio::time::advance(limits::PULSE).await;
        assert!(health.tell(Question::Ready).await.is_err());
    }
}
