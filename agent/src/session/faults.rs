//! The faults of a run at this agent: begun and renewed by orders, ended by orders or by the end of their lease.
//!
//! Ending takes time, as it makes sure that traffic flows again; meanwhile the fault is no longer active, and an order to begin
//! it anew waits.

mod partition;
mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use meshproof_proto::id::{Digest, Name};
use meshproof_proto::order::{Direction, FaultOrder, FaultReport, FaultTarget};
use meshproof_proto::rpc::Refusal;
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use tokio::task::{Id, JoinSet};

use crate::lease::{Begun, Leases};
use crate::limits;
use crate::service::Answer;
use crate::steps::Beside;
use crate::tunnel::{Far, Tunnels};
use crate::until::until;
use traffic::{Patience, TrafficFault};

#[derive(Debug, Default)]
pub(super) struct Faults {
    leases: Leases,
    active: BTreeMap<String, Active>,
    endings: JoinSet<FaultReport>,
    ending: HashMap<Id, Ending>,
    ended: BTreeMap<String, FaultReport>,
    /// Those of an instance before this one, and until when they may disturb, in milliseconds since 1970.
    left: BTreeMap<String, u64>,
    /// Orders to begin a fault that is just ending.
    waiting: Vec<(FaultOrder, Answer<()>)>,
}

/// What faults disturb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'r> {
    pub beside: &'r Arc<Beside>,
    pub tunnels: &'r Tunnels,
    pub seed: u64,
}

#[derive(Debug)]
struct Active {
    target: FaultTarget,
    shape: Shape,
    how: How,
}

#[derive(Debug)]
enum How {
    Stub(Arc<Beside>),
    Traffic(Vec<TrafficFault>),
}

/// A fault on its way out, and who waits for its report.
#[derive(Debug)]
struct Ending {
    fault: String,
    target: FaultTarget,
    shape: Shape,
    answers: Vec<Answer<FaultReport>>,
}

/// What an order to begin came to.
#[derive(Debug)]
pub(super) enum Beginning {
    Begun(Answer<()>),
    /// Its lease was over before this instance could begin it.
    Over(FaultReport, Answer<()>),
    Done,
}

impl Faults {
    /// What an instance before this one has left is known.
    pub(super) fn after(left: BTreeMap<String, u64>) -> Self {
        Self { left, ..Self::default() }
    }

    /// Begins what is left of a fault that an instance before this one had begun: the time without an instance is the fault's.
    pub(super) fn begin_again(&mut self, order: FaultOrder, answer: Answer<()>, place: Place<'_>) -> Beginning {
        if self.leases.is_active(&order.fault) {
            let _ = answer.send(Ok(()));
            return Beginning::Done;
        }
        let rest_ms = self.left.get(&order.fault).map(|until_ms| until_ms.saturating_sub(since_1970_ms()));
        if rest_ms == Some(0) {
            self.left.remove(&order.fault);
            let report = over_meanwhile(&order);
            self.ended.insert(order.fault, report.clone());
            return Beginning::Over(report, answer);
        }
        let lease_ms = rest_ms.map_or(order.lease_ms, |rest_ms| order.lease_ms.min(rest_ms));
        self.begin(FaultOrder { lease_ms, ..order }, answer, place)
    }

    /// Begins or renews a fault. The answer comes back when somebody has to hear of a beginning first.
    pub(super) fn begin(&mut self, order: FaultOrder, answer: Answer<()>, place: Place<'_>) -> Beginning {
        let conflicts = |ending: &Ending| ending.fault == order.fault || ending.target == order.target;
        if self.ending.values().any(conflicts) && self.waiting.len() < limits::FAULTS_ACTIVE {
            self.waiting.push((order, answer));
            return Beginning::Done;
        }
        self.left.remove(&order.fault);
        let result = match self.leases.begin(&order, now()) {
            Ok(Begun::Renewed) => Ok(()),
            Ok(Begun::New) => match self.install(&order, place) {
                Ok(()) => return Beginning::Begun(answer),
                Err(refusal) => {
                    self.leases.end(&order.fault);
                    Err(refusal)
                }
            },
            Err(differs) => Err(Refusal::Failed(differs.to_string())),
        };
        let _ = answer.send(result);
        Beginning::Done
    }

    fn install(&mut self, order: &FaultOrder, place: Place<'_>) -> Result<(), Refusal> {
        if self.active.len() >= limits::FAULTS_ACTIVE {
            return Err(Refusal::Failed(format!("{} faults are active here; heal some first", self.active.len())));
        }
        let unknown = |what: &str, name: &str| Refusal::Unknown { what: what.to_owned(), name: name.to_owned() };
        let how = match &order.target {
            FaultTarget::Stub { stub } => {
                let server = place.beside.stubs.get(stub).ok_or_else(|| unknown("stub", stub))?;
                if let Some((name, _)) = self.active.iter().find(|(_, active)| active.target == order.target) {
                    let message = format!("stub `{stub}` is disturbed by `{name}`; a stub takes one fault at a time");
                    return Err(Refusal::Failed(message));
                }
                let begun = server.begin_fault(order.shape.clone(), &order.authority.run);
                begun.map_err(|error| Refusal::Failed(error.to_string()))?;
                How::Stub(Arc::clone(place.beside))
            }
            FaultTarget::Traffic { peer, direction } => {
                How::Traffic(disturb([peer], (order, *direction), &place).map_err(|peer| unknown(SERVICE, &peer))?)
            }
            FaultTarget::Partition { peers } => {
                How::Traffic(disturb(peers, (order, Direction::Both), &place).map_err(|peer| unknown(SERVICE, &peer))?)
            }
        };
        let active = Active { target: order.target.clone(), shape: order.shape.clone(), how };
        self.active.insert(order.fault.clone(), active);
        Ok(())
    }

    /// Ends a fault and answers when that is certain; for one that ended already, with its report.
    pub(super) fn heal(&mut self, fault: &str, answer: Answer<FaultReport>) {
        if self.leases.end(fault) {
            self.end(fault, Patience::Measure);
        }
        if let Some(ending) = self.ending.values_mut().find(|ending| ending.fault == fault) {
            ending.answers.push(answer);
            return;
        }
        let unknown = || Refusal::Unknown { what: "fault".to_owned(), name: fault.to_owned() };
        let _ = answer.send(self.ended.get(fault).cloned().ok_or_else(unknown));
    }

    fn end(&mut self, fault: &str, patience: Patience) {
        let Some(Active { target, shape, how }) = self.active.remove(fault) else { return };
        let name = fault.to_owned();
        let ending = match (how, &target) {
            (How::Traffic(paths), _) => {
                let ended = partition::end(paths, patience);
                let shape = shape.clone();
                async move { ended.await.unwrap_or_else(|| nothing_known(&name, &shape)) }.boxed()
            }
            (How::Stub(beside), FaultTarget::Stub { stub }) => {
                end_stub(beside, stub.clone(), name, shape.clone()).boxed()
            }
            (How::Stub(_), FaultTarget::Traffic { .. } | FaultTarget::Partition { .. }) => return,
        };
        let id = self.endings.spawn(ending).id();
        self.ending.insert(id, Ending { fault: fault.to_owned(), target, shape, answers: Vec::new() });
    }

    /// Returns with the report when a fault has ended, by order or by its lease.
    pub(super) async fn ended(&mut self) -> FaultReport {
        loop {
            tokio::select! {
                Some(ended) = self.endings.join_next_with_id() => {
                    let (id, report) = match ended {
                        Ok((id, report)) => (id, Some(report)),
                        Err(error) => {
                            tracing::error!(%error, "the end of a fault ended badly");
                            (error.id(), None)
                        }
                    };
                    if let Some(ending) = self.ending.remove(&id) {
                        return self.told(ending, report);
                    }
                }
                () = until(self.leases.next_deadline().map(Into::into)) => {
                    for fault in self.leases.expire(now()) {
                        tracing::info!(fault, "the lease of a fault is over");
                        self.end(&fault, Patience::AtOnce);
                    }
                }
            }
        }
    }

    fn told(&mut self, ending: Ending, report: Option<FaultReport>) -> FaultReport {
        let report = report.unwrap_or_else(|| nothing_known(&ending.fault, &ending.shape));
        for answer in ending.answers {
            let _ = answer.send(Ok(report.clone()));
        }
        self.ended.insert(ending.fault, report.clone());
        report
    }

    /// Orders that may be tried again, since a fault has ended.
    pub(super) fn take_waiting(&mut self) -> Vec<(FaultOrder, Answer<()>)> {
        std::mem::take(&mut self.waiting)
    }

    /// Ends everything that is active; gives the reports.
    pub(super) async fn close(&mut self) -> Vec<FaultReport> {
        for fault in self.leases.names() {
            self.leases.end(&fault);
            self.end(&fault, Patience::Measure);
        }
        let mut reports = Vec::new();
        while !self.endings.is_empty() {
            reports.push(self.ended().await);
        }
        reports
    }

    pub(super) fn active(&self) -> Vec<String> {
        self.leases.names()
    }
}

const SERVICE: &str = "service in this run";

/// Begins it on the traffic with each of these services. The name of one that is not in the run is an error, and nothing is begun.
fn disturb<'p>(
    peers: impl IntoIterator<Item = &'p Name>,
    (order, direction): (&FaultOrder, Direction),
    place: &Place<'_>,
) -> Result<Vec<TrafficFault>, String> {
    let fars = peers.into_iter().map(|peer| place.tunnels.far(peer).ok_or_else(|| peer.to_string()));
    let fars: Vec<&Far> = fars.collect::<Result<_, _>>()?;
    let mut seed = seed_of(place.seed, &order.fault);
    Ok(fars.into_iter().map(|far| TrafficFault::begin(far, order, direction, &mut seed)).collect())
}

async fn end_stub(beside: Arc<Beside>, stub: String, fault: String, shape: Shape) -> FaultReport {
    let report = match beside.stubs.get(&stub) {
        Some(server) => server.end_fault(&fault).await,
        None => None,
    };
    report.unwrap_or_else(|| nothing_known(&fault, &shape))
}

/// What disturbed went with the instance before, which had measured it.
fn over_meanwhile(order: &FaultOrder) -> FaultReport {
    FaultReport {
        measured: "its lease was over before another instance of its agent was there".to_owned(),
        healed: true,
        ..nothing_known(&order.fault, &order.shape)
    }
}

/// The worst that can be said, so that nobody takes a bug for a healed fault.
fn nothing_known(fault: &str, shape: &Shape) -> FaultReport {
    FaultReport {
        fault: fault.to_owned(),
        asked: shape.to_string(),
        measured: String::new(),
        deviation_percent: None,
        effective: false,
        healed: false,
    }
}

fn seed_of(run: u64, fault: &str) -> Seed {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(fault.as_bytes()).0;
    Seed::new(run ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// The runtime's clock, so that tests can turn it.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// By the clock that goes on without this process.
pub(super) fn since_1970_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
