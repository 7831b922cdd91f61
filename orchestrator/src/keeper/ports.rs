//! Ports that stay ours until a service binds them.
//!
//! A port that was bound and closed again may go to anybody who binds port 0 next. So each one is left in TIME_WAIT: a
//! connection to ourselves is accepted and closed from the listening side first. For 60 s the kernel then gives the port to
//! nobody who asks for *any* port, and still lets a server with SO_REUSEADDR bind it. The trick is that of Yelp's
//! ephemeral-port-reserve.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use thiserror::Error;

use super::limits::PORT_ATTEMPTS;
use super::protocol::PortWish;

/// Why a port could not be given.
#[derive(Debug, Error)]
pub enum PortError {
    #[error("port {port} on 127.0.0.1 cannot be had: {cause}")]
    Taken { port: u16, cause: io::Error },
    #[error("port {0} on 127.0.0.1 was given to another service of this run")]
    Twice(u16),
    #[error("no free port on 127.0.0.1: {0}")]
    None(io::Error),
}

/// The ports given away.
#[derive(Debug, Default)]
pub struct Ports(BTreeSet<u16>);

impl Ports {
    /// Reserves a port.
    ///
    /// # Errors
    /// A fixed port is taken, or there is no free one.
    pub fn allot(&mut self, wish: PortWish) -> Result<u16, PortError> {
        match wish {
            PortWish::Fixed(port) if self.0.contains(&port) => Err(PortError::Twice(port)),
            PortWish::Fixed(port) => {
                reserve(port).map_err(|cause| PortError::Taken { port, cause })?;
                self.0.insert(port);
                Ok(port)
            }
            PortWish::Dynamic => self.any(),
            PortWish::Known(port) => Ok(port),
        }
    }

    fn any(&mut self) -> Result<u16, PortError> {
        for _ in 0..PORT_ATTEMPTS {
            let port = reserve(0).map_err(PortError::None)?;
            // It may be for datagrams, which nothing keeps; but every run looks for one among those that are kept for nobody else.
            let is_free = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if is_free && self.0.insert(port) {
                return Ok(port);
            }
        }
        Err(PortError::None(io::ErrorKind::AddrInUse.into()))
    }
}

/// Leaves a port in TIME_WAIT; 0 is any.
fn reserve(port: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    let (accepted, _) = listener.accept()?;
    // Who closes first keeps the TIME_WAIT, and it has to be on the port that we reserve.
    drop(accepted);
    drop(client);
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keepers_never_give_the_same_port_and_a_server_can_bind_each() {
        let (mut one, mut other) = (Ports::default(), Ports::default());
        let mut given = BTreeSet::new();
        for _ in 0..200 {
            for ports in [&mut one, &mut other] {
                let port = ports.allot(PortWish::Dynamic).expect("a free port");
                assert!(given.insert(port), "{port} was given twice");
            }
        }
        let strangers: Vec<_> =
            (0..200).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")).collect();
        for stranger in &strangers {
            let port = stranger.local_addr().expect("bound").port();
            assert!(!given.contains(&port), "{port} went to somebody who asked for any port");
        }
        for port in given {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("reserved for this server");
        }
    }

    #[test]
    fn a_fixed_port_that_is_taken_is_named() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = holder.local_addr().expect("bound").port();
        let mut ports = Ports::default();
        assert!(matches!(ports.allot(PortWish::Fixed(port)), Err(PortError::Taken { .. })));
        drop(holder);
        assert_eq!(ports.allot(PortWish::Fixed(port)).expect("free again"), port);
        assert!(matches!(ports.allot(PortWish::Fixed(port)), Err(PortError::Twice(_))));
    }

    #[test]
    fn the_port_of_a_service_that_runs_already_is_given_as_it_is_and_as_often_as_it_is_named() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = holder.local_addr().expect("bound").port();
        let mut ports = Ports::default();
        for _ in 0..2 {
            assert_eq!(ports.allot(PortWish::Known(port)).expect("it is not reserved"), port);
        }
    }
}
