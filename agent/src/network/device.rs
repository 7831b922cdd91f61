//! The TUN device of a service's namespace. It is there as long as this process has it open.

use std::io;
use std::net::Ipv4Addr;

use meshproof_proto::order::network::NETWORK;
use tokio::process::Command;
use tun_rs::{AsyncDevice, DeviceBuilder};

use crate::limits;

/// What the device is called in the namespace, of which it is the only one.
const NAME: &str = "mesh0";

pub(super) struct Device(AsyncDevice);

impl Device {
    /// Makes it in the namespace of the thread that runs this.
    pub(super) async fn open(address: Ipv4Addr) -> io::Result<Self> {
        // what a service says to itself goes over loopback, also to its own address; in a new namespace that is down
        ip(&["link", "set", "lo", "up"]).await?;
        let device = DeviceBuilder::new().name(NAME).mtu(limits::PACKET_BYTES).ipv4(address, NETWORK.1, None);
        let made = device.build_async();
        Ok(Self(made.map_err(|error| io::Error::new(error.kind(), format!("the TUN device {NAME}: {error}")))?))
    }

    /// What is for nobody on the network comes here too.
    pub(super) async fn lead_everything_here(&self) -> io::Result<()> {
        ip(&["route", "add", "default", "dev", NAME]).await
    }

    /// Waits for a packet.
    pub(super) async fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).await
    }

    /// Gives a packet to the kernel; one that finds no room is dropped, as on any network.
    pub(super) fn give(&self, packet: &[u8]) {
        if let Err(error) = self.0.try_send(packet) {
            tracing::trace!(%error, "a packet finds no room");
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device")
    }
}

async fn ip(arguments: &[&str]) -> io::Result<()> {
    let said = |what: String| io::Error::other(format!("`ip {}`: {what}", arguments.join(" ")));
    let output = Command::new("ip").args(arguments).output().await.map_err(|error| said(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
