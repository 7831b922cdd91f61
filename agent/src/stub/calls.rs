//! A call on its way through a stub: counted when it came, told before its reply goes out.

use std::time::Instant;

use meshproof_proto::event::{Fact, StubCall};
use meshproof_proto::order::Unmatched;

use super::journal::{Counted, Entry};
use super::server::Shared;
use super::table::Route;

/// A call that waits for its reply. When the client leaves or the stub closes before, the fact says so with status 0.
pub(super) struct OpenCall<'a> {
    shared: &'a Shared,
    began: Instant,
    tell: bool,
    unexpected: bool,
    entry: Option<Entry>,
}

/// What came of a call.
pub(super) struct Came<'a> {
    /// `None`: no route took it.
    pub(super) route: Option<&'a Route>,
    pub(super) status: u16,
    pub(super) request: String,
    /// The plan cannot have meant such a call, whatever it says of unmatched ones.
    pub(super) is_mistake: bool,
}

impl<'a> OpenCall<'a> {
    pub(super) fn of(shared: &'a Shared, counted: Counted, came: Came<'_>) -> Self {
        let unmatched = came.route.is_none() && shared.order.unmatched == Unmatched::Fail;
        let entry = Entry {
            route: came.route.map(|route| route.id.clone()),
            number: counted.number,
            status: came.status,
            took_ms: 0.0,
            request: came.request,
        };
        let unexpected = came.is_mistake || unmatched;
        // What fails the test is told also when everything else is only counted.
        let tell = counted.tell || (unexpected && shared.state.journal.tells_unexpected());
        Self { shared, began: Instant::now(), tell, unexpected, entry: Some(entry) }
    }

    /// Tells the fact before the reply goes out, so that nothing that follows from the reply is told before it.
    pub(super) async fn told(mut self) {
        if !self.tell {
            self.entry.take().into_iter().for_each(|entry| self.remembered(entry));
            return;
        }
        // The room is waited for first: given up while waiting, the fact is still here for `drop`.
        let room = self.shared.facts.reserve().await;
        let Some(entry) = self.entry.take() else { return };
        let fact = self.fact(&entry);
        self.remembered(entry);
        if let Ok(room) = room {
            room.send(fact);
        }
    }

    fn fact(&self, entry: &Entry) -> Fact {
        Fact::StubCalled(StubCall {
            stub: self.shared.order.name.clone(),
            route: entry.route.clone(),
            number: entry.number,
            request: entry.request.clone(),
            status: entry.status,
            took_ms: self.took_ms(),
            unexpected: self.unexpected,
        })
    }

    fn remembered(&self, entry: Entry) {
        self.shared.state.journal.remember(Entry { took_ms: self.took_ms(), ..entry });
    }

    fn took_ms(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e3
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.status = 0;
        entry.request.push_str("; there was no reply: the client left or the stub closed");
        let fact = self.fact(&entry);
        self.remembered(entry);
        if self.tell
            && let Err(error) = self.shared.facts.try_send(fact)
        {
            tracing::warn!(stub = self.shared.order.name, %error, "a call without a reply could not be told");
        }
    }
}
