//! A peer behind an HTTP proxy, which is all that it reaches: no UDP, no TCP but through `CONNECT`.

use super::{A, B, echoes, linked};
use crate::audit::{Calls, Talk};
use crate::daemon::{self, Daemon, PROXY_PORT};
use crate::netns::{self, Host};
use crate::wire::Path;
use crate::world::{SIGNALING, World};

const PROXY: Host = ("proxy", 3);

pub async fn through() -> Result<(), String> {
    if !daemon::is_installed("tinyproxy")? {
        return Ok(());
    }
    let mut world = World::new(&[A, B, PROXY])?;
    world.network.route_only("a", &[PROXY])?;
    for other in [B, SIGNALING] {
        if world.network.has_route("a", other) {
            return Err(format!("a has a route to {other:?}"));
        }
    }
    world.start_signaling()?;
    let _proxy = Daemon::proxy(&world.network, PROXY).await?;
    world.ways_of("a").proxy = Some(format!("http://{}:{PROXY_PORT}", netns::address(PROXY)));
    world.start("a")?;
    world.start("b")?;
    let began = world.peer_ref("b").started;
    world.connect("a", "b")?;
    linked(&world, Path::Relayed, began).await?;
    let talk = Talk::begin(&mut world, "b", "a").await?;
    let mut calls = Calls::default();
    calls.begin_both(&mut world, "a", "b").await?;
    echoes(&mut world, ("a", "b")).await?;
    calls.check(&world).await?;
    talk.finish(&world).await
}
