//! The routes of a stub, laid out so that a call looks only at those whose path it can have. Pure.
//!
//! A route is found by its whole path, or by what stands before the first `*` of its glob; among the few that are left the
//! first in the plan's order whose conditions hold answers. So a call costs the same with five routes and with five thousand.

use std::collections::{BTreeMap, HashMap};

use meshproof_proto::glob;
use meshproof_proto::order::{StubReply, StubRoute, Takes};

use super::condition::Condition;
use super::reply::Prepared;
use super::request::Asked;

/// Routes by their place in the plan.
type Places = Vec<usize>;

#[derive(Debug)]
pub(super) struct Table {
    routes: Vec<Route>,
    whole: HashMap<String, Places>,
    /// By the length of what stands before the first `*`, then by that.
    begun: BTreeMap<usize, HashMap<Vec<u8>, Places>>,
}

/// A route, ready to answer.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) id: String,
    /// Where its calls are counted.
    pub(super) slot: usize,
    /// Calls that were counted before these replies came to be.
    pub(super) before: u64,
    pub(super) takes: Takes,
    pub(super) when: Vec<Condition>,
    /// Each with the last call that it answers.
    replies: Vec<(u64, Prepared)>,
}

impl Table {
    /// `count` gives each route's slot and what was counted there before.
    pub(super) fn of(order: &[StubRoute], mut count: impl FnMut(&str) -> (usize, u64)) -> Self {
        let mut table = Self { routes: Vec::new(), whole: HashMap::new(), begun: BTreeMap::new() };
        for route in order {
            let place = table.routes.len();
            table.routes.push(Route::of(route, count(&route.id)));
            let Takes::Request { path, .. } = &route.takes else { continue };
            let path = path.as_deref().unwrap_or("*");
            match path.find('*') {
                None => table.whole.entry(path.to_owned()).or_default().push(place),
                Some(star) => {
                    let begins = path.as_bytes()[..star].to_vec();
                    table.begun.entry(star).or_default().entry(begins).or_default().push(place);
                }
            }
        }
        table
    }

    /// The first route that takes the call.
    pub(super) fn find(&self, asked: &Asked) -> Option<&Route> {
        let path = asked.path();
        let whole = self.whole.get(path).map(Vec::as_slice);
        if self.begun.is_empty() {
            return whole?.iter().map(|place| &self.routes[*place]).find(|route| route.takes(asked));
        }
        let begun = self.begun.iter().filter_map(|(length, by)| by.get(path.as_bytes().get(..*length)?));
        let mut lists: Vec<&[usize]> = whole.into_iter().chain(begun.map(Vec::as_slice)).collect();
        loop {
            // Each list is in the plan's order, so the next of all is the least of their heads.
            let next = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
            let route = &self.routes[next[0]];
            if route.takes(asked) {
                return Some(route);
            }
            *next = &next[1..];
        }
    }

    /// The route of which most holds, and what does not.
    pub(super) fn nearest(&self, asked: &Asked) -> Option<(String, String)> {
        let judged = self.routes.iter().map(|route| (route.held(asked), route));
        // Of equals the first, as it would have answered first.
        let (held, best) = judged.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        Some((best.id.clone(), best.why(asked, held)))
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl Route {
    fn of(order: &StubRoute, (slot, before): (usize, u64)) -> Self {
        let mut last = 0_u64;
        let mut in_turn = |reply: &StubReply| {
            last = last.saturating_add(reply.times);
            (last, Prepared::of(reply))
        };
        Self {
            id: order.id.clone(),
            slot,
            before,
            takes: order.takes.clone(),
            when: order.when.iter().map(|(part, matcher)| Condition::of(part, matcher)).collect(),
            replies: order.replies.iter().map(&mut in_turn).collect(),
        }
    }

    fn takes(&self, asked: &Asked) -> bool {
        self.path_fits(asked)
            && self.method_fits(asked)
            && self.when.iter().all(|condition| condition.holds(asked.part(&condition.part).as_ref()))
    }

    fn path(&self) -> Option<&str> {
        match &self.takes {
            Takes::Request { path, .. } => path.as_deref(),
            Takes::Line | Takes::Bytes(_) | Takes::Connection => None,
        }
    }

    fn method(&self) -> Option<&str> {
        match &self.takes {
            Takes::Request { method, .. } => method.as_deref(),
            Takes::Line | Takes::Bytes(_) | Takes::Connection => None,
        }
    }

    fn path_fits(&self, asked: &Asked) -> bool {
        self.path().is_none_or(|path| glob::matches(path, asked.path()))
    }

    fn method_fits(&self, asked: &Asked) -> bool {
        self.method().is_none_or(|method| method.eq_ignore_ascii_case(asked.method()))
    }

    /// How many conditions hold before the first that does not. The path counts first: who asks for a path means its route.
    fn held(&self, asked: &Asked) -> usize {
        if !self.path_fits(asked) {
            return 0;
        }
        if !self.method_fits(asked) {
            return 1;
        }
        let holds = |condition: &&Condition| condition.holds(asked.part(&condition.part).as_ref());
        2 + self.when.iter().take_while(holds).count()
    }

    fn why(&self, asked: &Asked, held: usize) -> String {
        match held {
            0 => format!("its path is {}", self.path().unwrap_or("*")),
            1 => format!("its method is {}", self.method().unwrap_or("*")),
            more => self.when.get(more - 2).map_or_else(String::new, |condition| {
                let Some(mismatch) = condition.mismatch(asked.part(&condition.part).as_ref()) else {
                    return String::new();
                };
                let at = if mismatch.at.is_empty() { String::new() } else { format!(" at {}", mismatch.at) };
                let what = super::request::part_name(&condition.part);
                format!("its {what}{at} is {}, not {}", mismatch.expected, mismatch.actual)
            }),
        }
    }

    /// The reply to the call with this number, from 1: each takes its `times`, the last stays.
    pub(super) fn reply(&self, number: u64) -> Option<&Prepared> {
        let at = self.replies.partition_point(|(last, _)| *last < number);
        self.replies.get(at).or(self.replies.last()).map(|(_, reply)| reply)
    }
}

#[cfg(test)]
mod tests;
