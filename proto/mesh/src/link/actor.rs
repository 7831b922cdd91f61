//! The task that owns a link.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use meshproof_proto::codec::Codec;
use meshproof_proto::id::{Digest, Generation};
use meshproof_proto::identity::{Identity, Signed, UnixSeconds};
use meshproof_proto::limits;
use meshproof_proto::link::{Input, Output, State};
use meshproof_proto::signal::{ConnectionKind, Signal, SignalBody};
use tokio::sync::{mpsc, watch};

use super::making::{self, Description, Made};
use super::pace::Pace;
use super::track::{Offered, Track};
use super::{Command, Link, Surroundings};
use crate::api::{LinkChange, LinkInfo, LinkUp, MeshEvent};
use crate::carrier::{Carrier, Counters, FromCarrier, Outgoing, Purpose, Told};
use crate::context::now_unix;
use crate::rpc::RpcPort;
use crate::rtc::SelectedPath;
use crate::streams::Mux;

/// Streams of a link share one bulk connection until striping comes.
const BULK: ConnectionKind = ConnectionKind::Bulk(0);

/// Owns one link.
pub(crate) struct LinkTask {
    around: Surroundings,
    peer: Identity,
    control: Track,
    bulk: Track,
    mux: Arc<Mux>,
    counters: Arc<Counters>,
    info: Arc<Mutex<LinkInfo>>,
    pace: Pace,
    events_way: watch::Sender<Option<mpsc::Sender<Outgoing>>>,
    tell: mpsc::Sender<FromCarrier>,
    told: mpsc::Receiver<FromCarrier>,
    made_in: mpsc::Sender<Made>,
    made: mpsc::Receiver<Made>,
    commands: mpsc::Receiver<Command>,
    /// The first of these tells the user who offered.
    introduced: bool,
    leaving: bool,
}

impl LinkTask {
    /// Starts the task of a link; it ends when told to leave or when its commands end.
    pub(crate) fn start(around: Surroundings, peer: Identity) -> Link {
        let me = around.context.me;
        let (commands_in, commands) = mpsc::channel(limits::FRAME_QUEUE);
        let (tell, told) = mpsc::channel(limits::FRAME_QUEUE);
        let (made_in, made) = mpsc::channel(2);
        let (events_way, events) = watch::channel(None);
        let info = Arc::new(Mutex::new(LinkInfo {
            peer: peer.peer,
            name: peer.name.to_string(),
            role: peer.role,
            state: "idle",
            generation: None,
            path: None,
            rtt: None,
            bytes_sent: 0,
            bytes_received: 0,
            sent_per_s: 0,
            received_per_s: 0,
            streams: 0,
            queued: 0,
            last_change: LinkChange { at: Instant::now(), why: "made".to_owned() },
        }));
        let mux = Mux::new(&me, &peer.peer);
        let counters = Arc::new(Counters::default());
        let link = Link {
            commands: commands_in,
            mux: Arc::clone(&mux),
            counters: Arc::clone(&counters),
            info: Arc::clone(&info),
            events,
        };
        let task = Self {
            control: Track::new(&me, &peer.peer, around.context.seed()),
            bulk: Track::new(&me, &peer.peer, around.context.seed()),
            around,
            peer,
            mux,
            counters,
            info,
            pace: Pace::new(Instant::now()),
            events_way,
            tell,
            told,
            made_in,
            made,
            commands,
            introduced: false,
            leaving: false,
        };
        let tasks = task.around.context.tasks.clone();
        tasks.spawn(task.run());
        link
    }

    async fn run(mut self) {
        loop {
            self.perform().await;
            if self.leaving && self.control.carriers.is_empty() && self.bulk.carriers.is_empty() {
                break;
            }
            let due = [&self.control, &self.bulk].into_iter().filter_map(|track| track.machine.poll_timeout()).min();
            tokio::select! {
                command = self.commands.recv(), if !self.leaving => match command {
                    Some(command) => self.command(command),
                    None => self.leave(),
                },
                Some(told) = self.told.recv() => self.told(told).await,
                Some(made) = self.made.recv() => self.made(made).await,
                () = until(due) => {
                    let now = Instant::now();
                    self.control.machine.handle_timeout(now);
                    self.bulk.machine.handle_timeout(now);
                }
            }
        }
        self.mux.reset_all("this peer left");
        self.made.close();
        while let Some(made) = self.made.recv().await {
            making::close(made).await;
        }
    }

    fn track(&mut self, kind: ConnectionKind) -> &mut Track {
        match kind {
            ConnectionKind::Control => &mut self.control,
            ConnectionKind::Bulk(_) => &mut self.bulk,
        }
    }

    fn feed(&mut self, kind: ConnectionKind, input: Input) {
        self.track(kind).machine.handle(input, Instant::now());
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Want(kind) => self.feed(kind, Input::Want),
            Command::Signal(signal) => self.signal(*signal),
            Command::SignalingBack => {
                self.feed(ConnectionKind::Control, Input::SignalingBack);
                self.feed(BULK, Input::SignalingBack);
            }
            Command::Leave => self.leave(),
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        for carrier in self.control.carriers.values() {
            carrier.bye();
        }
        self.feed(ConnectionKind::Control, Input::Drop);
        self.feed(BULK, Input::Drop);
    }

    fn signal(&mut self, signal: Signal) {
        let generation = signal.generation;
        let input = match signal.body {
            SignalBody::Offer { sdp } => Input::Offer { generation, sdp },
            SignalBody::Answer { offer, sdp } => Input::Answer { generation, offer, sdp },
            SignalBody::PleaseOffer => Input::PleaseOffer { generation },
        };
        self.feed(signal.kind, input);
    }

    /// Does everything the machines ask for.
    async fn perform(&mut self) {
        for kind in [ConnectionKind::Control, BULK] {
            while let Some(output) = self.track(kind).machine.poll_output() {
                self.output(kind, output).await;
            }
        }
    }

    async fn output(&mut self, kind: ConnectionKind, output: Output) {
        match output {
            Output::MakeOffer { generation } => {
                making::make(&self.around.context, (kind, generation), None, self.made_in.clone());
            }
            Output::MakeAnswer { generation, sdp } => {
                making::make(&self.around.context, (kind, generation), Some(sdp), self.made_in.clone());
            }
            Output::TakeAnswer { generation, offer, sdp } => self.take_answer(kind, (generation, offer), sdp).await,
            Output::AskOffer { generation } => self.send(kind, generation, SignalBody::PleaseOffer),
            Output::Close { generation, reason } => self.close(kind, generation, &reason).await,
            Output::Beat { generation } => {
                let track = self.track(kind);
                let number = track.next_beat(Instant::now());
                if let Some(carrier) = track.carriers.get(&generation) {
                    carrier.beat(kind, number);
                }
            }
            Output::Changed(state) => self.changed(kind, state).await,
        }
    }

    async fn made(&mut self, made: Made) {
        let (kind, generation) = (made.kind, made.generation);
        if self.leaving {
            return making::close(made).await;
        }
        match made.what {
            Ok(Description::Offer { connection, sdp }) => {
                let digest = Digest::of(sdp.as_bytes());
                self.track(kind).offered = Some(Offered { generation, digest, connection });
                self.send(kind, generation, SignalBody::Offer { sdp });
                if kind == ConnectionKind::Control && !self.introduced {
                    self.introduced = true;
                    self.tell_user(MeshEvent::Offered { peer: self.peer.clone() }).await;
                }
            }
            Ok(Description::Answer { connection, offer, sdp }) => {
                self.carry(kind, generation, connection);
                self.send(kind, generation, SignalBody::Answer { offer, sdp });
            }
            Err(error) => self.feed(kind, Input::Broken { generation, reason: error.to_string() }),
        }
    }

    async fn take_answer(&mut self, kind: ConnectionKind, (generation, offer): (Generation, Digest), sdp: String) {
        let track = self.track(kind);
        let fits = |offered: &Offered| offered.generation == generation && offered.digest == offer;
        let Some(offered) = track.offered.take_if(|offered| fits(offered)) else { return };
        match offered.connection.accept_answer(&sdp).await {
            Ok(()) => self.carry(kind, generation, offered.connection),
            Err(error) => {
                offered.connection.close().await;
                self.feed(kind, Input::Broken { generation, reason: error.to_string() });
            }
        }
    }

    fn carry(&mut self, kind: ConnectionKind, generation: Generation, connection: crate::rtc::Connection) {
        let purpose = Purpose {
            context: Arc::clone(&self.around.context),
            peer: self.peer.clone(),
            kind,
            generation,
            mux: Arc::clone(&self.mux),
            counters: Arc::clone(&self.counters),
            tell: self.tell.clone(),
        };
        let carrier = Carrier::start(connection, purpose);
        self.track(kind).carriers.insert(generation, carrier);
    }

    async fn close(&mut self, kind: ConnectionKind, generation: Generation, reason: &str) {
        tracing::debug!(peer = %self.peer.name, ?kind, generation = generation.0, reason, "closing a connection");
        let track = self.track(kind);
        if let Some(carrier) = track.carriers.get(&generation) {
            carrier.stop();
        }
        if let Some(offered) = track.offered.take_if(|offered| offered.generation == generation) {
            offered.connection.close().await;
        }
    }

    async fn told(&mut self, (kind, generation, told): FromCarrier) {
        match told {
            Told::Open { path, rpc } => self.opened((kind, generation), path, rpc).await,
            Told::Answered { number } => {
                let rtt = self.track(kind).answered(number, Instant::now());
                if kind == ConnectionKind::Control && rtt.is_some() {
                    self.note(|info| info.rtt = rtt);
                    self.measure();
                }
                self.feed(kind, Input::Heard { generation });
            }
            Told::Signal(signed) => match Signal::open(&signed, &self.peer.peer, &self.around.context.me, now_unix()) {
                Ok(signal) if signal.mesh == self.around.context.mesh => self.signal(signal),
                Ok(_) => tracing::warn!(peer = %self.peer.name, "a signal in band is for another mesh"),
                Err(error) => tracing::warn!(peer = %self.peer.name, %error, "a signal in band was refused"),
            },
            Told::Events(frame) => self.tell_user(MeshEvent::Events { peer: self.peer.clone(), frame }).await,
            Told::Stream(incoming) => {
                let (peer, header, stream) = (self.peer.clone(), incoming.header, incoming.stream);
                self.tell_user(MeshEvent::Stream { peer, header, stream }).await;
            }
            Told::Bye => {
                self.feed(ConnectionKind::Control, Input::Drop);
                self.feed(BULK, Input::Drop);
                self.mux.reset_all("the peer left");
                let lost = MeshEvent::LinkLost { peer: self.peer.clone(), reason: "the peer left".to_owned() };
                self.tell_user(lost).await;
            }
            Told::Ended { reason } => {
                self.track(kind).carriers.remove(&generation);
                self.feed(kind, Input::Broken { generation, reason });
            }
        }
    }

    async fn opened(
        &mut self,
        (kind, generation): (ConnectionKind, Generation),
        path: Option<SelectedPath>,
        rpc: Option<RpcPort>,
    ) {
        let now = Instant::now();
        let track = self.track(kind);
        track.machine.handle(Input::Open { generation }, now);
        if *track.machine.state() != (State::Up { generation }) {
            return;
        }
        let number = track.next_beat(now);
        let Some(carrier) = track.carriers.get(&generation) else { return };
        carrier.beat(kind, number);
        let events = carrier.events();
        let Some(rpc) = rpc else {
            self.mux.rewind();
            return;
        };
        self.events_way.send_replace(Some(events));
        self.note(|info| (info.path, info.generation) = (path, Some(generation)));
        if !self.introduced {
            self.introduced = true;
            self.tell_user(MeshEvent::Acknowledged { peer: self.peer.clone() }).await;
        }
        self.tell_user(MeshEvent::LinkUp(LinkUp { peer: self.peer.clone(), generation, path, rpc })).await;
    }

    async fn changed(&mut self, kind: ConnectionKind, state: State) {
        if kind != ConnectionKind::Control {
            return;
        }
        self.note(|info| {
            info.state = shown(&state);
            info.last_change = LinkChange { at: Instant::now(), why: why(&state) };
        });
        let peer = self.peer.clone();
        match state {
            State::Suspect { reason } => {
                // events keep their way: if the suspicion was false they go on, and a new generation replaces it
                self.tell_user(MeshEvent::LinkSuspect { peer, reason }).await;
            }
            State::Lost => {
                self.mux.reset_all("the link is lost");
                let reason = format!("no connection for {:?}", limits::LINK_LOST);
                self.tell_user(MeshEvent::LinkLost { peer, reason }).await;
            }
            State::Idle => {
                self.events_way.send_replace(None);
            }
            State::Connecting | State::Up { .. } => {}
        }
    }

    /// Sends a signal: over the link itself when it is up, otherwise through signaling.
    fn send(&mut self, kind: ConnectionKind, generation: Generation, body: SignalBody) {
        let context = &self.around.context;
        let signal = Signal {
            mesh: context.mesh.clone(),
            from: context.me,
            to: self.peer.peer,
            kind,
            codec: Codec::Bincode,
            generation,
            expires: UnixSeconds(now_unix().0 + limits::SIGNAL_LIFETIME.as_secs()),
            body,
        };
        let sealed = signal.seal(&context.key);
        if !self.send_in_band(&sealed) {
            // a full queue loses the signal; the attempt's deadline brings the next one
            let _ = self.around.signals.try_send((self.peer.peer, sealed));
        }
    }

    fn send_in_band(&self, sealed: &Signed) -> bool {
        let State::Up { generation } = self.control.machine.state() else { return false };
        self.control.carriers.get(generation).is_some_and(|carrier| carrier.signal(sealed))
    }

    /// The bytes a second since the last measurement.
    fn measure(&mut self) {
        let bytes = self.counters.with(&self.mux);
        if let Some((sent_per_s, received_per_s)) = self.pace.measured(bytes, Instant::now()) {
            self.note(|info| (info.sent_per_s, info.received_per_s) = (sent_per_s, received_per_s));
        }
    }

    fn note(&self, change: impl FnOnce(&mut LinkInfo)) {
        change(&mut self.info.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn tell_user(&self, event: MeshEvent) {
        // whoever joined may be gone already while its links still close
        let _ = self.around.events.send(event).await;
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

fn why(state: &State) -> String {
    match state {
        State::Idle => "nobody wants it any more".to_owned(),
        State::Connecting => "wanted".to_owned(),
        State::Up { generation } => format!("connection {generation} opened, or came back"),
        State::Suspect { reason } => reason.clone(),
        State::Lost => format!("no connection for {:?}", limits::LINK_LOST),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
