//! Several peers in one process.

use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};

use crate::wire::{self, Event};

pub async fn play(configs: impl Iterator<Item = MeshConfig>) -> std::io::Result<()> {
    let mut meshes = Vec::new();
    for config in configs {
        let name = config.name.to_string();
        let (mesh, mut events) = Mesh::join(config).map_err(std::io::Error::other)?;
        meshes.push(mesh);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    MeshEvent::SignalingUp { .. } => wire::say(Event::SignalingUp { name: name.clone() }),
                    MeshEvent::SignalingDown { .. } => wire::say(Event::SignalingDown { name: name.clone() }),
                    // the others say the same many times over
                    _ => {}
                }
            }
        });
    }
    wire::say(Event::Started);
    let mut commands = wire::commands();
    while commands.recv().await.is_some() {}
    Ok(())
}
