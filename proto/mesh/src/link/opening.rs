//! From a description to a connection that carries the link, and to its end.

use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::codec::Codec;
use meshproof_proto::id::{Digest, Generation};
use meshproof_proto::link::{Input, State};
use meshproof_proto::signal::{ConnectionKind, Route, SignalBody};

use super::actor::LinkTask;
use super::making::{self, Description, Made, Order};
use super::track::{Offered, Wanted};
use crate::api::{LinkUp, MeshEvent};
use crate::carrier::{Carrier, Opened, Purpose};
use crate::relay::{self, Carried};
use crate::rtc::{Carriage, Connection};
use crate::streams::Way;

impl LinkTask {
    /// Has an offer made, or the answer to one, when the one before is.
    pub(super) fn make(&mut self, kind: ConnectionKind, wanted: Wanted) {
        let Some(track) = self.tracks.get(kind) else { return };
        if track.making.busy {
            track.making.next = Some(wanted);
            return;
        }
        let Wanted { generation, route, offer } = wanted;
        if route == Route::Relayed && offer.is_none() {
            let spoken = self.speaks.unwrap_or(self.around.context.protocol);
            let through = || self.around.tables.reach.through(&self.peer.peer);
            track.relay = spoken.has_relay().then(through).flatten();
        }
        let Some(carriage) = self.carriage((kind, generation), route) else {
            return self.feed(kind, Input::NoRelay { generation });
        };
        if let Some(track) = self.tracks.get(kind) {
            track.making.busy = true;
        }
        let order = Order { kind, generation, route, carriage, offer };
        making::make(&self.around.context, order, self.made_in.clone());
    }

    /// What a connection is to be made over; `None` where nothing relays.
    fn carriage(&mut self, (kind, generation): (ConnectionKind, Generation), route: Route) -> Option<Carriage> {
        let (context, peer) = (Arc::clone(&self.around.context), self.peer.peer);
        match route {
            Route::Direct => Some(Carriage::Udp),
            Route::Relayed => {
                let url = context.servers.get(self.tracks.get(kind)?.relay?)?;
                Some(Carriage::Relay(relay::open(context.caller(), url, Carried { peer, kind, generation })))
            }
        }
    }

    /// Connections whose addresses are gone are replaced at once, and what waits need not.
    pub(super) fn addresses_changed(&mut self) {
        let context = Arc::clone(&self.around.context);
        let stranded: Vec<(ConnectionKind, Generation)> = self
            .tracks
            .iter()
            .flat_map(|(kind, track)| {
                track.carriers.iter().map(move |(generation, carrier)| (kind, *generation, carrier))
            })
            .filter(|(_, _, carrier)| carrier.is_stranded(&context))
            .map(|(kind, generation, _)| (kind, generation))
            .collect();
        for (kind, generation) in stranded {
            let reason = "this machine has lost the address".to_owned();
            self.feed(kind, Input::Broken { generation, reason });
        }
        self.feed_all(&Input::SignalingBack);
    }

    /// A description is there; by now nobody may want it any more.
    pub(super) async fn made(&mut self, made: Made) {
        let (kind, generation) = (made.kind, made.generation);
        let Some(track) = self.tracks.get(kind) else { return };
        track.making.busy = false;
        let wanted = track.machine.attempts(generation);
        let next = track.making.next.take().filter(|next| track.machine.attempts(next.generation));
        if let Some(next) = next {
            self.make(kind, next);
        }
        if !wanted {
            self.around.context.tasks.spawn(making::close(made));
            return;
        }
        match made.what {
            Ok(Description::Offer { connection, sdp }) => {
                let digest = Digest::of(sdp.as_bytes());
                if let Some(track) = self.tracks.get(kind) {
                    track.offered = Some(Offered { generation, digest, connection });
                }
                match made.route {
                    Route::Direct => self.describe(kind, generation, SignalBody::Offer { sdp }),
                    Route::Relayed => self.describe(kind, generation, SignalBody::RelayedOffer { sdp }),
                }
                if kind == ConnectionKind::Control && !self.introduced {
                    self.introduced = true;
                    self.tell_user(MeshEvent::Offered { peer: self.peer.clone() }).await;
                }
            }
            Ok(Description::Answer { connection, offer, sdp }) => {
                self.carry(kind, generation, connection);
                self.describe(kind, generation, SignalBody::Answer { offer, sdp });
            }
            Err(error) => self.feed(kind, Input::Broken { generation, reason: error.to_string() }),
        }
    }

    pub(super) async fn take_answer(
        &mut self,
        kind: ConnectionKind,
        (generation, offer): (Generation, Digest),
        sdp: String,
    ) {
        let fits = |offered: &mut Offered| offered.generation == generation && offered.digest == offer;
        let Some(offered) = self.tracks.get(kind).and_then(|track| track.offered.take_if(fits)) else { return };
        match offered.connection.accept_answer(&sdp).await {
            Ok(()) => self.carry(kind, generation, offered.connection),
            Err(error) => {
                self.around.context.tasks.spawn(offered.connection.close());
                self.feed(kind, Input::Broken { generation, reason: error.to_string() });
            }
        }
    }

    /// How frames are written on such a connection. A browser, which speaks JSON, has no bulk connections.
    pub(super) fn codec_of(&self, kind: ConnectionKind) -> Codec {
        match kind {
            ConnectionKind::Control => self.codec,
            ConnectionKind::Bulk(_) => Codec::Bincode,
        }
    }

    fn carry(&mut self, kind: ConnectionKind, generation: Generation, connection: Connection) {
        let purpose = Purpose {
            context: Arc::clone(&self.around.context),
            peer: self.peer.clone(),
            kind,
            generation,
            codec: self.codec_of(kind),
            mux: Arc::clone(&self.mux),
            datagrams: Arc::clone(&self.datagrams),
            counters: Arc::clone(&self.counters),
            tell: self.tell.clone(),
        };
        let carrier = Carrier::start(connection, purpose);
        if let Some(track) = self.tracks.get(kind) {
            track.carriers.insert(generation, carrier);
        }
    }

    pub(super) fn close(&mut self, kind: ConnectionKind, generation: Generation, reason: &str) {
        tracing::debug!(peer = %self.peer.name, ?kind, generation = generation.0, reason, "closing a connection");
        if let ConnectionKind::Bulk(stripe) = kind {
            self.mux.detach(Way { stripe, generation });
        }
        let tasks = self.around.context.tasks.clone();
        let Some(track) = self.tracks.get(kind) else { return };
        if let Some(carrier) = track.carriers.get(&generation) {
            carrier.stop();
        }
        if let Some(offered) = track.offered.take_if(|offered| offered.generation == generation) {
            tasks.spawn(offered.connection.close());
        }
    }

    /// The signed hello of a connection is done.
    pub(super) async fn opened(&mut self, (kind, generation): (ConnectionKind, Generation), open: Opened) {
        let Some(track) = self.tracks.get(kind) else { return };
        track.machine.handle(Input::Open { generation }, Instant::now());
        if *track.machine.state() != (State::Up { generation }) {
            return;
        }
        track.beats.renew();
        let events = track.carriers.get(&generation).map(Carrier::events);
        self.beat(kind, generation);
        self.speaks = Some(open.speaks);
        let (Some(rpc), Some(events)) = (open.rpc, events) else { return };
        self.events_way.send_replace(Some(events));
        // the hello may have been over just before a list came
        if !self.news().await {
            return;
        }
        // what was said over the connection before this one may be lost with it
        self.repeat();
        let before = self.note(|info| {
            info.path = open.path;
            info.generation.replace(generation)
        });
        self.former = before;
        if !self.introduced {
            self.introduced = true;
            self.tell_user(MeshEvent::Acknowledged { peer: self.peer.clone() }).await;
        }
        let (peer, path) = (self.peer.clone(), open.path);
        self.tell_user(MeshEvent::LinkUp(LinkUp { peer, generation, path, rpc })).await;
    }
}
