//! The data network at this agent.
//!
//! The service beside it lives in a namespace whose only way to the other services is a TUN device. What the service's kernel
//! sends there is taken here, goes through the gates of the path as every datagram does, and travels over the mesh to the agent of
//! the service that it is for, which gives it to its own device: so the kernels at both ends see an ordinary network. Packets that
//! are for nobody, or come from somebody else than their sender, are dropped.

mod device;
mod egress;
mod links;
mod packet;
mod rewrite;

pub(crate) use links::Links;
pub(crate) use packet::Header;

use std::io;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::order::{DataNetwork, Egress};

use crate::limits;
use crate::namespace::Outside;
use crate::tunnel::Tunnels;
use device::Device;
use links::Onward;

/// Where packets for the service beside this agent come out.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    device: Arc<Device>,
    links: Arc<Links>,
}

impl Inlet {
    /// Whether that agent may send such a packet here.
    pub(crate) fn expects(&self, from: &Name, header: &Header) -> bool {
        header.destination == self.links.own() && self.links.expects(from, header.source)
    }

    pub(crate) fn links(&self) -> &Arc<Links> {
        &self.links
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
    let links = Links::new(order, (tunnels, seed));
    let links = Arc::new(links.map_err(|name| io::Error::other(format!("service {name} is not in the run")))?);
    let device = Arc::new(Device::open(order.address).await?);
    let egress = match order.egress {
        Egress::Host => {
            let (egress, runs) = egress::Egress::open(&device, order.address, outside.clone()).await?;
            tunnels.spawn(runs);
            Some(egress)
        }
        Egress::Nowhere => None,
    };
    tunnels.spawn(take(Arc::clone(&device), Arc::clone(&links), egress));
    Ok(Inlet { device, links })
}

/// Takes what the service's kernel sends.
async fn take(device: Arc<Device>, links: Arc<Links>, egress: Option<Arc<egress::Egress>>) {
    let mut buffer = vec![0; usize::from(limits::PACKET_BYTES)];
    loop {
        let packet = match device.take(&mut buffer).await {
            Ok(length) => &buffer[..length],
            Err(error) => return tracing::error!(%error, "the data network's device cannot be read any more"),
        };
        let Some(header) = Header::of(packet) else { continue };
        match (links.onward(header.destination), &egress) {
            (Onward::To(exchange), _) => exchange.take_packet(header.flow(packet), packet),
            (Onward::Out, Some(egress)) => egress.take(packet),
            (Onward::Rejected, _) => rewrite::prohibited(packet).iter().for_each(|answer| device.give(answer)),
            (Onward::Out, None) | (Onward::Dropped, _) => {}
        }
    }
}
