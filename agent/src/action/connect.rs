//! A TCP connection to a target, and the words for how it can break.

use std::io;

use meshproof_proto::order::Target;
use tokio::net::{TcpStream, lookup_host};

use super::answer::{CallError, ErrorKind};

/// Connects to the first address that takes us.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, CallError> {
    let named = || format!("{} ({})", target.label, target.address);
    let addresses = lookup_host(target.address.as_str()).await.map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::InvalidInput { ErrorKind::Order } else { ErrorKind::Dns };
        CallError::new(kind, format!("the address of {} could not be found: {error}", named()))
    })?;
    let addresses: Vec<_> = addresses.collect();
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|error| CallError::new(kind_of(&error), format!("connecting to {} failed: {error}", named())))?;
    // Small requests must not wait for an acknowledgement; where it cannot be set, they only get slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The word for an error of a socket.
pub(super) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => ErrorKind::Reset,
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Io,
    }
}
