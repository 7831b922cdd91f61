//! The phases of a call, and what each took.

use std::fmt;
use std::time::{Duration, Instant};

use meshproof_proto::order::Target;
use serde::{Deserialize, Serialize};

/// What each phase took; `None` of one that did not come to its end, or that the call does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Until the address was known.
    pub dns: Option<Duration>,
    /// From then until the connection stood.
    pub connect: Option<Duration>,
    /// From then until TLS stood.
    pub tls: Option<Duration>,
    /// From then until the answer's head was there.
    pub wait: Option<Duration>,
    /// From then until its body was there.
    pub body: Option<Duration>,
}

impl Phases {
    /// Those of a call over a connection that stands already.
    pub(super) fn of_kept(target: &Target) -> Self {
        let nothing = Some(Duration::ZERO);
        Self { dns: nothing, connect: nothing, tls: nothing.filter(|_| target.tls.is_some()), wait: None, body: None }
    }

    /// Whether nothing had to be connected.
    pub(super) fn is_of_kept(&self) -> bool {
        self.connect == Some(Duration::ZERO)
    }
}

/// As people read them: `dns 40.1µs, connect 98.2µs, wait 1.2ms`; over a connection that stood, `connected before, wait 1.2ms`.
impl fmt::Display for Phases {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            [("dns", self.dns), ("connect", self.connect), ("tls", self.tls), ("wait", self.wait), ("body", self.body)];
        let took = all.iter().filter_map(|(name, took)| Some((name, took.filter(|took| !took.is_zero())?)));
        let before = self.is_of_kept().then(|| "connected before".to_owned());
        let done = before.into_iter().chain(took.map(|(name, took)| format!("{name} {took:.1?}")));
        out.write_str(&done.collect::<Vec<_>>().join(", "))
    }
}

/// Takes the time from one phase to the next.
#[derive(Debug)]
pub(super) struct Lap(Instant);

impl Lap {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// What the phase that ends now took; the next begins.
    pub(super) fn end(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let took = now - self.0;
        self.0 = now;
        Some(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_have_to_be_done_is_not_told_as_a_time_of_nothing() {
        let took = |micros| Some(Duration::from_micros(micros));
        let all = Phases { dns: took(40), connect: took(98), tls: None, wait: took(1_200), body: None };
        assert_eq!(all.to_string(), "dns 40.0µs, connect 98.0µs, wait 1.2ms");
        let kept = Phases { wait: took(1_200), ..Phases::of_kept(&Target::plain("shop", "127.0.0.1:80")) };
        assert_eq!(kept.to_string(), "connected before, wait 1.2ms");
    }
}
