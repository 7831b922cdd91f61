//! The signals of a link: how they go out, and what becomes of those that come.
//!
//! A signal travels over the link itself while its control connection is up, otherwise through a signaling server that both
//! sides share, and when there is none, through a third peer that both are linked to. One about the control connection goes
//! both ways. Whoever carries it can only lose it, and a second copy changes nothing.

use meshproof_proto::frame::ControlFrame;
use meshproof_proto::id::{Generation, PeerId};
use meshproof_proto::identity::{Signed, UnixSeconds};
use meshproof_proto::limits;
use meshproof_proto::link::{Input, State};
use meshproof_proto::signal::{ConnectionKind, Route, Signal, SignalBody};

use super::ToNode;
use super::actor::LinkTask;
use crate::context::now_unix;

impl LinkTask {
    /// A signal of the peer, its signature checked, and the signaling server that carried it.
    pub(super) fn signal(&mut self, signal: Signal, server: Option<usize>) {
        let (kind, generation) = (signal.kind, signal.generation);
        if kind == ConnectionKind::Control {
            self.codec = signal.codec;
        }
        let input = match signal.body {
            SignalBody::Offer { sdp } => Input::Offer { generation, route: Route::Direct, sdp },
            SignalBody::Answer { offer, sdp } => Input::Answer { generation, offer, sdp },
            SignalBody::PleaseOffer => Input::PleaseOffer { generation },
            SignalBody::RelayedOffer { sdp } => {
                if let Some(track) = self.tracks.get(kind) {
                    track.relay = server;
                }
                Input::Offer { generation, route: Route::Relayed, sdp }
            }
        };
        self.feed(kind, input);
    }

    pub(super) fn signal_in_band(&mut self, signed: &Signed) {
        let context = &self.around.context;
        match Signal::open(signed, &self.peer.peer, &context.me, now_unix()) {
            Ok(signal) if signal.mesh == context.mesh => self.signal(signal, None),
            Ok(_) => tracing::warn!(peer = %self.peer.name, "a signal in band is for another mesh"),
            Err(error) => tracing::warn!(peer = %self.peer.name, %error, "a signal in band was refused"),
        }
    }

    pub(super) fn ask_offer(&mut self, kind: ConnectionKind, generation: Generation) {
        self.send(kind, generation, SignalBody::PleaseOffer);
    }

    /// Descriptions of attempts that still run go again. A peer that had them takes no notice.
    pub(super) fn repeat(&mut self) {
        let said: Vec<(ConnectionKind, Generation, SignalBody)> = self
            .tracks
            .iter_mut()
            .filter_map(|(kind, track)| {
                let (generation, body) = track.said.take()?;
                track.machine.attempts(generation).then_some((kind, generation, body))
            })
            .collect();
        for (kind, generation, body) in said {
            self.describe(kind, generation, body);
        }
    }

    /// Sends a description, and remembers it while its attempt runs.
    pub(super) fn describe(&mut self, kind: ConnectionKind, generation: Generation, body: SignalBody) {
        if let Some(track) = self.tracks.get(kind) {
            track.said = Some((generation, body.clone()));
        }
        self.send(kind, generation, body);
    }

    /// Sends a signal by the nearest way.
    fn send(&mut self, kind: ConnectionKind, generation: Generation, body: SignalBody) {
        let context = &self.around.context;
        let signal = Signal {
            mesh: context.mesh.clone(),
            from: context.me,
            to: self.peer.peer,
            kind,
            codec: self.codec_of(kind),
            generation,
            expires: UnixSeconds(now_unix().0 + limits::SIGNAL_LIFETIME.as_secs()),
            body,
        };
        let sealed = signal.seal(&context.key);
        if let SignalBody::RelayedOffer { .. } = signal.body {
            // by the server that relays, so that the peer knows which one it is
            let server = self.tracks.get(kind).and_then(|track| track.relay);
            return self.to_node(ToNode::Carry { to: self.peer.peer, signal: sealed, server });
        }
        let in_band = self.send_in_band(&ControlFrame::Signal(sealed.clone()));
        // a control connection that is to be replaced may be dead without our knowing
        if !in_band || kind == ConnectionKind::Control {
            self.to_node(ToNode::Carry { to: self.peer.peer, signal: sealed, server: None });
        }
    }

    /// The peer is asked to pass a signal of ours on.
    pub(super) fn ask_to_forward(&self, to: PeerId, signal: Signed) {
        self.send_if_known(&ControlFrame::Forward { to, signal });
    }

    /// A signal of another peer is passed on to this one.
    pub(super) fn pass_on(&self, from: PeerId, signal: Signed) {
        self.send_if_known(&ControlFrame::Forwarded { from, signal });
    }

    pub(super) fn send_if_known(&self, frame: &ControlFrame) {
        if self.speaks.is_some_and(|version| version.has_stripes()) {
            self.send_in_band(frame);
        }
    }

    /// True when the control connection is up and took it.
    fn send_in_band(&self, frame: &ControlFrame) -> bool {
        let State::Up { generation } = self.tracks.control.machine.state() else { return false };
        self.tracks.control.carriers.get(generation).is_some_and(|carrier| carrier.signal(frame))
    }
}
