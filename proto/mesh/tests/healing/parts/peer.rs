//! A peer of the mesh: does what the scenario says and tells what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::links::LinkPath;

use super::tunnel;
use super::work::{self, Current};
use crate::wire::{self, Command, Event, Path};

struct Peer {
    name: String,
    mesh: Mesh,
    /// Names to be linked with, whoever bears them.
    wanted: BTreeSet<String>,
    /// The latest instance of each name.
    instances: BTreeMap<String, PeerId>,
    clients: BTreeMap<String, Current>,
}

pub async fn play(config: MeshConfig) -> io::Result<()> {
    let name = config.name.to_string();
    let (mesh, mut events) = Mesh::join(config).map_err(io::Error::other)?;
    let mut peer = Peer { name, mesh, wanted: BTreeSet::new(), instances: BTreeMap::new(), clients: BTreeMap::new() };
    wire::say(Event::Started);
    let mut commands = wire::commands();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => peer.command(command).await,
                None => return Ok(()),
            },
            Some(event) = events.recv() => peer.event(event).await,
        }
    }
}

impl Peer {
    async fn command(&mut self, command: Command) {
        match command {
            Command::Connect { to } => {
                if let Some(peer) = self.instances.get(&to) {
                    self.mesh.connect(*peer).await;
                }
                self.wanted.insert(to);
            }
            Command::Tunnel { to, port } => {
                tokio::spawn(tunnel::lead(self.mesh.clone(), self.instance(&to), port));
            }
            Command::Call { to, id, answered_after } => {
                let client = self.clients.entry(to).or_default().borrow().clone();
                tokio::spawn(work::call(client, id, answered_after));
            }
            Command::Echo { to, id } => {
                tokio::spawn(tunnel::echo(self.mesh.clone(), self.instance(&to), id));
                tokio::spawn(work::echo(self.clients.entry(to).or_default().subscribe(), id));
            }
            Command::Count | Command::HearBeyond { .. } | Command::Finish => {}
        }
    }

    fn instance(&self, name: &str) -> PeerId {
        *self.instances.get(name).expect("a scenario names who has joined")
    }

    async fn event(&mut self, event: MeshEvent) {
        let who = |peer: &Identity| (peer.name.to_string(), peer.peer.to_string());
        match event {
            MeshEvent::SignalingUp { .. } => wire::say(Event::SignalingUp { name: self.name.clone() }),
            MeshEvent::SignalingDown { .. } => wire::say(Event::SignalingDown { name: self.name.clone() }),
            MeshEvent::SignalingRefused { reason, .. } => eprintln!("signaling refuses: {reason}"),
            MeshEvent::PeerJoined(peer) => self.joined(&peer).await,
            MeshEvent::LinkUp(up) => {
                let (name, instance) = who(&up.peer);
                self.instances.insert(name.clone(), up.peer.peer);
                let client = work::both_ways(up.rpc);
                self.clients.entry(name.clone()).or_default().send_replace(Some(client));
                let path = match up.path.map(|path| path.kind) {
                    Some(LinkPath::Direct) => Path::Direct,
                    Some(LinkPath::Turn) => Path::Turn,
                    Some(LinkPath::Relayed) => Path::Relayed,
                    None => Path::Unknown,
                };
                wire::say(Event::Up { name, instance, generation: up.generation.0, path });
            }
            MeshEvent::LinkSuspect { peer, reason } => {
                let (name, instance) = who(&peer);
                wire::say(Event::Suspect { name, instance, reason });
            }
            MeshEvent::LinkLost { peer, loss } => {
                let (name, instance) = who(&peer);
                wire::say(Event::Lost { name, instance, reason: loss.to_string() });
            }
            MeshEvent::Stream { header, stream, .. } => {
                tokio::spawn(tunnel::accept(header, stream));
            }
            // an old instance that leaves says nothing about the new one
            _ => {}
        }
    }

    async fn joined(&mut self, peer: &Identity) {
        let name = peer.name.to_string();
        self.instances.insert(name.clone(), peer.peer);
        if self.wanted.contains(&name) {
            self.mesh.connect(peer.peer).await;
        }
        wire::say(Event::Joined { name });
    }
}
