//! A call on its way through a stub: counted when it came, told before its reply goes out.

use std::time::Instant;

use meshproof_proto::event::{Fact, StubCall, StubError};
use meshproof_proto::order::Unmatched;

use super::journal::{Counted, Entry};
use super::server::Shared;

/// A call that waits for its reply. When the client leaves or the stub closes before, the fact says so with status 0.
pub(super) struct OpenCall<'a> {
    shared: &'a Shared,
    began: Instant,
    tell: bool,
    unexpected: bool,
    error: Option<StubError>,
    entry: Option<Entry>,
}

/// What came of a call.
pub(super) struct Came {
    /// The route or the upstream; `None`: nothing took it.
    pub(super) route: Option<String>,
    pub(super) status: u16,
    pub(super) request: String,
    /// The plan cannot have meant such a call.
    pub(super) error: Option<StubError>,
}

impl<'a> OpenCall<'a> {
    pub(super) fn of(shared: &'a Shared, counted: Counted, came: Came) -> Self {
        let unmatched = shared.order.unmatched == Unmatched::Fail;
        let unexpected = match came.error {
            // Whatever the plan says of unmatched calls: it cannot say whether these are.
            Some(StubError::NoReply | StubError::Unsupported | StubError::Panicked) => true,
            Some(StubError::UnknownHost) => unmatched,
            None => came.route.is_none() && unmatched,
        };
        let entry = Entry {
            route: came.route,
            number: counted.number,
            status: came.status,
            took_ms: 0.0,
            request: came.request,
        };
        // What fails the test is told also when everything else is only counted.
        let tell = counted.tell || (unexpected && shared.state.journal.tells_unexpected());
        let error = came.error.filter(|_| unexpected);
        Self { shared, began: Instant::now(), tell, unexpected, error, entry: Some(entry) }
    }

    /// Somebody else answered, or did not.
    pub(super) fn answered(&mut self, status: u16, note: &str) {
        if let Some(entry) = &mut self.entry {
            entry.status = status;
            entry.request.push_str(note);
        }
    }

    /// It was no answer at all; that fails the test.
    pub(super) fn failed(&mut self, error: StubError, note: &str) {
        self.answered(500, note);
        self.tell |= !self.unexpected && self.shared.state.journal.tells_unexpected();
        (self.unexpected, self.error) = (true, Some(error));
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
        // A call that was answered is never forgotten, not even by an instance that comes after this one.
        self.shared.notes.are_written().await;
    }

    fn fact(&self, entry: &Entry) -> Fact {
        let call = StubCall {
            stub: self.shared.order.name.clone(),
            route: entry.route.clone(),
            number: entry.number,
            request: entry.request.clone(),
            status: entry.status,
            took_ms: self.took_ms(),
            unexpected: self.unexpected,
        };
        match self.error {
            None => Fact::StubCalled(call),
            Some(error) => Fact::StubErred { call, error },
        }
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
