//! Whoever floods the server is held back or refused, and everybody else is served meanwhile: what arrives is counted, and how
//! long it takes is measured by the command in `examples/floods`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::{HANG, Peer, Server, Socket, mesh, root};
use meshproof_proto::allowance::Rate;
use meshproof_proto::identity::Signed;
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use meshproof_signaling::{Config, limits};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

const FLOODER: [u8; 4] = [127, 0, 0, 2];

/// Signals from each of the two others to the other.
const SIGNALS: usize = 100;

fn signal(text: String) -> Signed {
    Signed { text, signature: vec![] }
}

/// Two peers that signal each other, one after the other, and get all of it.
async fn converse(server: &Server) {
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, _) = server.join(&a).await;
    let (mut at_b, _) = server.join(&b).await;
    for number in 0..SIGNALS {
        let text = format!("signal {number}");
        at_a.say(&ToServer::Signal { to: b.id(), signal: signal(text.clone()) }).await;
        assert_eq!(next_signal(&mut at_b).await, text);
        at_b.say(&ToServer::Signal { to: a.id(), signal: signal(text.clone()) }).await;
        assert_eq!(next_signal(&mut at_a).await, text);
    }
}

/// Others come and go meanwhile.
async fn next_signal(socket: &mut Socket) -> String {
    loop {
        match socket.hear().await {
            ToPeer::Signal { signal, .. } => return signal.text,
            ToPeer::Joined { .. } | ToPeer::Left { .. } => {}
            other => panic!("a signal was expected, not {other:?}"),
        }
    }
}

/// What a rate lets through in that time, at most.
fn let_through(rate: Rate, time: Duration) -> f64 {
    f64::from(rate.at_once) + f64::from(rate.per_second) * time.as_secs_f64()
}

#[tokio::test]
async fn a_flood_of_messages_is_held_back_to_its_allowance_and_the_others_get_all_of_theirs() {
    let server = Server::start().await;
    let (near, far) = (Peer::new(20), Peer::new(21));
    let (mut at_near, _) = server.join_at(FLOODER, &near).await;
    let (mut at_far, _) = server.join_at(FLOODER, &far).await;
    let (began, arrived) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&arrived);
    let flood = tokio::spawn(async move {
        loop {
            at_near.say(&ToServer::Signal { to: far.id(), signal: signal("flood".to_owned()) }).await;
        }
    });
    let taken = tokio::spawn(async move {
        loop {
            next_signal(&mut at_far).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    converse(&server).await;
    while arrived.load(Ordering::Relaxed) < u64::from(limits::SOCKET_MESSAGES.at_once) {
        tokio::task::yield_now().await;
    }
    let arrived = arrived.load(Ordering::Relaxed);
    let most = let_through(limits::SOCKET_MESSAGES, began.elapsed());
    assert!(arrived as f64 <= most, "{arrived} messages of the flood came through, {most} may");
    assert!(!flood.is_finished() && !taken.is_finished(), "the flooder is held back, and not cut off");
    flood.abort();
    taken.abort();
}

#[tokio::test]
async fn a_flood_of_connections_is_refused_with_what_to_do_and_others_come_in_meanwhile() {
    let server = Server::start().await;
    let (began, mut held) = (Instant::now(), JoinSet::new());
    let refused = loop {
        let mut connection = server.connect(FLOODER).await;
        held.spawn(async move {
            let mut answer = String::new();
            let _ = connection.read_to_string(&mut answer).await;
            answer
        });
        // who is held, and then says nothing, hears nothing
        let heard = held.try_join_next().map(|answer| answer.expect("it reads")).filter(|answer| !answer.is_empty());
        if let Some(answer) = heard {
            break answer;
        }
        assert!(began.elapsed() < HANG, "none of {} connections is refused", held.len());
    };
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.ends_with("try again later\n"), "{refused}");
    converse(&server).await;
}

#[tokio::test]
async fn a_flood_of_joins_waits_for_its_turns_and_the_others_get_all_of_theirs() {
    let server = Server::start().await;
    let (began, peers) = (Instant::now(), 2 * limits::SOURCE_CONNECTIONS.at_once);
    let joins = async {
        for number in 0..peers {
            let peer = Peer::new(u8::try_from(100 + number % 100).expect("small"));
            let (mut socket, _) = server.join_at(FLOODER, &peer).await;
            socket.say(&ToServer::Leave).await;
        }
        began.elapsed()
    };
    let (took, ()) = tokio::join!(joins, converse(&server));
    let most = let_through(limits::SOURCE_CONNECTIONS, took);
    assert!(f64::from(peers) <= most, "{peers} joins within {took:?}, {most} may");
}

#[tokio::test]
async fn a_flood_of_strangers_is_refused_one_by_one_and_the_others_get_all_of_theirs() {
    let server = Server::with(Config::new(vec![(mesh(), root())])).await;
    let strangers = async {
        for _ in 0..limits::SOURCE_CONNECTIONS.at_once {
            let (mut socket, nonce) = server.challenge_at(FLOODER).await;
            socket.say(&Peer::under(2, 10).register(&nonce)).await;
            let ToPeer::Refused { reason } = socket.hear().await else { panic!("a stranger is refused") };
            assert!(reason.contains("use a token of the root key"), "{reason}");
        }
    };
    tokio::join!(strangers, converse(&server));
}
