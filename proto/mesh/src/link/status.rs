//! What a link tells its user: changes as they happen, figures when asked.

use std::sync::PoisonError;
use std::time::Instant;

use meshproof_proto::id::Generation;
use meshproof_proto::limits;
use meshproof_proto::link::State;
use meshproof_proto::signal::ConnectionKind;

use super::ToNode;
use super::actor::LinkTask;
use crate::api::{LinkChange, LinkInfo, Loss, MeshEvent};
use crate::streams::Way;

impl LinkTask {
    /// A machine's state changed.
    pub(super) async fn changed(&mut self, kind: ConnectionKind, state: State) {
        match kind {
            ConnectionKind::Control => self.control_changed(state).await,
            ConnectionKind::Bulk(stripe) => self.bulk_changed(stripe, &state),
        }
    }

    async fn control_changed(&mut self, state: State) {
        let former = self.former.take();
        self.note(|info| {
            let why = why(&state, former, info);
            info.state = shown(&state);
            info.last_change = LinkChange { at: Instant::now(), why };
        });
        let peer = self.peer.clone();
        match state {
            State::Suspect { reason } => {
                // events keep their way: if the suspicion was false they go on, and a new generation replaces it
                self.tell_user(MeshEvent::LinkSuspect { peer, reason }).await;
                self.to_node(ToNode::Down(self.peer.peer));
            }
            State::Lost => {
                self.mux.reset_all("the link is lost");
                let loss = Loss::Silence(limits::LINK_LOST);
                self.tell_user(MeshEvent::LinkLost { peer, loss }).await;
                self.to_node(ToNode::Down(self.peer.peer));
            }
            State::Idle => {
                self.events_way.send_replace(None);
            }
            State::Connecting | State::Up { .. } => {}
        }
    }

    fn bulk_changed(&mut self, stripe: u8, state: &State) {
        match state {
            State::Up { generation } => self.mux.attach(Way { stripe, generation: *generation }),
            State::Suspect { .. } => self.mux.suspect(stripe),
            State::Idle | State::Connecting | State::Lost => {}
        }
    }

    /// The bytes a second since the last measurement.
    pub(super) fn measure(&mut self) {
        let bytes = self.counters.with(&self.mux);
        if let Some((sent_per_s, received_per_s)) = self.pace.measured(bytes, Instant::now()) {
            self.note(|info| (info.sent_per_s, info.received_per_s) = (sent_per_s, received_per_s));
        }
    }

    /// Changes what is told of the link; whoever waits for that looks again.
    pub(super) fn note<T>(&self, change: impl FnOnce(&mut LinkInfo) -> T) -> T {
        let changed = change(&mut self.info.lock().unwrap_or_else(PoisonError::into_inner));
        self.around.tables.changes.tell();
        changed
    }

    /// A peer that is gone without a word is still shown for a while, or nobody would see that it is missing.
    pub(super) fn remember(&self) {
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if info.state == "lost" {
            self.around.tables.past.remember(info);
        }
    }
}

fn shown(state: &State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Connecting => "connecting",
        State::Up { .. } => "up",
        State::Suspect { .. } => "suspect",
        State::Lost => "lost",
    }
}

/// What brought the link there, from how it was before.
fn why(state: &State, former: Option<Generation>, before: &LinkInfo) -> String {
    let trouble = matches!(before.state, "suspect" | "lost");
    match state {
        State::Idle => "nobody wants it any more".to_owned(),
        State::Connecting => "wanted".to_owned(),
        State::Up { generation } => match (former, trouble) {
            (Some(former), true) => format!("connection {generation} replaced {former}: {}", before.last_change.why),
            (Some(former), false) => format!("connection {generation} replaced {former}"),
            (None, true) => format!("connection {generation} came back: {}", before.last_change.why),
            (None, false) => format!("connection {generation} opened"),
        },
        State::Suspect { reason } => reason.clone(),
        State::Lost => format!("no connection for {:?}", limits::LINK_LOST),
    }
}
