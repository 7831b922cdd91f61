//! A peer that has signals passed on without an end, while others have nobody else to pass theirs on.

use bytes::Bytes;
use meshproof_mesh::MeshEvent;
use meshproof_proto::frame::{ControlFrame, MAIN_CHANNEL};
use meshproof_proto::identity::Signed;
use tokio::sync::oneshot;

use crate::common::{Peer, World};
use crate::frames::CONTROL;
use crate::links::link;
use crate::peer::{Hostile, Line, Part, encoded, received};
use crate::scene::{Scene, everything};

/// Of the flood, which goes on then.
const FIRST: u64 = 20_000;

/// Passed on of these: what may be at once, what may be in the time that they take, and beats.
const PASSED_ON: u64 = FIRST / 8;

/// Of those that are said to be passed on.
const LOOKED_INTO: u64 = FIRST / 2;

/// Ends when a link is in trouble that has no reason to.
async fn trouble(mut peer: Peer) -> String {
    loop {
        match peer.events.recv().await.expect("the mesh lives") {
            MeshEvent::LinkSuspect { peer, reason } => return format!("suspect: {} because {reason}", peer.name),
            MeshEvent::LinkLost { peer, loss } => return format!("lost: {} because {loss}", peer.name),
            _ => {}
        }
    }
}

/// Sends the same frame for ever, and answers the victim's beats meanwhile; tells once many are out.
async fn flood(mut line: Line, frame: Bytes, many: oneshot::Sender<()>) {
    let sender = line.connection.sender();
    let sending = async {
        for _ in 0..FIRST {
            sender.send(MAIN_CHANNEL, frame.clone()).await.expect("the victim bears it");
        }
        many.send(()).expect("it is waited for");
        while sender.send(MAIN_CHANNEL, frame.clone()).await.is_ok() {}
    };
    let reading = async { while line.next_message().await.is_some() {} };
    tokio::join!(sending, reading);
}

/// No signal at all, and as small as may be: the more of them come.
fn nonsense() -> Signed {
    Signed { text: String::new(), signature: vec![0; 64] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_signals_to_pass_on_reaches_nobody_and_takes_no_signal_of_others_away() {
    let world = World::new().await;
    let (mut victim, mut near, mut far) = (world.join("victim", 2), world.join("near", 3), world.join("far", 4));
    let there = near.joined("far").await;
    far.joined("near").await;
    link(&mut near, &mut victim).await;
    link(&mut far, &mut victim).await;
    let mut hostile = Hostile::register(&world, "mallory", victim.mesh.me(), Part::Offers).await;
    let line = hostile.admitted(CONTROL).await;
    let up = |event| matches!(event, MeshEvent::LinkUp(up) if up.peer.name.as_str() == "mallory").then_some(());
    victim.wait(up).await;
    world.server.cancel();
    let away = |event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(());
    tokio::join!(near.wait(away), far.wait(away), victim.wait(away));

    let frame = encoded(&ControlFrame::Forward { to: there, signal: nonsense() });
    let far_mesh = far.mesh.clone();
    let (before, size) = (received(&far_mesh, "victim"), frame.len());
    let (many, many_out) = oneshot::channel();
    let flooding = tokio::spawn(flood(line, frame, many));
    let watching = [("victim", tokio::spawn(trouble(victim))), ("far", tokio::spawn(trouble(far)))];
    many_out.await.expect("it floods");
    let passed_on = (received(&far_mesh, "victim") - before) / size as u64;
    println!("{passed_on} of {FIRST} were passed on");
    assert!(passed_on < PASSED_ON, "{passed_on} were passed on");

    // only the victim can carry their signals
    near.mesh.connect(there).await;
    near.wait(|event| match event {
        MeshEvent::LinkUp(up) => (up.peer.peer == there).then_some(()),
        MeshEvent::LinkSuspect { peer, reason } => panic!("suspect: {} because {reason}", peer.name),
        _ => None,
    })
    .await;
    assert!(!flooding.is_finished(), "the flood went on until then");
    for (who, watching) in watching {
        assert!(!watching.is_finished(), "{who}: {}", watching.await.expect("it watches"));
    }
    flooding.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_signals_passed_on_to_a_peer_is_looked_into_in_part() {
    let scene = Scene::new().await;
    let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Offers).await;
    let line = hostile.admitted(CONTROL).await;
    scene.said(&["up: mallory"]).await;
    let from = scene.honest.roster().into_iter().find(|peer| peer.name.as_str() == "friend").expect("it is there");
    let frame = encoded(&ControlFrame::Forwarded { from: from.peer, signal: nonsense() });
    let (many, many_out) = oneshot::channel();
    let flooding = tokio::spawn(flood(line, frame, many));
    many_out.await.expect("it floods");
    let looked_into = everything().matches("a signal was refused").count() as u64;
    println!("{looked_into} of {FIRST} were looked into");
    assert!((1..LOOKED_INTO).contains(&looked_into), "{looked_into} were looked into");
    flooding.abort();
    let _ = flooding.await;
    drop(hostile);
    scene.end("signals passed on").await;
}
