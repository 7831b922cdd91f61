//! What the root keys say reaches running peers, and what follows from it: over signaling, and over links alone.

#[allow(dead_code, reason = "other tests use more of it")]
mod common;

use std::time::{Duration, Instant};

use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::trust::{CrossSigned, Revoked, RootNews};

use common::{Peer, World, linked, name};

/// What the design promises.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

fn list(root: &Key, number: u64, token: PeerId) -> RootNews {
    let revoked = Revoked { mesh: name("dev"), root: root.public(), number, keys: [token].into() };
    RootNews { successions: Vec::new(), revoked: Some(revoked.seal(root)) }
}

async fn lost(peer: &mut Peer, who: &str) -> String {
    peer.wait(|event| match event {
        MeshEvent::LinkLost { peer, loss } if peer.name.as_str() == who => Some(loss.to_string()),
        _ => None,
    })
    .await
}

async fn heard(peer: &mut Peer) -> RootNews {
    peer.wait(|event| if let MeshEvent::News(news) = event { Some(news) } else { None }).await
}

async fn refused(peer: &mut Peer) -> String {
    peer.wait(|event| if let MeshEvent::SignalingRefused { reason, .. } = event { Some(reason) } else { None }).await
}

async fn link(from: &mut Peer, to: &str) {
    let peer = from.joined(to).await;
    from.mesh.connect(peer).await;
    from.wait(|event| matches!(event, MeshEvent::LinkUp(up) if up.peer.peer == peer).then_some(())).await;
}

fn join(world: &World, token: Token) -> Peer {
    let rtc = RtcConfig { addresses: vec!["127.0.0.1".parse().expect("an address")], ..RtcConfig::default() };
    let signaling = vec![world.url.clone()];
    let config = MeshConfig {
        mesh: name("dev"),
        name: name("late"),
        token,
        signaling,
        rtc,
        proxies: Default::default(),
        authorities: Default::default(),
    };
    let (mesh, events) = Mesh::join(config).expect("a good token");
    Peer { mesh, events }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_tokens_link_ends_within_five_seconds_of_an_honest_links_news_without_signaling() {
    let world = World::new().await;
    let (mut a, mut thief, _, _) = linked(&world).await;
    let mut c = world.join("c", 4);
    link(&mut c, "a").await;
    world.server.cancel();
    a.wait(|event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(())).await;
    let news = list(&world.root, 1, world.token("b", 3).key.public());
    let began = Instant::now();
    // c is told, and only its link to a can carry it
    c.mesh.learn(&news);
    // in either order
    let (mut told, mut ended) = (None, None);
    a.wait(|event| {
        match event {
            MeshEvent::News(news) => told = Some(news),
            MeshEvent::LinkLost { loss, .. } => ended = Some(loss.to_string()),
            _ => {}
        }
        (told.is_some() && ended.is_some()).then_some(())
    })
    .await;
    assert_eq!(told, Some(news));
    let reason = ended.expect("waited for");
    assert!(reason.contains("was revoked (list 1)"), "{reason}");
    assert!(began.elapsed() < ENDED_WITHIN, "{:?}", began.elapsed());
    let reason =
        thief.wait(|event| if let MeshEvent::LinkSuspect { reason, .. } = event { Some(reason) } else { None });
    let reason = reason.await;
    assert!(reason.contains("meshproof mesh invite"), "the thief hears why: {reason}");
    println!("ended {:?} after the news", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signaling_refuses_a_revoked_token_and_newcomers_hear_of_the_list() {
    let world = World::new().await;
    let (mut a, mut thief, _, _) = linked(&world).await;
    let news = list(&world.root, 1, world.token("b", 3).key.public());
    a.mesh.learn(&news);
    assert!(lost(&mut a, "b").await.contains("was revoked"));
    assert!(refused(&mut thief).await.contains("was revoked (list 1)"));
    let mut again = world.join("b", 3);
    assert!(refused(&mut again).await.contains("was revoked (list 1)"));
    let mut late = world.join("c", 5);
    assert_eq!(heard(&mut late).await, news, "before it is welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_the_next_root_key_links_to_running_peers_of_the_former_one() {
    let world = World::new().await;
    let (mut a, mut b, _, _) = linked(&world).await;
    let next = Key::from_seed([77; 32]);
    let mut token = Token::issue(&next, [78; 32], |token| Grant {
        mesh: name("dev"),
        names: "*".to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(u64::MAX / 2),
        token,
    });
    token.news.successions = vec![CrossSigned::succession(&name("dev"), &world.root, &next)];
    let news = token.news.clone();
    let mut late = join(&world, token);
    link(&mut late, "a").await;
    assert_eq!(heard(&mut a).await, news);
    a.wait(|event| matches!(event, MeshEvent::LinkUp(up) if up.peer.name == name("late")).then_some(())).await;
    assert_eq!(heard(&mut b).await, news);
    // the former root's tokens are good until the list of the new one says otherwise
    let retired = RootNews { revoked: list(&next, 1, world.root.public()).revoked, ..news };
    late.mesh.learn(&retired);
    let reason = lost(&mut late, "a").await;
    assert!(reason.starts_with("root key ") && reason.contains("was revoked (list 1)"), "{reason}");
}
