//! A short visit to the mesh: to see whether a token is good, or to tell everybody what the root says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::tls::Authorities;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Grant, Role, Token, UnixSeconds};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::error::MembershipError;
use super::folder::RootFolder;
use super::invite::{now, random};
use super::limits::{LINKS_WITHIN, ROSTER_WITHIN, SIGNALING_WITHIN, TELLER_LIFETIME};

/// Who comes, and where.
pub(super) struct Visit {
    pub(super) name: Name,
    pub(super) token: Token,
    pub(super) signaling: Vec<String>,
    pub(super) from: Origin,
}

/// From where a visit is made.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Local addresses that peers can reach.
    pub addresses: Vec<IpAddr>,
    /// Who says that signaling servers are theirs, for `wss`.
    pub authorities: Authorities,
}

/// Who was told.
#[derive(Debug, Default)]
pub struct Told {
    pub signaling: BTreeSet<String>,
    pub peers: BTreeSet<String>,
    /// Linked to nobody in time.
    pub missed: BTreeSet<String>,
}

/// Tells the signaling servers and, over links of its own, every agent and orchestrator.
///
/// # Errors
/// No signaling server can be reached, or all refuse.
pub async fn publish(folder: &RootFolder, from: Origin) -> Result<Told, MembershipError> {
    let (mesh, root) = folder.mesh();
    let name = format!("root-{}", PeerId(random()?).short());
    let grant = Grant {
        mesh: mesh.clone(),
        names: name.clone(),
        role: Role::Observer,
        capabilities: BTreeSet::new(),
        not_after: UnixSeconds(now().0 + TELLER_LIFETIME.as_secs()),
        token: root,
    };
    let name = name.parse().map_err(|error: meshproof_proto::id::BadName| MembershipError::Name(error.to_string()))?;
    let signaling = folder.signaling().to_vec();
    if signaling.is_empty() {
        return Err(MembershipError::MeshWithoutSignaling(folder.place().to_owned()));
    }
    Visit { name, token: folder.issue(grant)?, signaling, from }.tell().await
}

struct Visitor {
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    told: Told,
    /// Why the last server that is not there is not.
    away: Option<MembershipError>,
    refused: Option<(String, String)>,
}

impl Visit {
    /// Gives how many others are there.
    pub(super) async fn look(self) -> Result<usize, MembershipError> {
        let mut visitor = self.begin()?;
        let arrived = visitor.arrive().await;
        let found = visitor.mesh.roster().len();
        visitor.mesh.leave().await;
        arrived.map(|()| found)
    }

    async fn tell(self) -> Result<Told, MembershipError> {
        let mut visitor = self.begin()?;
        let arrived = visitor.arrive().await;
        if arrived.is_ok() {
            visitor.link_to_all().await;
        }
        visitor.mesh.leave().await;
        arrived.map(|()| visitor.told)
    }

    fn begin(self) -> Result<Visitor, MembershipError> {
        let Self { name, token, signaling, from: Origin { addresses, authorities } } = self;
        let rtc = RtcConfig { addresses, ..RtcConfig::default() };
        let config =
            MeshConfig { mesh: token.mesh()?, name, token, signaling, rtc, proxies: Proxies::default(), authorities };
        let (mesh, events) = Mesh::join(config)?;
        Ok(Visitor { mesh, events, told: Told::default(), away: None, refused: None })
    }
}

impl Visitor {
    /// Until a signaling server has let us in and said who is there.
    async fn arrive(&mut self) -> Result<(), MembershipError> {
        self.attend(SIGNALING_WITHIN, |visitor| !visitor.told.signaling.is_empty() || visitor.refused.is_some()).await;
        if !self.told.signaling.is_empty() {
            self.attend(ROSTER_WITHIN, |_| false).await;
            return Ok(());
        }
        if let Some((url, reason)) = self.refused.clone() {
            return Err(MembershipError::Refused { url, reason });
        }
        Err(self.away.take().unwrap_or(MembershipError::Silent(SIGNALING_WITHIN)))
    }

    /// Takes what happens until it is enough, or for so long.
    async fn attend(&mut self, span: Duration, enough: impl Fn(&Self) -> bool) {
        let attending = async {
            while !enough(self)
                && let Some(event) = self.events.recv().await
            {
                self.take(event);
            }
        };
        // what came until then has to do
        let _ = timeout(span, attending).await;
    }

    /// News go first thing over a link.
    async fn link_to_all(&mut self) {
        let carriers = [Role::Agent, Role::Orchestrator];
        let wanted: Vec<_> = self.mesh.roster().into_iter().filter(|peer| carriers.contains(&peer.role)).collect();
        self.told.missed = wanted.iter().map(|peer| peer.name.to_string()).collect();
        for peer in &wanted {
            self.mesh.connect(peer.peer).await;
        }
        self.attend(LINKS_WITHIN, |visitor| visitor.told.missed.is_empty()).await;
    }

    fn take(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::SignalingUp { url } => drop(self.told.signaling.insert(url)),
            MeshEvent::SignalingDown { url, reason, wrong_way: true } => {
                self.away = Some(MembershipError::WrongWay { url, reason });
            }
            MeshEvent::SignalingDown { url, reason, wrong_way: false } => {
                self.away = Some(MembershipError::Unreachable { url, reason });
            }
            MeshEvent::SignalingRefused { url, reason } => self.refused = Some((url, reason)),
            MeshEvent::LinkUp(up) => {
                let name = up.peer.name.to_string();
                self.told.missed.remove(&name);
                self.told.peers.insert(name);
            }
            MeshEvent::PeerJoined(_)
            | MeshEvent::PeerLeft(_)
            | MeshEvent::News(_)
            | MeshEvent::Epochs
            | MeshEvent::Offered { .. }
            | MeshEvent::Acknowledged { .. }
            | MeshEvent::LinkSuspect { .. }
            | MeshEvent::LinkLost { .. }
            | MeshEvent::Events { .. }
            | MeshEvent::Stream { .. } => {}
        }
    }
}
