//! Streams to agents whose links may only just be on their way.

use std::time::{Duration, Instant};

use meshproof_mesh::{ByteStream, Mesh, NoLink};
use meshproof_proto::id::PeerId;
use tokio::time::sleep;

use crate::limits;
use crate::wire::StreamHeader;

/// Opens a stream to an agent that was just named: until the mesh knows its link there is nothing to wait on, so it is tried again
/// for [`limits::LINK_WAIT`]. Who holds the name may change meanwhile.
///
/// # Errors
/// There was no link in all that time.
pub(crate) async fn open_soon(
    mesh: &Mesh,
    to: impl Fn() -> PeerId,
    header: &StreamHeader,
) -> Result<ByteStream, NoLink> {
    let began = Instant::now();
    let mut wait: Duration = limits::POLL_FIRST;
    loop {
        match mesh.open_stream(to(), header.encode()).await {
            Err(NoLink) if began.elapsed() < limits::LINK_WAIT => sleep(wait).await,
            opened => return opened,
        }
        wait = (wait * 2).min(limits::POLL_LONGEST);
    }
}
