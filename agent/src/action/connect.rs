//! A connection to a target, with TLS where the target says so, and the words for how it can break.

use std::io;

use meshproof_proto::order::Target;
use tokio::net::{TcpStream, lookup_host};

use super::answer::{CallError, ErrorKind};
use super::connection::{Connection, is_of_tls};
use super::phases::{Lap, Phases};
use super::tls::Client;
use crate::permits::Permits;

/// Connects to the first permitted address that takes us. `speaks` are the protocols that TLS offers (ALPN); none: nothing is offered.
pub(crate) async fn connect(
    target: &Target,
    speaks: &[&[u8]],
    permits: &Permits,
    phases: &mut Phases,
) -> Result<Connection, CallError> {
    let client = target.tls.as_ref().map(|tls| Client::new(tls, &target.address, speaks)).transpose();
    let client = client.map_err(|message| CallError::new(ErrorKind::Order, message))?;
    let mut lap = Lap::begin();
    let addresses = lookup_host(target.address.as_str()).await.map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::InvalidInput { ErrorKind::Order } else { ErrorKind::Dns };
        CallError::new(kind, format!("the address of {} could not be found: {error}", named(target)))
    })?;
    let addresses = permits
        .addresses(addresses.collect())
        .await
        .map_err(|reason| CallError::new(ErrorKind::Order, format!("{} is not dialled: {reason}", named(target))))?;
    phases.dns = lap.end();
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|error| CallError::new(kind_of(&error), format!("connecting to {} failed: {error}", named(target))))?;
    phases.connect = lap.end();
    // Small requests must not wait for an acknowledgement; where it cannot be set, they only get slower.
    let _ = stream.set_nodelay(true);
    let Some(client) = client else { return Ok(Connection::plain(stream)) };
    let connection = client.handshake(stream).await.map_err(|error| no_tls(target, &error))?;
    phases.tls = lap.end();
    Ok(connection)
}

/// `shop.http (127.0.0.1:80)`, for messages.
pub(super) fn named(target: &Target) -> String {
    format!("{} ({})", target.label, target.address)
}

fn no_tls(target: &Target, error: &io::Error) -> CallError {
    // Who closes in the middle of the handshake speaks no TLS, or does not want to with us.
    let closed = error.kind() == io::ErrorKind::UnexpectedEof;
    let kind = if closed { ErrorKind::Tls } else { kind_of(error) };
    CallError::new(kind, format!("the TLS handshake with {} failed: {error}", named(target)))
}

/// The word for an error of a socket.
pub(super) fn kind_of(error: &io::Error) -> ErrorKind {
    if is_of_tls(error) {
        return ErrorKind::Tls;
    }
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
