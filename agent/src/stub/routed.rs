//! The way of a call once it was read, over HTTP and gRPC alike: counted on its route, the route's next reply made.

use meshproof_proto::event::StubError;
use meshproof_proto::order::Ends;

use super::calls::{Came, OpenCall};
use super::reply::{Manner, Prepared};
use super::request::Asked;
use super::server::Shared;
use super::table::{Route, Table};

/// A call that a route took.
pub(super) struct Routed<'a, Said> {
    pub(super) open: OpenCall<'a>,
    /// `Err` says why the reply cannot be made.
    pub(super) said: Result<Said, String>,
    pub(super) manner: Option<Manner>,
}

/// A reply in the words of its protocol.
pub(super) struct Made<Said> {
    pub(super) said: Said,
    pub(super) status: u16,
    /// Said behind the request, for people.
    pub(super) note: String,
}

/// The route that would have taken a call, had one condition held, and why it did not.
pub(super) struct Nearest {
    pub(super) route: String,
    pub(super) because: String,
}

impl Shared {
    /// `make` makes the reply for the call with this number; what cannot be made is told with `status`.
    pub(super) fn routed<Said>(
        &self,
        (route, asked): (&Route, &Asked),
        status: u16,
        make: impl FnOnce(&Prepared, u64) -> Result<Made<Said>, String>,
    ) -> Routed<'_, Said> {
        let counted = self.state.journal.count(Some(route.slot));
        let chosen = route.reply(counted.number.saturating_sub(route.before));
        let made =
            chosen.ok_or_else(|| "the route has no reply".to_owned()).and_then(|chosen| make(chosen, counted.number));
        let mut request = asked.shown(&self.masker);
        let mut came = Came { route: Some(route.id.clone()), status, request: String::new(), error: None };
        match &made {
            Ok(made) => {
                request.push_str(&made.note);
                came.status = made.status;
            }
            // A mistake of the plan: it must not pass for an answer.
            Err(why) => {
                request.push_str("; the reply cannot be made: ");
                request.push_str(why);
                came.error = Some(StubError::NoReply);
            }
        }
        let manner = chosen.filter(|_| made.is_ok()).and_then(|chosen| chosen.manner);
        if manner.is_some_and(|manner| manner.ends == Ends::Reset) {
            came.status = 0;
        }
        let open = OpenCall::of(self, counted, Came { request, ..came });
        Routed { open, said: made.map(|made| made.said), manner }
    }

    /// For a call that no route took.
    pub(super) fn nearest(&self, table: &Table, asked: &Asked) -> Option<Nearest> {
        let (route, because) = table.nearest(asked)?;
        Some(Nearest { route, because: self.masker.mask(&because).into_owned() })
    }
}

impl Nearest {
    /// What is put behind the message that nothing took the call.
    pub(super) fn hint(nearest: Option<&Self>) -> String {
        nearest.map(|Self { route, because }| format!("; the nearest is `{route}`, but {because}")).unwrap_or_default()
    }
}
