//! The data network at this agent.
//!
//! The service beside it lives in a namespace whose only way to the other services is a TUN device. What the service's kernel
//! sends there is taken here, goes through the gates of the path as every datagram does, and travels over the mesh to the agent of
//! the service that it is for, which gives it to its own device: so the kernels at both ends see an ordinary network. Packets that
//! are for nobody, or come from somebody else than their sender, are dropped.

mod device;
mod egress;
mod packet;
mod rewrite;

pub(crate) use packet::Header;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::order::{DataNetwork, Egress};
use meshproof_proto::seed::Seed;

use crate::limits;
use crate::namespace::Outside;
use crate::tunnel::{Exchange, Tunnels};
use device::Device;

/// Where packets for the service beside this agent come out.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    device: Arc<Device>,
    own: Ipv4Addr,
    /// The address of each agent's service.
    senders: Arc<BTreeMap<Name, Ipv4Addr>>,
}

impl Inlet {
    /// Whether that agent may send such a packet here.
    pub(crate) fn expects(&self, from: &Name, header: &Header) -> bool {
        header.destination == self.own && self.senders.get(from) == Some(&header.source)
    }

    pub(crate) fn give(&self, packet: &[u8]) {
        self.device.give(packet);
    }
}

/// Makes the device; packets flow until the run ends.
///
/// # Errors
/// The device cannot be made, or another service is not in the run.
pub(crate) async fn open(
    order: &DataNetwork,
    (tunnels, seed): (&Tunnels, u64),
    outside: &Outside,
) -> io::Result<Inlet> {
    let mut seed = Seed::new(seed);
    let (mut ways, mut senders) = (BTreeMap::new(), BTreeMap::new());
    for (name, other) in &order.others {
        let far = tunnels.far(name).ok_or_else(|| io::Error::other(format!("service {name} is not in the run")))?;
        far.path.shape(&other.shape, seed.next_u64());
        ways.insert(other.address, Arc::clone(&far.datagrams));
        senders.insert(name.clone(), other.address);
    }
    let device = Arc::new(Device::open(order.address).await?);
    let egress = match order.egress {
        Egress::Host => {
            let (egress, runs) = egress::Egress::open(&device, order.address, outside.clone()).await?;
            tunnels.spawn(runs);
            Some(egress)
        }
        Egress::Nowhere => None,
    };
    tunnels.spawn(take(Arc::clone(&device), ways, egress));
    Ok(Inlet { device, own: order.address, senders: Arc::new(senders) })
}

/// Takes what the service's kernel sends.
async fn take(device: Arc<Device>, ways: BTreeMap<Ipv4Addr, Arc<Exchange>>, egress: Option<Arc<egress::Egress>>) {
    let mut buffer = vec![0; usize::from(limits::PACKET_BYTES)];
    loop {
        let packet = match device.take(&mut buffer).await {
            Ok(length) => &buffer[..length],
            Err(error) => return tracing::error!(%error, "the data network's device cannot be read any more"),
        };
        let Some(header) = Header::of(packet) else { continue };
        match (ways.get(&header.destination), &egress) {
            (Some(way), _) => way.take_packet(header.flow(packet), packet),
            (None, Some(egress)) => egress.take(packet),
            (None, None) => {}
        }
    }
}
