//! The agent as a process.

use std::process::Stdio;
use std::time::{Duration, Instant};

use meshproof_mesh::MeshEvent;
use tokio::process::{Child, Command};

use crate::world::World;

fn spawn(world: &World, directory: &std::path::Path) -> Child {
    let token = directory.join("token");
    std::fs::write(&token, world.token("shop").to_text()).expect("a writable directory");
    Command::new(env!("CARGO_BIN_EXE_meshproof-agent"))
        .env_clear()
        .env("MESHPROOF_SIGNALING", world.url())
        .env("MESHPROOF_NAME", "shop")
        .env("MESHPROOF_TOKEN_FILE", token)
        .env("MESHPROOF_STATE", directory.join("state"))
        .env("MESHPROOF_DIE_WITH_PARENT", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary was built")
}

fn terminate(agent: &Child) {
    let id = agent.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)).expect("it runs");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is ours");
}

// One thread: the kernel ends the agent with the thread that made it.
#[tokio::test]
async fn a_process_is_configured_by_its_environment_and_leaves_the_mesh_at_sigterm() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    terminate(&agent);
    let asked = Instant::now();
    let left = |event: &MeshEvent| matches!(event, MeshEvent::PeerLeft(peer) if peer.name.as_str() == "shop");
    mesh.sees(left).await;
    let status = mesh.during(agent.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}
