//! Benches at this agent: at most one at a time, whichever end of it is here.

use std::time::Instant;

use meshproof_mesh::{ByteStream, Mesh};
use meshproof_proto::bench::{BenchOrder, BenchReport, BenchStage};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::limits::{BENCH_LONGEST, BENCH_PINGS};
use meshproof_proto::rpc::Refusal;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Session;
use super::streams::refuse;
use crate::bench;
use crate::limits;
use crate::opening::open_soon;
use crate::wire::StreamHeader;

/// The last bench, which may have ended. Dropping it ends it, at both ends.
#[derive(Debug)]
pub(super) struct Benching {
    /// Whoever is at the other end of it, for who comes too late.
    with: String,
    task: AbortOnDropHandle<()>,
    side: Side,
}

#[derive(Debug)]
enum Side {
    /// This agent measures, for a caller.
    Near {
        caller: PeerId,
        report: watch::Receiver<BenchReport>,
        /// When the caller asked last.
        asked: watch::Sender<Instant>,
    },
    Far,
}

impl Session {
    pub(super) fn begin_bench(&mut self, caller: PeerId, order: BenchOrder) -> Result<(), Refusal> {
        check(&order)?;
        self.refuse_when_benching().map_err(Refusal::Failed)?;
        let unknown = || Refusal::Unknown { what: "agent in this mesh".to_owned(), name: order.to.short() };
        let roster = self.mesh.roster();
        let peer = roster.into_iter().find(|peer| peer.peer == order.to && peer.role == Role::Agent);
        let with = peer.ok_or_else(unknown)?.name.to_string();
        self.links.connect(order.to);
        let (told, report) = watch::channel(BenchReport::new());
        let (asked, heard) = watch::channel(Instant::now());
        let task = AbortOnDropHandle::new(tokio::spawn(near(self.mesh.clone(), order, told, heard)));
        tracing::info!(with, "a bench begins");
        self.benching = Some(Benching { with, task, side: Side::Near { caller, report, asked } });
        Ok(())
    }

    /// What the caller's bench has measured. Asking keeps it going.
    pub(super) fn bench_report(&self, caller: PeerId) -> Result<BenchReport, Refusal> {
        match self.benching.as_ref().map(|benching| &benching.side) {
            Some(Side::Near { caller: whose, report, asked }) if *whose == caller => {
                asked.send_replace(Instant::now());
                Ok(report.borrow().clone())
            }
            _ => Err(Refusal::Failed("no bench of yours goes on here; begin one first".to_owned())),
        }
    }

    /// Another agent measures its link to us.
    pub(super) fn take_bench(&mut self, peer: &Identity, stream: ByteStream) {
        if let Err(reason) = self.refuse_when_benching() {
            return refuse(stream, &reason);
        }
        let with = peer.name.to_string();
        let task = async move {
            if let Err(error) = bench::far(stream).await {
                tracing::debug!(%error, "a bench ended early");
            }
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.benching = Some(Benching { with, task, side: Side::Far });
    }

    /// The caller of a bench is gone, and with it the bench.
    pub(super) fn end_bench_of(&mut self, gone: &Identity) {
        let is_theirs = |benching: &Benching| matches!(benching.side, Side::Near { caller, .. } if caller == gone.peer);
        if self.benching.take_if(|benching| is_theirs(benching)).is_some() {
            tracing::info!(caller = %gone.name, "a bench ends: its caller is gone");
        }
    }

    fn refuse_when_benching(&self) -> Result<(), String> {
        match self.benching.as_ref().filter(|benching| !benching.task.is_finished()) {
            Some(benching) => Err(format!(
                "`{}` has a bench with `{}` already, and one at a time tells the truth; try again when it has ended",
                self.name, benching.with
            )),
            None => Ok(()),
        }
    }
}

fn check(order: &BenchOrder) -> Result<(), Refusal> {
    let longest = u64::try_from(BENCH_LONGEST.as_millis()).unwrap_or(u64::MAX);
    if !(1..=longest).contains(&order.duration_ms) {
        let text =
            format!("a bench of {} ms; between 1 ms and {BENCH_LONGEST:?} each way were expected", order.duration_ms);
        return Err(Refusal::Failed(text));
    }
    if !(1..=BENCH_PINGS).contains(&order.pings) {
        let text = format!("a bench of {} pings; between 1 and {BENCH_PINGS} were expected", order.pings);
        return Err(Refusal::Failed(text));
    }
    Ok(())
}

/// Measures, until it is done, has failed, or nobody asks any more.
async fn near(mesh: Mesh, order: BenchOrder, told: watch::Sender<BenchReport>, mut heard: watch::Receiver<Instant>) {
    let measuring = async {
        let stream = open_soon(&mesh, || order.to, &StreamHeader::Bench).await.map_err(|error| error.to_string())?;
        let link = || mesh.links().into_iter().find(|link| link.peer == order.to);
        let path = || link()?.path.map(|selected| selected.kind);
        let measured = bench::near(&order, stream, &told, path).await;
        measured.map_err(|error| match link() {
            Some(link) if link.state == "up" => error.to_string(),
            Some(link) => format!("{error}; the link is {}: {}", link.state, link.last_change.why),
            None => format!("{error}; the link is gone"),
        })
    };
    let forgotten = async { while let Ok(Ok(())) = timeout(limits::BENCH_UNASKED, heard.changed()).await {} };
    let ended = tokio::select! {
        ended = measuring => ended,
        () = forgotten => Err(format!("nobody asked for the report within {:?}", limits::BENCH_UNASKED)),
    };
    told.send_modify(|report| {
        report.stage = match ended {
            Ok(()) => BenchStage::Done,
            Err(reason) => BenchStage::Failed { reason },
        }
    });
}
