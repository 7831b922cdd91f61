//! Watches: every change after a version, in order, once.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::request::{Asked, Refusal};
use super::serve::Shared;
use super::store::{Change, Store};

/// "Approximately every minute": <https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks>
const BOOKMARK: Duration = Duration::from_secs(60);

struct Watch {
    shared: Arc<Shared>,
    asked: Asked,
    at: u64,
    ends: Instant,
    bookmark: Instant,
    is_over: bool,
}

/// Lines of JSON, until its time is over or the server goes away.
pub fn watch(shared: Arc<Shared>, asked: Asked) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let seconds = asked.parameter("timeoutSeconds").parse().unwrap_or(300);
    let at = asked.parameter("resourceVersion").parse().unwrap_or(0);
    let now = Instant::now();
    let ends = now + Duration::from_secs(seconds);
    let watch = Watch { shared, asked, at, ends, bookmark: now + BOOKMARK, is_over: false };
    stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    })
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let mut changed = self.shared.changed.subscribe();
        while !self.is_over {
            changed.borrow_and_update();
            if self.shared.is_away() {
                self.is_over = true;
                return Some(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
            if let Some(line) = self.told() {
                return Some(Ok(line));
            }
            tokio::select! {
                changed = changed.changed() => changed.ok()?,
                () = sleep_until(self.bookmark) => {
                    self.bookmark += BOOKMARK;
                    if self.asked.is("allowWatchBookmarks") {
                        return Some(Ok(self.bookmarked()));
                    }
                }
                () = sleep_until(self.ends) => self.is_over = true,
            }
        }
        None
    }

    /// The next change that it asked for, if there is one.
    fn told(&mut self) -> Option<Bytes> {
        let shared = Arc::clone(&self.shared);
        let store = shared.store.lock().expect("nobody panics with it");
        if self.at < store.forgotten {
            self.is_over = true;
            return Some(line("ERROR", &expired(self.at, &store).body()));
        }
        let after = store.changes.partition_point(|change| change.version <= self.at);
        for change in &store.changes[after..] {
            self.at = change.version;
            if let Some(told) = self.tell(change) {
                return Some(told);
            }
        }
        None
    }

    /// What comes to match is added, what no longer does is deleted.
    fn tell(&self, change: &Change) -> Option<Bytes> {
        if !self.asked.covers(&change.id) {
            return None;
        }
        let selects = |object: &Option<Value>| object.clone().filter(|object| self.asked.selects(object));
        match (selects(&change.before), selects(&change.after)) {
            (None, Some(after)) => Some(line("ADDED", &after)),
            (Some(_), Some(after)) => Some(line("MODIFIED", &after)),
            (Some(mut before), None) => {
                before["metadata"]["resourceVersion"] = json!(change.version.to_string());
                Some(line("DELETED", &before))
            }
            (None, None) => None,
        }
    }

    fn bookmarked(&self) -> Bytes {
        let version = self.shared.store.lock().expect("nobody panics with it").version();
        let metadata = json!({ "resourceVersion": version.to_string() });
        line("BOOKMARK", &json!({ "apiVersion": self.asked.api_version, "kind": "Bookmark", "metadata": metadata }))
    }
}

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>
fn expired(at: u64, store: &Store) -> Refusal {
    Refusal::new(410, "Expired", format!("too old resource version: {at} ({})", store.forgotten))
}

fn line(type_: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": type_, "object": object })))
}
