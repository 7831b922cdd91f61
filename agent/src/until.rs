//! Waiting for a time that may not be set.

use tokio::time::Instant;

/// Ends when the time has come; never, if there is none.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
