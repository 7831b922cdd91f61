//! From a configuration to a connection with a description: every setting of the stack is made here.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use webrtc::data_channel::RTCDataChannelInit;
use webrtc::peer_connection::{
    PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState, RTCIceServer,
    RTCPeerConnectionState, RTCSessionDescription, SettingEngine, SettingEngineBuilder,
};

use super::incoming::{Incoming, Side};
use super::relayed::{self, Carriage};
use super::rounds::Rounds;
use super::socket::TunedRuntime;
use super::{
    ChannelSpec, Channels, Connection, Peer, Phase, Reliability, RtcConfig, RtcError, WAKE_EVERY, WAKES_AFTER_OPEN,
    candidates, stack,
};
use crate::limits::CHANNEL_UNSENT_BYTES;
use crate::relay::{Carrying, RelayPipe};
use crate::udp;

/// What both sides say they accept; more than [`super::MAX_MESSAGE_BYTES`], so that no peer of ours is ever near its edge.
const NEGOTIATED_MESSAGE_BYTES: u32 = 64 * 1024;

/// A STUN or TURN server that has not answered by then is done without: time for the two round trips of an allocation. Both
/// sides gather, one after the other; a direct link beside a dead server is to be up within two seconds all the same.
const GATHERING_LIMIT: Duration = Duration::from_millis(900);

/// Connectivity checks on loopback, where nobody else is disturbed, and elsewhere.
const LOOPBACK_CHECK_INTERVAL: Duration = Duration::from_millis(5);
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a candidate pair is tried: the answerer starts at once, the offerer only when the answer has arrived.
const CHECKING_LIMIT: Duration = Duration::from_secs(10);

/// SCTP packet size on loopback, where the path is known to carry it; elsewhere the stack's default is safe.
const LOOPBACK_MTU: u32 = 1400;

/// A peer connection with its channels, before it has a description.
pub(super) struct Prepared {
    pub(super) peer: Peer,
    channels: Channels,
    gathered: watch::Receiver<bool>,
    states: watch::Receiver<RTCPeerConnectionState>,
    addresses: Vec<IpAddr>,
    sockets: Arc<Mutex<Vec<SocketAddr>>>,
    rounds: Arc<Rounds>,
    /// Where the end of the relay is told, if there is one.
    relay_end: Option<watch::Receiver<Carrying>>,
}

impl Prepared {
    pub(super) async fn new(
        config: &RtcConfig,
        channels: &[ChannelSpec],
        carriage: Carriage,
    ) -> Result<Self, RtcError> {
        match carriage {
            Carriage::Udp => {
                let buffer = config.socket_buffer.unwrap_or(udp::WANTED_BUFFER_BYTES);
                let runtime = TunedRuntime { buffer, wire: config.wire, ..TunedRuntime::default() };
                Self::on(config, channels, runtime).await
            }
            Carriage::Relay(RelayPipe { outgoing, incoming, carrying }) => {
                let runtime = TunedRuntime { pipe: Mutex::new(Some((outgoing, incoming))), ..TunedRuntime::default() };
                let prepared = Self::on(&relayed::adapted(config), channels, runtime).await?;
                Ok(Self { relay_end: Some(carrying), ..prepared })
            }
        }
    }

    async fn on(config: &RtcConfig, channels: &[ChannelSpec], runtime: TunedRuntime) -> Result<Self, RtcError> {
        if config.addresses.is_empty() {
            return Err(RtcError::NoAddress);
        }
        if channels.is_empty() {
            return Err(RtcError::NoChannel);
        }
        let (gathered_sender, gathered) = watch::channel(false);
        let (state_sender, states) = watch::channel(RTCPeerConnectionState::New);
        let (sockets, rounds) = (Arc::clone(&runtime.bound), Arc::clone(&runtime.rounds));
        let builder = builder(config)
            .with_handler(Arc::new(Handler { gathered: gathered_sender, state: state_sender }))
            .with_runtime(Arc::new(runtime));
        // In a task of its own, which ends whatever becomes of the caller: what it built is then closed, not leaked.
        let build = async move { Ok(Peer(Some(Arc::new(Box::pin(builder.build()).await?)))) };
        let built: Result<Peer, webrtc::error::Error> =
            tokio::spawn(build).await.map_err(stack("make a peer connection"))?;
        let peer = built.map_err(stack("make a peer connection"))?;
        let mut opened = Vec::with_capacity(channels.len());
        for spec in channels {
            let channel = peer.get().create_data_channel(spec.label, Some(channel_init(spec))).await;
            opened.push((spec.id, channel.map_err(stack("make a channel"))?));
        }
        let (channels, addresses) = (opened.into(), config.addresses.clone());
        Ok(Self { peer, channels, gathered, states, addresses, sockets, rounds, relay_end: None })
    }

    /// Sets our description, waits for the candidates, and returns the connection and the description with them.
    pub(super) async fn describe(
        mut self,
        description: RTCSessionDescription,
        side: Side,
    ) -> Result<(Connection, String), RtcError> {
        let peer = self.peer.get();
        peer.set_local_description(description).await.map_err(stack("set our description"))?;
        // Neither a late server nor a gatherer that is gone is an error while there is a candidate.
        let _ = tokio::time::timeout(GATHERING_LIMIT, self.gathered.wait_for(|done| *done)).await;
        let description = peer.local_description().await.map_or_else(String::new, |description| description.sdp);
        if candidates(&description) == 0 {
            return Err(RtcError::NoCandidate { addresses: self.addresses });
        }
        let Some(local_fingerprint) = fingerprint(&description) else {
            return Err(stack("read our own fingerprint")("no SHA-256 fingerprint in our description"));
        };
        let mut waker = tokio::time::interval(WAKE_EVERY);
        waker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let connection = Connection {
            incoming: Mutex::new(Incoming::new(&self.channels, side)),
            peer: self.peer,
            channels: self.channels,
            states: self.states,
            rounds: self.rounds,
            relay_end: self.relay_end,
            phase: watch::Sender::new(Phase::Opening),
            described: AtomicBool::new(false),
            closed: false,
            waker,
            wakes_left: WAKES_AFTER_OPEN,
            local_fingerprint,
            local_sockets: self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        Ok((connection, description))
    }
}

/// Runs on the driver's task, so it only takes notes.
struct Handler {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }
}

fn builder(config: &RtcConfig) -> PeerConnectionBuilder<SocketAddr> {
    let servers = config.ice_servers.iter().map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.clone(),
    });
    PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().with_ice_servers(servers.collect()).build())
        .with_setting_engine(settings(config))
        .with_udp_addrs(config.addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect())
        .with_data_channel_send_buffer_limit(config.send_buffer.unwrap_or(CHANNEL_UNSENT_BYTES))
}

fn settings(config: &RtcConfig) -> SettingEngine {
    let on_loopback = config.addresses.iter().all(IpAddr::is_loopback);
    let interval = if on_loopback { LOOPBACK_CHECK_INTERVAL } else { CHECK_INTERVAL };
    let checks = u16::try_from(CHECKING_LIMIT.as_millis() / interval.as_millis()).unwrap_or(u16::MAX);
    let carried = || config.socket_buffer.map_or_else(udp::receive_window, udp::receive_window_of);
    let settings = SettingEngineBuilder::new()
        .with_sctp_max_receive_buffer_size(config.receive_window.unwrap_or_else(carried))
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(NEGOTIATED_MESSAGE_BYTES))
        .with_ice_connection_attempts(Some(interval), Some(checks))
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(config.addresses.iter().any(IpAddr::is_loopback));
    match config.mtu.or(on_loopback.then_some(LOOPBACK_MTU)) {
        Some(mtu) => settings.with_sctp_mtu(mtu).build(),
        None => settings.build(),
    }
}

fn channel_init(spec: &ChannelSpec) -> RTCDataChannelInit {
    let (ordered, max_retransmits) = match spec.reliability {
        Reliability::ReliableOrdered => (true, None),
        Reliability::UnorderedNoRetransmit => (false, Some(0)),
    };
    RTCDataChannelInit { ordered, max_retransmits, negotiated: Some(spec.id), ..RTCDataChannelInit::default() }
}

/// The SHA-256 fingerprint that a description names (RFC 8122: hexadecimal bytes between colons).
fn fingerprint(description: &str) -> Option<[u8; 32]> {
    let digits = description.lines().find_map(|line| line.trim_end().strip_prefix("a=fingerprint:sha-256 "))?;
    let bytes: Result<Vec<u8>, _> = digits.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes.ok()?.try_into().ok()
}
