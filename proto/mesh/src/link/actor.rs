//! The task that owns a link.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use meshproof_proto::codec::Codec;
use meshproof_proto::id::Generation;
use meshproof_proto::identity::Identity;
use meshproof_proto::limits;
use meshproof_proto::link::{Input, Output};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::version::Version;
use tokio::sync::{Semaphore, mpsc, watch};

use super::errands::Errands;
use super::making::{self, Made};
use super::pace::Pace;
use super::track::{Tracks, Wanted};
use super::{Command, Link, Surroundings, ToNode};
use crate::api::{LinkInfo, Loss, MeshEvent, Turn};
use crate::carrier::{Counters, EventsWay, FromCarrier, Told};
use crate::context::until;
use crate::datagrams::Datagrams;
use crate::streams::{Mux, Way};

/// Owns one link.
pub(crate) struct LinkTask {
    pub(super) around: Surroundings,
    pub(super) peer: Identity,
    pub(super) tracks: Tracks,
    pub(super) mux: Arc<Mux>,
    pub(super) datagrams: Arc<Datagrams>,
    pub(super) counters: Arc<Counters>,
    pub(super) info: Arc<Mutex<LinkInfo>>,
    pub(super) pace: Pace,
    pub(super) events_way: watch::Sender<Option<EventsWay>>,
    pub(super) tell: mpsc::Sender<FromCarrier>,
    told: mpsc::Receiver<FromCarrier>,
    pub(super) made_in: mpsc::Sender<Made>,
    made: mpsc::Receiver<Made>,
    commands: mpsc::Receiver<Command>,
    turns: Arc<Semaphore>,
    /// The first of these tells the user who offered.
    pub(super) introduced: bool,
    /// The control connection before the one in use.
    pub(super) former: Option<Generation>,
    pub(super) errands: Errands,
    /// What the peer speaks, once a hello said so.
    pub(super) speaks: Option<Version>,
    /// How the frames of its control connections are written: as the peer's signals say.
    pub(super) codec: Codec,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    GoingOn,
    /// Waits for its connections to close.
    Ending,
}

impl LinkTask {
    /// Starts the task of a link; it ends when told to, when the peer leaves, or when its commands end.
    pub(crate) fn start(around: Surroundings, peer: Identity) -> Link {
        let me = around.context.me;
        let (commands_in, commands) = mpsc::channel(limits::FRAME_QUEUE);
        let (tell, told) = mpsc::channel(limits::FRAME_QUEUE);
        let (made_in, made) = mpsc::channel(limits::DESCRIPTIONS);
        let (events_way, events) = watch::channel(None);
        let info = Arc::new(Mutex::new(LinkInfo::new(&peer)));
        let mux = Mux::new(&me, &peer.peer, around.context.links_made.fetch_add(1, Ordering::Relaxed));
        let counters = Arc::new(Counters::default());
        let datagrams = Datagrams::new(&peer);
        let link = Link {
            issued: peer.issued,
            commands: commands_in,
            mux: Arc::clone(&mux),
            datagrams: Arc::clone(&datagrams),
            counters: Arc::clone(&counters),
            info: Arc::clone(&info),
            events,
        };
        let task = Self {
            tracks: Tracks::new(&around.context, peer.peer),
            around,
            peer,
            mux,
            datagrams,
            counters,
            info,
            pace: Pace::new(Instant::now()),
            events_way,
            tell,
            told,
            made_in,
            made,
            commands,
            turns: Arc::new(Semaphore::new(limits::TURNS)),
            introduced: false,
            former: None,
            errands: Errands::new(Instant::now()),
            speaks: None,
            codec: Codec::Bincode,
            life: Life::GoingOn,
        };
        let tasks = task.around.context.tasks.clone();
        tasks.spawn(task.run());
        link
    }

    async fn run(mut self) {
        loop {
            self.perform().await;
            if self.life == Life::Ending && self.tracks.iter().all(|(_, track)| track.carriers.is_empty()) {
                break;
            }
            let due = self.tracks.iter().filter_map(|(_, track)| track.machine.poll_timeout()).min();
            tokio::select! {
                command = self.commands.recv(), if self.life == Life::GoingOn => match command {
                    Some(command) => self.command(command).await,
                    None => self.leave(),
                },
                Some(told) = self.told.recv() => self.told(told).await,
                Some(made) = self.made.recv() => self.made(made).await,
                () = until(due) => {
                    let now = Instant::now();
                    self.tracks.iter_mut().for_each(|(_, track)| track.machine.handle_timeout(now));
                }
            }
        }
        // whoever still tells it something need not wait
        self.commands.close();
        self.mux.reset_all("the link ended");
        self.events_way.send_replace(None);
        let _ = self.around.node.send(ToNode::Ended(self.peer.peer)).await;
        self.made.close();
        while let Some(made) = self.made.recv().await {
            making::close(made).await;
        }
    }

    /// Feeds the machine of one connection.
    pub(super) fn feed(&mut self, kind: ConnectionKind, input: Input) {
        if let Some(track) = self.tracks.get(kind) {
            track.machine.handle(input, Instant::now());
        }
    }

    /// Feeds all of them.
    pub(super) fn feed_all(&mut self, input: &Input) {
        let now = Instant::now();
        self.tracks.iter_mut().for_each(|(_, track)| track.machine.handle(input.clone(), now));
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Want(kind) => self.feed(kind, Input::Want),
            Command::Signal(signal, server) => self.signal(*signal, server),
            Command::SignalingBack => {
                self.repeat();
                self.feed_all(&Input::SignalingBack);
            }
            Command::AddressesChanged => self.addresses_changed(),
            Command::Forward { to, signal } => self.ask_to_forward(to, signal),
            Command::Forwarded { from, signal } => self.pass_on(from, signal),
            Command::News => drop(self.news().await),
            Command::Forget(loss) => {
                self.remember();
                self.over(loss).await;
            }
            Command::Refuse(loss) => self.refuse(loss).await,
            Command::Leave => self.leave(),
        }
    }

    fn leave(&mut self) {
        for carrier in self.tracks.control.carriers.values() {
            carrier.bye();
        }
        self.end("this peer left");
    }

    /// The link is over, which its user hears.
    pub(super) async fn over(&mut self, loss: Loss) {
        let why = loss.to_string();
        self.tell_user(MeshEvent::LinkLost { peer: self.peer.clone(), loss }).await;
        self.end(&why);
    }

    /// Closes everything; the task ends when that is done.
    pub(super) fn end(&mut self, why: &str) {
        self.life = Life::Ending;
        self.mux.reset_all(why);
        self.feed_all(&Input::Drop);
    }

    /// Does everything the machines ask for.
    async fn perform(&mut self) {
        while let Some((kind, output)) = self.tracks.poll_output() {
            self.output(kind, output).await;
        }
    }

    async fn output(&mut self, kind: ConnectionKind, output: Output) {
        match output {
            Output::MakeOffer { generation, route } => self.make(kind, Wanted { generation, route, offer: None }),
            Output::MakeAnswer { generation, route, sdp } => {
                self.make(kind, Wanted { generation, route, offer: Some(sdp) });
            }
            Output::TakeAnswer { generation, offer, sdp } => self.take_answer(kind, (generation, offer), sdp).await,
            Output::AskOffer { generation } => self.ask_offer(kind, generation),
            Output::Close { generation, reason } => self.close(kind, generation, &reason),
            Output::Beat { generation } => self.beat(kind, generation),
            Output::Changed(state) => self.changed(kind, state).await,
        }
    }

    pub(super) fn beat(&mut self, kind: ConnectionKind, generation: Generation) {
        let Some(track) = self.tracks.get(kind) else { return };
        let number = track.beats.next(Instant::now());
        if let Some(carrier) = track.carriers.get(&generation) {
            carrier.beat(kind, number);
        }
    }

    async fn told(&mut self, (kind, generation, told): FromCarrier) {
        match told {
            Told::Open(open) => self.opened((kind, generation), open).await,
            Told::Answered { number } => self.answered((kind, generation), number),
            Told::Signal(signed) => self.signal_in_band(&signed),
            Told::Forward { to, signal } => self.forward(to, signal),
            Told::Forwarded { from, signal } => self.forwarded(from, signal),
            Told::News(news) => self.around.context.learn(&news),
            Told::Events { frame, bytes } => {
                let (peer, turn) = (self.peer.clone(), Turn::of(&self.turns).await);
                self.tell_user(MeshEvent::Events { peer, frame, bytes, turn }).await;
            }
            Told::Stream(incoming) => {
                let (peer, turn) = (self.peer.clone(), Turn::of(&self.turns).await);
                let (header, stream) = (incoming.header, incoming.stream);
                self.tell_user(MeshEvent::Stream { peer, header, stream, turn }).await;
            }
            Told::Bye => self.over(Loss::Left).await,
            Told::Ended { reason } => {
                if let ConnectionKind::Bulk(stripe) = kind {
                    self.mux.detach(Way { stripe, generation });
                }
                if let Some(track) = self.tracks.get(kind) {
                    track.carriers.remove(&generation);
                }
                self.feed(kind, Input::Broken { generation, reason });
            }
        }
    }

    fn answered(&mut self, (kind, generation): (ConnectionKind, Generation), number: u64) {
        let Some(rtt) = self.tracks.get(kind).and_then(|track| track.beats.answered(number, Instant::now())) else {
            return;
        };
        if kind == ConnectionKind::Control {
            self.note(|info| info.rtt = Some(rtt));
            self.measure();
            self.stripe(rtt);
        }
        self.feed(kind, Input::Heard { generation });
    }

    /// A full queue loses it: whoever waits for a signal has a deadline that brings the next one.
    pub(super) fn to_node(&self, message: ToNode) {
        let _ = self.around.node.try_send(message);
    }

    pub(super) async fn tell_user(&self, event: MeshEvent) {
        // whoever joined may be gone already while its links still close
        let _ = self.around.events.send(event).await;
    }
}
