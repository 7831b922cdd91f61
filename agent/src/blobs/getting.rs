//! One file is got, from one peer after the other, until all of it is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_mesh::Mesh;
use meshproof_mesh::blobs::{Fetched, HeldBlob, Patience, fetch};
use meshproof_proto::blob::BlobOrder;
use meshproof_proto::event::Fact;
use meshproof_proto::header::StreamHeader;
use meshproof_proto::id::{Digest, Name, RunId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{Around, Kept};
use crate::limits;
use crate::opening::open_soon;
use crate::tunnel::Seat;

/// Where a file comes from.
pub(super) struct Getting {
    mesh: Mesh,
    run: RunId,
    name: String,
    digest: Digest,
    sources: Vec<Source>,
    facts: mpsc::Sender<Fact>,
}

struct Source {
    /// None: the orchestrator.
    agent: Option<Name>,
    seat: Arc<Seat>,
    patience: Patience,
}

impl Getting {
    /// Names that take no part in the run have nothing.
    pub(super) fn of(order: &BlobOrder, around: &Around<'_>) -> Self {
        let agents = |names: &[Name], patience| {
            let known = names.iter().filter_map(|name| Some((name.clone(), around.tunnels.far(name)?.seat.clone())));
            known.map(|(name, seat)| Source { agent: Some(name), seat, patience }).collect::<Vec<_>>()
        };
        let orchestrator = Source { agent: None, seat: Arc::clone(around.orchestrator), patience: Patience::None };
        let before = agents(&order.before, Patience::UntilItComes).into_iter();
        let sources = before.chain([orchestrator]).chain(agents(&order.after, Patience::None)).collect();
        let (mesh, run) = around.tunnels.place();
        let (name, digest, facts) = (order.name.clone(), order.blob.digest, around.facts.clone());
        Self { mesh, run, name, digest, sources, facts }
    }

    /// As long as the run goes on, unless all of it comes before.
    pub(super) async fn run(self, held: &HeldBlob, kept: &Kept) {
        let (mut from, mut damaged) = (BTreeMap::new(), 0);
        while !held.is_whole() {
            for source in &self.sources {
                let fetched = self.from(source, held).await;
                *from.entry(source.agent.clone()).or_default() += fetched.bytes;
                damaged += fetched.damaged;
                if held.is_whole() {
                    break;
                }
                kept.missing_because(source.told(&fetched));
            }
            if !held.is_whole() {
                sleep(limits::BLOB_AGAIN).await;
            }
        }
        let from_orchestrator = from.remove(&None).unwrap_or_default();
        let from = from.into_iter().filter(|(_, bytes)| *bytes > 0).filter_map(|(agent, bytes)| Some((agent?, bytes)));
        let (digest, bytes) = (self.digest, held.blob().bytes);
        let fact = Fact::FileHeld { name: self.name, digest, bytes, from_orchestrator, from: from.collect(), damaged };
        // Nobody listens only when the run is over.
        let _ = self.facts.send(fact).await;
    }

    /// Whoever is to have it first may not know of the run yet: it is asked again for a while.
    async fn from(&self, source: &Source, held: &HeldBlob) -> Fetched {
        let began = Instant::now();
        let mut wait = limits::POLL_FIRST;
        self.mesh.connect(source.seat.holder()).await;
        loop {
            let fetched = self.once(source, held).await;
            let is_early = source.patience == Patience::UntilItComes && began.elapsed() < limits::LINK_WAIT;
            if fetched.error.is_none() || fetched.bytes > 0 || !is_early {
                return fetched;
            }
            sleep(wait).await;
            wait = (wait * 2).min(limits::POLL_LONGEST);
        }
    }

    async fn once(&self, source: &Source, held: &HeldBlob) -> Fetched {
        let header = StreamHeader::Blob { run: self.run.clone(), digest: self.digest };
        match open_soon(&self.mesh, || source.seat.holder(), &header).await {
            Ok(stream) => fetch(stream, held, source.patience).await,
            Err(none) => Fetched { error: Some(std::io::Error::other(none)), ..Fetched::default() },
        }
    }
}

impl Source {
    fn told(&self, fetched: &Fetched) -> String {
        let who = self.agent.as_ref().map_or_else(|| "the orchestrator".to_owned(), |name| format!("agent {name}"));
        let why = match &fetched.error {
            Some(error) => error.to_string(),
            None if fetched.damaged > 0 => format!("{} chunks were damaged", fetched.damaged),
            None => "it has no more of it".to_owned(),
        };
        format!("{who}: {why}")
    }
}
