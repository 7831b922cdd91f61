//! One connection between two ends in this process, over real sockets on loopback.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meshproof_mesh::rtc::{
    ChannelSpec, Connection, IncomingMessage, MAX_MESSAGE_BYTES, Reliability, RtcConfig, RtcError, RtcEvent, SendError,
};
use meshproof_proto::links::LinkPath;
use tokio::sync::{Mutex, MutexGuard, watch};

const CHANNELS: &[ChannelSpec] = &[
    ChannelSpec { id: 0, label: "control", reliability: Reliability::ReliableOrdered },
    ChannelSpec { id: 1, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
];

/// Far more than any wait here needs, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sockets are counted for the whole process: one test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let guard = ALONE.lock().await;
    settled(0).await;
    guard
}

fn config() -> RtcConfig {
    RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..RtcConfig::default() }
}

/// Two ends that are described to each other.
async fn described() -> (Connection, Connection) {
    let (left, offer) = Connection::offer(&config(), CHANNELS).await.expect("an offer");
    let (right, answer) = Connection::answer(&config(), CHANNELS, &offer).await.expect("an answer");
    left.accept_answer(&answer).await.expect("the answer fits");
    (left, right)
}

/// Two ends that are open.
async fn opened() -> (Connection, Connection) {
    let (mut left, mut right) = described().await;
    let (at_left, at_right) = tokio::join!(event(&mut left), event(&mut right));
    assert_eq!((at_left, at_right), (RtcEvent::Open, RtcEvent::Open));
    (left, right)
}

async fn event(connection: &mut Connection) -> RtcEvent {
    let event = tokio::time::timeout(PATIENCE, connection.next_event()).await;
    event.expect("an event comes in time").expect("the connection has not ended")
}

async fn message(connection: &mut Connection) -> IncomingMessage {
    match event(connection).await {
        RtcEvent::Message(message) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

async fn close(left: Connection, right: Connection) {
    tokio::join!(left.close(), right.close());
}

/// The UDP sockets of this process (the runtime has others of its own).
fn sockets() -> usize {
    let table = std::fs::read_to_string("/proc/self/net/udp").expect("/proc is there");
    let udp: HashSet<String> =
        table.lines().filter_map(|line| Some(format!("socket:[{}]", line.split_whitespace().nth(9)?))).collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| udp.contains(&*target.to_string_lossy()))
        .count()
}

/// Returns once no socket and no more than `tasks` tasks are left.
async fn settled(tasks: usize) {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let settling = async {
        while sockets() > 0 || alive() > tasks {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settling).await;
    assert!(settled.is_ok(), "{} sockets and {} tasks are left", sockets(), alive());
}

/// Message number `number`, of `size` bytes.
fn numbered(number: u64, size: usize) -> Bytes {
    let mut message = BytesMut::zeroed(size);
    message[..8].copy_from_slice(&number.to_be_bytes());
    message[size - 1] = number.to_le_bytes()[0];
    message.freeze()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_both_ways_on_both_channels() {
    let _alone = alone().await;
    let (mut left, mut right) = opened().await;
    for channel in [0, 1] {
        left.sender().send(channel, Bytes::from_static(b"to the right")).await.expect("sent");
        right.sender().send(channel, Bytes::from_static(b"to the left")).await.expect("sent");
        let expected = |bytes| IncomingMessage { channel, bytes: Bytes::from_static(bytes) };
        assert_eq!(message(&mut right).await, expected(b"to the right"));
        assert_eq!(message(&mut left).await, expected(b"to the left"));
    }
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_arrive_complete_and_in_order() {
    const MESSAGES: u64 = 50_000_000 / MAX_MESSAGE_BYTES as u64 + 1;
    let _alone = alone().await;
    let (left, mut right) = opened().await;
    let sender = left.sender();
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.send(0, numbered(number, MAX_MESSAGE_BYTES)).await.expect("sent");
        }
    });
    for number in 0..MESSAGES {
        assert_eq!(message(&mut right).await.bytes, numbered(number, MAX_MESSAGE_BYTES), "message {number}");
    }
    sending.await.expect("the sender is done");
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_sees_the_certificate_that_the_other_presents() {
    let _alone = alone().await;
    let (left, right) = opened().await;
    assert_eq!(left.remote_fingerprint().await, Some(right.local_fingerprint()));
    assert_eq!(right.remote_fingerprint().await, Some(left.local_fingerprint()));
    assert_ne!(left.local_fingerprint(), right.local_fingerprint());
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_not_described_never_opens_a_connection() {
    let _alone = alone().await;
    let (mut left, offer) = Connection::offer(&config(), CHANNELS).await.expect("an offer");
    let (mut right, answer) = Connection::answer(&config(), CHANNELS, &offer).await.expect("an answer");
    let (before, after) = answer.split_once("a=fingerprint:sha-256 ").expect("it has a fingerprint");
    let forged = format!("{before}a=fingerprint:sha-256 00{}", &after[2..]);
    left.accept_answer(&forged).await.expect("it can be read");
    // The stack does not say that it refused: it is the absence of an opening that counts, fifty times as long as one takes.
    let waiting = async { tokio::join!(left.next_event(), right.next_event()) };
    let events = tokio::time::timeout(Duration::from_millis(400), waiting).await;
    assert!(events.is_err(), "got {events:?}");
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_is_the_one_between_the_two_sockets() {
    let _alone = alone().await;
    let (left, right) = opened().await;
    let path = left.path().await.expect("a path is selected");
    assert_eq!(path.kind, LinkPath::Direct);
    assert_eq!((&[path.local][..], &[path.remote][..]), (left.local_sockets(), right.local_sockets()));
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_before_the_opening_arrives_after_it() {
    let _alone = alone().await;
    let (mut left, mut right) = described().await;
    let sender = left.sender();
    let sending = tokio::spawn(async move { sender.send(0, Bytes::from_static(b"early")).await });
    let ((), arrived) = tokio::join!(async { assert_eq!(event(&mut left).await, RtcEvent::Open) }, async {
        assert_eq!(event(&mut right).await, RtcEvent::Open);
        message(&mut right).await
    });
    assert_eq!(arrived.bytes, "early");
    assert_eq!(sending.await.expect("the task ends"), Ok(()));
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_side_sees_a_close_and_its_senders_fail() {
    let _alone = alone().await;
    let (left, mut right) = opened().await;
    let sender = right.sender();
    left.close().await;
    assert_eq!(event(&mut right).await, RtcEvent::Closed);
    assert_eq!(right.next_event().await, None);
    assert_eq!(sender.send(0, Bytes::from_static(b"late")).await, Err(SendError::Closed));
    right.close().await;
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_connections_leave_no_socket_and_no_task() {
    let _alone = alone().await;
    for _ in 0..20 {
        let (left, right) = opened().await;
        assert!(sockets() >= 2);
        close(left, right).await;
    }
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_instead_of_closing_leaves_no_socket_and_no_task() {
    let _alone = alone().await;
    let (open, half_open) = (opened().await, Connection::offer(&config(), CHANNELS).await);
    drop((open, half_open));
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_given_up_half_way_leaves_no_socket_and_no_task() {
    let _alone = alone().await;
    for polls in 0..12 {
        let offering = config();
        let mut offer = Box::pin(Connection::offer(&offering, CHANNELS));
        for _ in 0..polls {
            let _ = futures::poll!(offer.as_mut());
            tokio::task::yield_now().await;
        }
    }
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_without_a_peer_ends_when_it_is_closed() {
    let _alone = alone().await;
    let (gone, offer) = Connection::offer(&config(), CHANNELS).await.expect("an offer");
    gone.close().await;
    let (mut waiting, _answer) = Connection::answer(&config(), CHANNELS, &offer).await.expect("an answer");
    let quiet = tokio::time::timeout(Duration::from_millis(100), waiting.next_event()).await;
    assert!(quiet.is_err(), "nobody is there, got {quiet:?}");
    waiting.close().await;
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_throttles_its_peer_and_loses_nothing() {
    /// 256 messages wait in the channel, 256 in the stack, a window in SCTP, a send buffer at the peer.
    const BOUND: u64 = 3 * 256;
    let _alone = alone().await;
    let (left, mut right) = opened().await;
    let (sender, (count, mut counted)) = (left.sender(), watch::channel(0));
    let sending = tokio::spawn(async move {
        for number in 0.. {
            let taken = sender.send(0, numbered(number, MAX_MESSAGE_BYTES)).await;
            if taken.is_err() || count.send(number).is_err() {
                break;
            }
        }
    });
    while tokio::time::timeout(Duration::from_millis(300), counted.changed()).await.is_ok() {
        let taken = *counted.borrow_and_update();
        assert!(taken < BOUND, "{taken} messages were taken for a reader that does not read");
    }
    for number in 0..2 * BOUND {
        assert_eq!(message(&mut right).await.bytes, numbered(number, MAX_MESSAGE_BYTES), "message {number}");
    }
    close(left, right).await;
    sending.await.expect("a closed connection ends the sender");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_of_a_stranger_do_no_harm() {
    /// A fatal handshake_failure alert in the clear (RFC 6347), as anyone can write it.
    const ALERT: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    let _alone = alone().await;
    let (mut left, mut right) = described().await;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let inject = |targets: &[SocketAddr]| {
        for target in targets.iter().cycle().take(50) {
            stranger.send_to(&ALERT, target).expect("loopback takes it");
        }
    };
    inject(left.local_sockets());
    inject(right.local_sockets());
    let (at_left, at_right) = tokio::join!(event(&mut left), event(&mut right));
    assert_eq!((at_left, at_right), (RtcEvent::Open, RtcEvent::Open));
    inject(left.local_sockets());
    inject(right.local_sockets());
    left.sender().send(0, Bytes::from_static(b"unharmed")).await.expect("sent");
    assert_eq!(message(&mut right).await.bytes, "unharmed");
    close(left, right).await;
    drop(stranger);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    let _alone = alone().await;
    let nowhere = Connection::offer(&RtcConfig::default(), CHANNELS).await;
    assert!(matches!(nowhere, Err(RtcError::NoAddress)));
    assert!(matches!(Connection::offer(&config(), &[]).await, Err(RtcError::NoChannel)));
    let elsewhere = RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1))], ..RtcConfig::default() };
    assert!(Connection::offer(&elsewhere, CHANNELS).await.is_err());
    let (unused, offer) = Connection::offer(&config(), CHANNELS).await.expect("an offer");
    unused.close().await;
    let candidate = offer.lines().find(|line| line.starts_with("a=candidate:")).expect("it has a candidate");
    let crowded = format!("{offer}{}", format!("{candidate}\r\n").repeat(50));
    for hostile in ["", "v=0", "\0", &"a=".repeat(100_000), &crowded] {
        assert!(Connection::answer(&config(), CHANNELS, hostile).await.is_err());
    }
    settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_fit_is_refused_and_the_largest_fits() {
    let _alone = alone().await;
    let (left, mut right) = opened().await;
    let sender = left.sender();
    let bytes = MAX_MESSAGE_BYTES + 1;
    assert_eq!(sender.send(0, numbered(0, bytes)).await, Err(SendError::TooLarge { bytes }));
    assert_eq!(sender.send(7, Bytes::new()).await, Err(SendError::UnknownChannel { channel: 7 }));
    sender.send(0, numbered(1, MAX_MESSAGE_BYTES)).await.expect("sent");
    assert_eq!(message(&mut right).await.bytes, numbered(1, MAX_MESSAGE_BYTES));
    close(left, right).await;
}
