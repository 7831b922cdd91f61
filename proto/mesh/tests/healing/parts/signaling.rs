//! The real signaling server, in a process of its own so that it can be killed.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::trust;
use crate::wire::{self, Event};

pub async fn play(listen: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    wire::say(Event::Started);
    let config = meshproof_signaling::Config::new(vec![(trust::name(trust::MESH), trust::root_id())]);
    let mut commands = wire::commands();
    tokio::select! {
        served = meshproof_signaling::serve(listener, config, CancellationToken::new()) => served,
        _ = commands.recv() => Ok(()),
    }
}
