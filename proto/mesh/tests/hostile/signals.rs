//! What a peer says before there is a connection: signals, descriptions, candidates.

use std::time::Duration;

use futures::future::join_all;
use meshproof_mesh::rtc::Connection;
use meshproof_proto::id::{Digest, Generation, PeerId};
use meshproof_proto::identity::UnixSeconds;
use meshproof_proto::limits;
use meshproof_proto::signal::{Signal, SignalBody};

use crate::common::name;
use crate::frames::CONTROL;
use crate::peer::{Hostile, Part, channels, config, now};
use crate::process;
use crate::scene::Scene;

/// A description in which something is wrong, made from an honest one.
type Spoil = fn(&str) -> String;

/// The description could not be used at all.
const UNUSABLE: &str = "could not";
/// It could be read, and leads nowhere.
const NOWHERE: &str = "no connection within 4s";

const DESCRIPTIONS: [(&str, Spoil, &str); 18] = [
    ("empty", |_| String::new(), UNUSABLE),
    ("garbage", |_| "\0\u{1b}[31m\u{202e}{}".to_owned(), UNUSABLE),
    ("nothing-but-a-version", |_| "v=0\r\n".to_owned(), UNUSABLE),
    ("cut", |sdp| sdp[..sdp.len() / 2].to_owned(), UNUSABLE),
    ("oversize", |sdp| format!("{sdp}a={}\r\n", "x".repeat(20 * 1024)), "a session description of"),
    ("crowded", |sdp| candidates(sdp, 100, "127.0.0.1 9"), "candidates, at most 32 are tried"),
    ("no-fingerprint", |sdp| without(sdp, "a=fingerprint"), UNUSABLE),
    ("an-empty-fingerprint", |sdp| fingerprint(sdp, "sha-256 "), UNUSABLE),
    (
        "two-fingerprints",
        |sdp| fingerprint(sdp, &format!("sha-256 {}\r\na=fingerprint:sha-256 {}", ff(), ff())),
        NOWHERE,
    ),
    ("another-fingerprint", |sdp| fingerprint(sdp, &format!("sha-256 {}", ff())), NOWHERE),
    (
        "a-weak-fingerprint",
        |sdp| fingerprint(sdp, "sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33"),
        NOWHERE,
    ),
    ("no-credentials", |sdp| without(&without(sdp, "a=ice-ufrag"), "a=ice-pwd"), UNUSABLE),
    ("a-local-name", |sdp| only(sdp, "4bd9cb9b-5c2b-4a3e-9a5e-2f4f7d8a1b2c.local 9999"), NOWHERE),
    ("every-address", |sdp| only(sdp, "0.0.0.0 9999"), NOWHERE),
    ("the-metadata-service", |sdp| only(sdp, "169.254.169.254 80"), NOWHERE),
    ("link-local", |sdp| only(sdp, "fe80::1 9999"), NOWHERE),
    ("port-0", |sdp| only(sdp, "127.0.0.1 0"), NOWHERE),
    ("no-address", |sdp| only(sdp, "999.1.2.3 9999"), UNUSABLE),
];

fn without(sdp: &str, start: &str) -> String {
    sdp.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\r\n")).collect()
}

fn ff() -> String {
    ["FF"; 32].join(":")
}

fn fingerprint(sdp: &str, instead: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("a=fingerprint") { format!("a=fingerprint:{instead}\r\n") } else { format!("{line}\r\n") }
    };
    sdp.lines().map(line).collect()
}

/// Adds so many candidates.
fn candidates(sdp: &str, count: usize, place: &str) -> String {
    let line = format!("a=candidate:1 1 udp 2130706431 {place} typ host\r\n");
    format!("{sdp}{}", line.repeat(count))
}

/// One candidate and no other.
fn only(sdp: &str, place: &str) -> String {
    candidates(&without(&without(sdp, "a=candidate"), "a=end-of-candidates"), 1, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_no_good_ends_the_attempt_with_a_reason() {
    let scene = Scene::new().await;
    let (me, world) = (scene.honest.me(), &scene.world);
    let attacks = DESCRIPTIONS.iter().map(|(case, spoil, reason)| async move {
        let who = format!("offers-{case}");
        let mut hostile = Hostile::register(world, &who, me, Part::Offers).await;
        let (connection, sdp) = Connection::offer(&config(), &channels(CONTROL)).await.expect("an offer");
        let offer = hostile.signal_of(CONTROL, Generation(1), SignalBody::Offer { sdp: spoil(&sdp) });
        hostile.signal(&offer).await;
        ((hostile, connection), who, *reason)
    });
    judge(&scene, join_all(attacks).await).await;
    scene.end("offers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_good_ends_the_attempt_with_a_reason() {
    let scene = Scene::new().await;
    let (me, world) = (scene.honest.me(), &scene.world);
    let attacks = DESCRIPTIONS.iter().map(|(case, spoil, reason)| async move {
        let who = format!("answers-{case}");
        let mut hostile = Hostile::register(world, &who, me, Part::Answers).await;
        let ask = hostile.signal_of(CONTROL, Generation(0), SignalBody::PleaseOffer);
        hostile.signal(&ask).await;
        let offer = hostile.heard(CONTROL).await;
        let SignalBody::Offer { sdp } = offer.body else { panic!("an offer was asked for") };
        let (connection, answer) = Connection::answer(&config(), &channels(CONTROL), &sdp).await.expect("an answer");
        let body = SignalBody::Answer { offer: Digest::of(sdp.as_bytes()), sdp: spoil(&answer) };
        let answer = hostile.signal_of(CONTROL, offer.generation, body);
        hostile.signal(&answer).await;
        ((hostile, connection), who, *reason)
    });
    judge(&scene, join_all(attacks).await).await;
    scene.end("answers").await;
}

async fn judge(scene: &Scene, attacks: Vec<((Hostile, Connection), String, &'static str)>) {
    let mut connections = Vec::new();
    for ((hostile, connection), who, reason) in attacks {
        scene.said(&["closing a connection", &format!("peer={who} "), reason]).await;
        connections.push(connection);
        drop(hostile);
    }
    join_all(connections.into_iter().map(Connection::close)).await;
}

/// What is wrong with a signal, around a description that is none.
/// What is wrong, how it is made so, and what is said of it.
type Wrong = (&'static str, fn(&mut Signal), &'static str);

const SIGNALS: [Wrong; 4] = [
    ("of another mesh", |signal| signal.mesh = name("prod"), "a signal is for another mesh"),
    ("for another peer", |signal| signal.to = PeerId([9; 32]), "the signal is for another mesh or peer"),
    ("of another peer", |signal| signal.from = PeerId([9; 32]), "the signal is for another mesh or peer"),
    (
        "that expired",
        |signal| signal.expires = UnixSeconds(now() - limits::CLOCK_SKEW.as_secs() - 10),
        "the signal expired",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_does_not_hold_is_refused_with_a_reason() {
    for (case, spoil, reason) in SIGNALS {
        let scene = Scene::new().await;
        let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Offers).await;
        let mut signal = hostile.signal_of(CONTROL, Generation(1), SignalBody::PleaseOffer);
        spoil(&mut signal);
        hostile.signal(&signal).await;
        scene.said(&[reason]).await;
        drop(hostile);
        scene.end(case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_whose_signature_was_changed_is_refused_with_a_reason() {
    let scene = Scene::new().await;
    let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Offers).await;
    let mut signed = hostile.signal_of(CONTROL, Generation(1), SignalBody::PleaseOffer).seal(&hostile.key);
    signed.signature[0] ^= 1;
    hostile.send(signed).await;
    scene.said(&["a signal was refused", "the signal is not signed by the key it names"]).await;
    drop(hostile);
    scene.end("a changed signature").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_candidates_do_not_pass_the_signaling_server() {
    let scene = Scene::new().await;
    let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Offers).await;
    let sdp = candidates("v=0\r\n", 10_000, "127.0.0.1 9");
    let offer = hostile.signal_of(CONTROL, Generation(1), SignalBody::Offer { sdp });
    hostile.signal(&offer).await;
    while hostile.receive().await.is_some() {}
    scene.said(&["left: mallory"]).await;
    drop(hostile);
    scene.end("ten thousand candidates").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_generations_that_are_over_or_of_other_offers_are_dropped() {
    let scene = Scene::new().await;
    let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Answers).await;
    let ask = hostile.signal_of(CONTROL, Generation(0), SignalBody::PleaseOffer);
    hostile.signal(&ask).await;
    let offer = hostile.heard(CONTROL).await;
    let SignalBody::Offer { sdp } = offer.body else { panic!("an offer was asked for") };
    let (mut connection, answer) = Connection::answer(&config(), &channels(CONTROL), &sdp).await.expect("an answer");
    let right = Digest::of(sdp.as_bytes());
    // any of the first five, if it were taken, would be the one answer that the offer takes
    for (generation, offer, sdp) in [
        (offer.generation, Digest::of(b"another offer"), answer.clone()),
        (offer.generation, Digest::of(b"another offer"), "garbage".to_owned()),
        (Generation(0), right, answer.clone()),
        (Generation(u64::MAX), right, "garbage".to_owned()),
        (offer.generation.next(), right, "garbage".to_owned()),
        (offer.generation, right, answer.clone()),
        (offer.generation, right, answer),
    ] {
        let answer = hostile.signal_of(CONTROL, generation, SignalBody::Answer { offer, sdp });
        hostile.signal(&answer).await;
    }
    assert_eq!(connection.next_event().await, Some(meshproof_mesh::rtc::RtcEvent::Open), "the right answer was taken");
    connection.close().await;
    drop(hostile);
    scene.end("stale answers").await;
}

/// Connections that one peer can have us make at once, whatever it sends: the one in use, the one in the making, and those
/// that are just closing. Each has a socket; the rest is the scene's.
const SOCKETS: usize = 40;

/// After that it is asked again.
const ANSWERED_WITHIN: Duration = Duration::from_millis(200);

async fn flood(part: Part, case: &str, mut body: impl FnMut() -> SignalBody) {
    let scene = Scene::new().await;
    let before = process::sockets();
    let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), part).await;
    let mut most = 0;
    for generation in 1..=500 {
        let signal = hostile.signal_of(CONTROL, Generation(generation), body());
        hostile.signal(&signal).await;
        most = most.max(process::sockets());
    }
    // until what comes after the flood is answered, or the attempts of its time are over; what is too much for a link is lost
    let last = async {
        for generation in 501.. {
            let signal = hostile.signal_of(CONTROL, Generation(generation), body());
            hostile.signal(&signal).await;
            let answered = async {
                while hostile.heard(CONTROL).await.generation < Generation(501) {
                    most = most.max(process::sockets());
                }
            };
            if tokio::time::timeout(ANSWERED_WITHIN, answered).await.is_ok() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, last).await;
    assert!(most < before + SOCKETS, "{case}: {before} sockets before, {most} at most");
    drop(hostile);
    scene.end(case).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_asks_does_not_make_connections_without_end() {
    flood(Part::Answers, "asks", || SignalBody::PleaseOffer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_offers_does_not_make_connections_without_end() {
    let (unused, sdp) = Connection::offer(&config(), &channels(CONTROL)).await.expect("an offer");
    unused.close().await;
    flood(Part::Offers, "offers", || SignalBody::Offer { sdp: sdp.clone() }).await;
}
