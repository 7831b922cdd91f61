//! What comes before anything is trusted: the hello and its proof.

use bytes::Bytes;
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{BulkFrame, ControlFrame, MAIN_CHANNEL};
use meshproof_proto::hello::Hello;
use meshproof_proto::id::StreamId;
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::version::{PROTOCOL, Version};

use crate::common::{PATIENCE, World, name};
use crate::frames::{BULK, CONTROL};
use crate::peer::{Hostile, Line, Part, encoded};
use crate::scene::Scene;

/// What the hostile peer does instead of an honest hello.
enum Lie {
    /// Sends this first.
    First(Bytes),
    Hello(fn(&World, &Hostile) -> Hello),
    /// An honest hello, then a proof with one bit changed.
    Proof,
    /// An honest hello, then the victim's own proof.
    Mirror,
    /// Two hellos and no proof.
    Twice,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_does_not_hold_ends_the_connection_with_a_reason() {
    let data = encoded(&BulkFrame::Data { stream: StreamId(0), offset: 0, bytes: vec![0] });
    let versions = format!("this side speaks protocol {PROTOCOL}, the other 2.0; upgrade this side");
    let versions = versions.as_str();
    let cases: [(&str, ConnectionKind, Lie, &str); 16] = [
        ("a call before the hello", CONTROL, Lie::First(encoded(&ControlFrame::Bye)), "other than a hello"),
        ("data before the hello", BULK, Lie::First(data), "other than a hello"),
        ("an empty first frame", CONTROL, Lie::First(Bytes::new()), "other than a hello"),
        ("garbage first", CONTROL, Lie::First(Bytes::from_static(&[0xff; 5_000])), "other than a hello"),
        (
            "a proof before the hello",
            CONTROL,
            Lie::First(encoded(&ControlFrame::Proof(vec![0; 64]))),
            "other than a hello",
        ),
        ("a refusal", CONTROL, Lie::First(encoded(&ControlFrame::Refuse("no".to_owned()))), "the peer refused: no"),
        ("a hello of another major", CONTROL, Lie::Hello(another_major), versions),
        ("a hello of another major on bulk", BULK, Lie::Hello(another_major), versions),
        (
            "a hello of another mesh",
            CONTROL,
            Lie::Hello(another_mesh),
            "the grant is for mesh `prod`, this is mesh `dev`",
        ),
        ("a hello with a grant that ended", CONTROL, Lie::Hello(ended_grant), " s ago by this clock"),
        ("a hello with a name that is not granted", CONTROL, Lie::Hello(another_name), "the grant allows names like"),
        ("a hello with another root's grant", CONTROL, Lie::Hello(another_root), "the grant is not signed"),
        ("a hello of another peer", CONTROL, Lie::Hello(another_peer), "another peer answered"),
        ("a wrong proof", CONTROL, Lie::Proof, "the hello is not signed"),
        ("the victim's own proof", CONTROL, Lie::Mirror, "the hello is not signed"),
        ("hello twice", CONTROL, Lie::Twice, "other than a hello"),
    ];
    for (case, kind, lie, reason) in cases {
        let scene = Scene::new().await;
        for part in [Part::Offers, Part::Answers] {
            let who = if part == Part::Offers { "mallory-offers" } else { "mallory-answers" };
            let mut hostile = Hostile::register(&scene.world, who, scene.honest.me(), part).await;
            let mut line = hostile.connect(kind).await;
            tell(&lie, &scene.world, &hostile, &mut line).await;
            scene.said(&["closing a connection", who, reason]).await;
            line.connection.close().await;
        }
        scene.end(case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_major_is_told_both_versions_and_which_side_to_upgrade() {
    let versions = format!("this side speaks protocol {PROTOCOL}, the other 2.0; upgrade this side");
    let scene = Scene::new().await;
    for n in 0..20 {
        let who = format!("mallory-{n}");
        let mut hostile = Hostile::register(&scene.world, &who, scene.honest.me(), Part::Offers).await;
        let mut line = hostile.connect(CONTROL).await;
        tell(&Lie::Hello(another_major), &scene.world, &hostile, &mut line).await;
        assert_eq!(refusal(&mut line).await.as_deref(), Some(versions.as_str()), "attempt {n}");
        line.connection.close().await;
    }
    scene.end("another major").await;
}

async fn tell(lie: &Lie, world: &World, hostile: &Hostile, line: &mut Line) {
    match lie {
        Lie::First(bytes) => line.say(MAIN_CHANNEL, bytes.clone()).await,
        Lie::Hello(make) => line.say_hello(&make(world, hostile)).await,
        Lie::Twice => {
            line.say_hello(&hostile.hello()).await;
            line.say_hello(&hostile.hello()).await;
        }
        Lie::Proof => {
            let hello = hostile.hello();
            line.say_hello(&hello).await;
            let theirs = line.their_hello().await;
            let mut proof = line.transcript(hostile, &hello, &theirs).await.prove(&hostile.key);
            proof[0] ^= 1;
            line.say_proof(proof).await;
        }
        Lie::Mirror => {
            line.say_hello(&hostile.hello()).await;
            line.their_hello().await;
            let proof = line.next_message().await.expect("the victim proves itself");
            line.say(MAIN_CHANNEL, proof).await;
        }
    }
}

/// The refusal that the victim sent before it closed.
async fn refusal(line: &mut Line) -> Option<String> {
    let reading = async {
        while let Some(message) = line.next_message().await {
            if let Ok(ControlFrame::Refuse(reason)) = Codec::Bincode.decode(&message) {
                return Some(reason);
            }
        }
        None
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it is refused or closed")
}

fn another_major(_: &World, hostile: &Hostile) -> Hello {
    Hello { protocol: Version { major: 2, minor: 0 }, ..hostile.hello() }
}

fn granted(root: &Key, hostile: &Hostile, grant: Grant) -> Hello {
    let token = Token::issue(root, [9; 32], |token| Grant { token, ..grant });
    Hello { chain: token.claim(&name(&hostile.name), hostile.key.public()), ..hostile.hello() }
}

/// A grant that would do.
fn good(hostile: &Hostile) -> Grant {
    Grant {
        mesh: name("dev"),
        names: hostile.name.clone(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(u64::MAX / 2),
        token: hostile.key.public(),
    }
}

fn another_mesh(world: &World, hostile: &Hostile) -> Hello {
    granted(&world.root, hostile, Grant { mesh: name("prod"), ..good(hostile) })
}

fn ended_grant(world: &World, hostile: &Hostile) -> Hello {
    granted(&world.root, hostile, Grant { not_after: UnixSeconds(1_000_000), ..good(hostile) })
}

fn another_name(world: &World, hostile: &Hostile) -> Hello {
    granted(&world.root, hostile, Grant { names: "honest".to_owned(), ..good(hostile) })
}

fn another_root(_: &World, hostile: &Hostile) -> Hello {
    granted(&Key::from_seed([99; 32]), hostile, good(hostile))
}

/// A good chain, of somebody else.
fn another_peer(world: &World, hostile: &Hostile) -> Hello {
    let token = world.token("friend", 3);
    Hello { chain: token.claim(&name("friend"), Key::from_seed([8; 32]).public()), ..hostile.hello() }
}
