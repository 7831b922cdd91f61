//! What a peer of protocol 1.0 is sent: nothing that it cannot read.

use std::time::Duration;

use bytes::Bytes;
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{ControlFrame, MAIN_CHANNEL, Piece};
use meshproof_proto::hello::Hello;
use meshproof_proto::identity::{Key, Signed};
use meshproof_proto::trust::{Revoked, RootNews};
use meshproof_proto::version::{PROTOCOL, Version};
use serde::Deserialize;

use crate::common::{PATIENCE, name};
use crate::control::numbered_request;
use crate::frames::CONTROL;
use crate::peer::{Hostile, Line, Part};
use crate::scene::Scene;

const OLDER: Version = Version { major: 1, minor: 0 };

/// As many at once as make it worth while to let replies share a message.
const CALLS: u64 = 64;

/// The control frames of 1.0, as its peers read them.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "they are read, and that is all")]
enum OldFrame {
    Hello(Box<Hello>),
    Proof(Vec<u8>),
    Refuse(String),
    Beat(u64),
    BeatAnswer(u64),
    Call(Piece),
    Reply(Piece),
    Signal(Signed),
    Bye,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_1_0_is_sent_no_frame_that_it_cannot_read_and_one_of_1_1_is() {
    for (protocol, part) in [(OLDER, Part::Offers), (OLDER, Part::Answers), (PROTOCOL, Part::Offers)] {
        let scene = Scene::new().await;
        let mut peer = Hostile::register(&scene.world, "older", scene.honest.me(), part).await;
        peer.protocol = protocol;
        let mut line = peer.admitted(CONTROL).await;
        scene.honest.learn(&news());
        let mut sent = sent(&mut line).await;
        let unreadable = sent.iter().filter(|message| Codec::Bincode.decode::<OldFrame>(message).is_err()).count();
        if protocol == OLDER {
            assert_eq!(unreadable, 0, "of {} messages to a peer of {protocol}", sent.len());
            assert_eq!(sent.len() as u64, CALLS, "one for each reply");
        } else {
            // they may come behind the last reply
            while !sent.iter().any(|message| is_news(message)) {
                let next = tokio::time::timeout(PATIENCE, line.next_message()).await;
                sent.push(next.expect("news are for 1.1").expect("it is not closed"));
            }
            assert!(sent.iter().any(|message| is_packed(message)), "replies share a message of 1.1");
        }
        line.connection.close().await;
        drop(peer);
        scene.end(&format!("a peer of {protocol}: {part:?}")).await;
    }
}

/// Calls often, and gives everything that comes until all replies have.
async fn sent(line: &mut Line) -> Vec<Bytes> {
    for id in 0..CALLS {
        line.say(MAIN_CHANNEL, numbered_request(id, Duration::from_secs(10), 0)).await;
    }
    let (mut replies, mut sent) = (0, Vec::new());
    let reading = async {
        while replies < CALLS {
            let message = line.next_message().await.expect("it is not closed");
            replies += frames(&message).iter().filter(|frame| matches!(frame, ControlFrame::Reply(_))).count() as u64;
            sent.push(message);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("all are answered");
    sent
}

fn frames(mut message: &[u8]) -> Vec<ControlFrame> {
    let mut frames = Vec::new();
    while !message.is_empty() {
        let (frame, rest) = Codec::Bincode.decode_front(message).expect("a frame of today");
        frames.push(frame);
        message = rest;
    }
    frames
}

fn is_news(message: &[u8]) -> bool {
    frames(message).iter().any(|frame| matches!(frame, ControlFrame::News(_)))
}

fn is_packed(message: &[u8]) -> bool {
    frames(message).len() > 1
}

/// Something that the root said, about nobody here.
fn news() -> RootNews {
    let root = Key::from_seed([1; 32]);
    let somebody = Key::from_seed([99; 32]).public();
    let revoked = Revoked { mesh: name("dev"), root: root.public(), number: 1, keys: [somebody].into() };
    RootNews { successions: Vec::new(), revoked: Some(revoked.seal(&root)) }
}
