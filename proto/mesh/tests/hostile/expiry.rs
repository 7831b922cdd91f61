//! Sessions that outlive a token, where only one end minds.

use meshproof_proto::codec::Codec;
use meshproof_proto::frame::ControlFrame;

use crate::brief;
use crate::common::{PATIENCE, Peer, World};
use crate::frames::CONTROL;
use crate::peer::{Hostile, Line, Part};
use crate::scene::Scene;

async fn refusal(line: &mut Line) -> String {
    let reading = async {
        while let Some(message) = line.next_message().await {
            if let Ok(ControlFrame::Refuse(reason)) = Codec::Bincode.decode(&message) {
                return reason;
            }
        }
        panic!("the connection ended without a reason");
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it ends in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_goes_on_after_its_token_ended_is_left_with_a_reason() {
    let scene = Scene::new().await;
    let token = brief::token(&scene.world, "mallory");
    let victim = (&scene.world, scene.honest.me());
    let mut hostile = Hostile::register_with(&token, "mallory", victim, Part::Offers).await;
    let mut line = hostile.admitted(CONTROL).await;
    scene.said(&["up: mallory"]).await;
    let told = refusal(&mut line).await;
    brief::says_what_to_do(&told);
    scene.said(&["lost: mallory", "meshproof mesh invite"]).await;
    line.connection.close().await;
    drop(hostile);
    scene.end("a token that ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_ends_its_sessions_with_its_own_token_whoever_would_go_on() {
    let world = World::new().await;
    let Peer { mesh, mut events } = world.join_with("honest", brief::token(&world, "honest"));
    let mut hostile = Hostile::register(&world, "mallory", mesh.me(), Part::Offers).await;
    let taking = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let mut line = hostile.admitted(CONTROL).await;
    let told = refusal(&mut line).await;
    brief::says_what_to_do(&told);
    line.connection.close().await;
    mesh.leave().await;
    taking.abort();
}
