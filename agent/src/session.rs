//! The agent's life in a mesh: one task that owns the run and takes everything that happens, one thing at a time.
//!
//! What takes long runs in tasks that the session owns and that tell it their end: steps, ends of faults, the closing of a run.
//! When the session ends, they end. It never waits for a peer, so a slow one delays nobody.

mod adopting;
mod ahead;
mod benching;
mod closing;
mod copying;
mod epochs;
mod faults;
mod gathering;
mod guard;
mod kept;
mod links;
mod looking;
mod mirroring;
mod orders;
mod pump;
mod receiving;
mod remembering;
mod run;
mod setup;
mod stepping;
mod steps;
mod streams;
mod tending;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use meshproof_health::limits::ASKED;
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Identity};
use meshproof_proto::trust::RootNews;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::health::{self, Figures};
use crate::joined;
use crate::limits;
use crate::namespace::Outside;
use crate::news::NewsFile;
use crate::outbox::Store;
use crate::permits::Settings;
use crate::rights::Rights;
use crate::service::Order;
use crate::standing::Standing;
use crate::until::until;
use benching::Benching;
use kept::KeptStubs;
use links::Links;
use mirroring::Mirrored;
use run::Run;

/// An agent that joined a mesh.
#[derive(Debug)]
pub struct Session {
    name: Name,
    rights: Arc<Rights>,
    kept: Option<NewsFile>,
    outboxes: Option<Store>,
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    orders: mpsc::Receiver<Order>,
    links: Links,
    run: Option<Run>,
    echoes: JoinSet<()>,
    benching: Option<Benching>,
    began: Instant,
    /// Signaling servers that cannot be reached now.
    away: BTreeSet<String>,
    /// Those that can.
    reached: BTreeSet<String>,
    /// Whether one has taken it so far, which is told once.
    has_joined: bool,
    /// Who wants to know how it is.
    asks: health::Asks,
    asked: mpsc::Receiver<oneshot::Sender<Figures>>,
    /// What stubs that are kept for the mesh have left.
    kept_stubs: KeptStubs,
    /// What is outside of the namespace that it acts in, if it acts in one.
    outside: Option<Outside>,
    /// What it knows of the service beside it without a run.
    standing: Standing,
    /// What it keeps of the instance that it stands by for.
    mirrored: Option<Mirrored>,
    /// The run that goes on is another zone's.
    outdated: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was to, or the mesh has ended.
    Stopped,
    /// It took part in a run that is another zone's by now. As an instance that knows nothing of it, it may stand by.
    Outdated,
}

/// What an agent may be asked to do: what its token grants and its configuration allows. What is asked beyond is noted.
#[derive(Debug)]
pub struct Allowed {
    pub capabilities: BTreeSet<Capability>,
    pub audit: Audit,
    /// Where what the root keys say is kept.
    pub news: Option<NewsFile>,
    /// Where what it saw of a run is kept until the orchestrator has it.
    pub outboxes: Option<Store>,
    /// What it permits beyond the capabilities.
    pub settings: Settings,
    /// The signaling servers, which are no target of steps and tunnels.
    pub signaling: Vec<String>,
    /// What it knows of the service beside it without a run.
    pub standing: Standing,
}

impl Session {
    /// The session of a peer that just joined.
    pub fn new((mesh, events): (Mesh, mpsc::Receiver<MeshEvent>), name: Name, allowed: Allowed) -> Self {
        let (orders_in, orders) = mpsc::channel(limits::COMMANDS);
        let rights = Arc::new(Rights::new(allowed.capabilities, allowed.audit, (allowed.settings, &allowed.signaling)));
        let links = Links::new(mesh.clone(), orders_in, Arc::clone(&rights));
        let (run, echoes, benching, began) = (None, JoinSet::new(), None, Instant::now());
        let (kept_stubs, away, reached) = (KeptStubs::default(), BTreeSet::new(), BTreeSet::new());
        let (asks, asked) = mpsc::channel(ASKED);
        Self {
            name,
            rights,
            kept: allowed.news,
            outboxes: allowed.outboxes,
            mesh,
            events,
            orders,
            links,
            run,
            echoes,
            benching,
            began,
            away,
            reached,
            has_joined: false,
            asks,
            asked,
            kept_stubs,
            outside: None,
            standing: allowed.standing,
            mirrored: None,
            outdated: false,
        }
    }

    /// Says that it acts in a namespace of its own, and what is outside of that.
    #[must_use]
    pub fn inside(self, outside: Outside) -> Self {
        Self { outside: Some(outside), ..self }
    }

    /// How to ask it how it is.
    pub(crate) fn asks(&self) -> health::Asks {
        self.asks.clone()
    }

    /// Serves until it is stopped, the mesh ends, or its zone no longer counts; then everything of a run that goes on ends with it.
    pub async fn run(mut self, stop: CancellationToken) -> Ended {
        while !self.outdated {
            let due = self.run.as_ref().and_then(Run::due);
            let orphaned = self.run.as_ref().and_then(|run| run.orphaned_at);
            tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                event = self.events.recv() => match event {
                    Some(event) => self.event(event),
                    None => return Ended::Stopped,
                },
                Some(order) = self.orders.recv() => self.order(order).await,
                // what was held back is told below, and what could not be written is tried again
                () = until(due) => {}
                () = until(orphaned) => self.orphaned(),
                Some(asker) = self.asked.recv() => drop(asker.send(self.figures())),
                happened = run::next(&mut self.run) => {
                    if let Some(run) = &mut self.run {
                        run.happened(happened, &self.mesh);
                    }
                }
            }
            if let Some(run) = &mut self.run {
                run.untold().into_iter().for_each(|(peer, over)| self.links.step_over(peer, over));
                run.send_events();
            }
        }
        Ended::Outdated
    }

    fn event(&mut self, event: MeshEvent) {
        if let MeshEvent::SignalingDown { url, .. } | MeshEvent::SignalingRefused { url, .. } = &event {
            self.reached.remove(url);
        }
        match event {
            MeshEvent::SignalingUp { url } => {
                self.reached.insert(url.clone());
                if !std::mem::replace(&mut self.has_joined, true) {
                    joined::tell(&self.mesh, &self.name, &url);
                }
                match self.away.remove(&url) {
                    true => tracing::warn!(url, "signaling is there again"),
                    false => tracing::info!(url, "signaling is there"),
                }
            }
            // it is tried again and again, and told once
            MeshEvent::SignalingDown { url, reason, .. } => match self.away.insert(url.clone()) {
                true => tracing::warn!(url, reason, "signaling is away; it is tried again, and links go on without it"),
                false => tracing::debug!(url, reason, "signaling is still away"),
            },
            MeshEvent::SignalingRefused { url, reason } => match self.away.insert(url.clone()) {
                true => tracing::error!(url, reason, "signaling will not have us; it is asked again now and then"),
                false => tracing::debug!(url, reason, "signaling will still not have us"),
            },
            MeshEvent::PeerJoined(peer) => self.links.joined(&peer),
            MeshEvent::News(news) => self.keep(&news),
            MeshEvent::Epochs => self.heed_epochs(),
            MeshEvent::PeerLeft(peer) => tracing::debug!(peer = %peer.name, "left"),
            MeshEvent::Offered { peer } => self.linked(links::Linked::Offered, &peer),
            MeshEvent::Acknowledged { peer } => self.linked(links::Linked::Acknowledged, &peer),
            MeshEvent::LinkUp(up) => {
                let peer = up.peer.peer;
                self.links.up(up);
                if let Some(run) = self.run.as_mut().filter(|run| run.orchestrator == peer) {
                    run.reconnected(&self.mesh);
                }
            }
            MeshEvent::LinkSuspect { peer, reason } => self.suspect(&peer, reason),
            MeshEvent::LinkLost { peer, loss } => {
                self.links.lost(&peer, &loss);
                self.end_bench_of(&peer);
                self.suspect(&peer, format!("lost: {loss}"));
            }
            MeshEvent::Events { peer, frame, .. } => self.acknowledged(&peer, frame),
            MeshEvent::Stream { peer, header, stream, .. } => self.opened(&peer, &header, stream),
        }
    }

    fn keep(&self, news: &RootNews) {
        if let Some(Err(error)) = self.kept.as_ref().map(|file| file.write(news)) {
            tracing::error!(%error, "after a restart this agent will not know what was revoked");
        }
    }

    fn linked(&mut self, how: links::Linked, peer: &Identity) {
        self.links.linked(how, peer.peer);
        if let Some(run) = &mut self.run {
            run.linked(how, peer.peer);
        }
    }

    fn suspect(&mut self, peer: &Identity, reason: String) {
        tracing::debug!(peer = %peer.name, reason, "a link is suspect");
        if let Some(run) = &mut self.run {
            run.suspect(peer.peer, reason);
            if run.holder().1 == peer.peer {
                run.out_of_reach(self.standing.run_grace);
            }
        }
    }

    /// Whoever commands has been out of reach for long, unless the connection that was silent came back. A run without anybody who
    /// commands it would keep all others from this agent.
    fn orphaned(&mut self) {
        let Some(run) = &mut self.run else { return };
        let orchestrator = run.holder().1;
        let is_back = self.mesh.links().iter().any(|link| link.peer == orchestrator && link.state == "up");
        if is_back { run.within_reach() } else { run.abandon() }
    }

    /// Only the run's orchestrator acknowledges, and only what was said here. Of one that somebody else was promised after nothing counts:
    /// that one is told everything that is not acknowledged by then.
    fn acknowledged(&mut self, peer: &Identity, frame: EventFrame) {
        let EventFrame::Ack { instance, through } = frame else {
            tracing::warn!(peer = %peer.name, "events came to an agent");
            return;
        };
        if let Some(run) = self.run.as_mut().filter(|run| run.holder().1 == peer.peer)
            && instance == run.outbox.origin()
        {
            run.acknowledged(through);
        }
    }
}
