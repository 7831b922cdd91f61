//! Sockets that give an error where something was to come.

use std::io;

use crate::limits;

/// A row of errors of one socket: it is told once, and after each of them the socket is left alone for a moment.
#[derive(Debug, Default)]
pub(super) struct Faltering {
    is_told: bool,
}

impl Faltering {
    /// Something came.
    pub(super) fn is_well(&mut self) {
        self.is_told = false;
    }

    /// Whether nobody was told of this row of errors yet.
    fn is_new(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// Returns when the socket may be asked again.
    pub(super) async fn wait(&mut self, what: &str, error: &io::Error) {
        if self.is_new() {
            tracing::warn!(%error, "{what}; this is tried again and again");
        }
        tokio::time::sleep(limits::SOCKET_AGAIN).await;
    }
}

/// Whether it says that something sent before did not arrive: the next look finds what came.
pub(super) fn is_of_what_was_sent(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_row_of_errors_is_told_once_and_the_next_row_again() {
        let mut faltering = Faltering::default();
        assert_eq!([(); 3].map(|()| faltering.is_new()), [true, false, false]);
        faltering.is_well();
        assert_eq!([(); 2].map(|()| faltering.is_new()), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_errs_for_good_is_left_alone_between_looks() {
        let (mut faltering, began) = (Faltering::default(), Instant::now());
        for _ in 0..20 {
            faltering.wait("nothing comes", &io::ErrorKind::OutOfMemory.into()).await;
        }
        assert!(began.elapsed() >= 20 * limits::SOCKET_AGAIN, "{:?}", began.elapsed());
    }
}
