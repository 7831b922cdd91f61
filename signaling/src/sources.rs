//! What each address that connects may ask of the server: an address has one allowance, however many sockets it opens.
//!
//! Where all clients come through one proxy they share its allowance, which is sized for a whole mesh.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::allowance::Allowance;

use crate::limits;

/// The addresses that asked for something lately.
#[derive(Debug)]
pub(crate) struct Sources {
    shares: HashMap<IpAddr, Arc<Share>>,
    /// Of those that found no room.
    common: Arc<Share>,
}

/// What an address has left.
#[derive(Debug)]
pub(crate) struct Share {
    connections: Mutex<Allowance>,
    messages: Mutex<Allowance>,
}

impl Sources {
    pub(crate) fn new(now: Instant) -> Self {
        Self { shares: HashMap::new(), common: Arc::new(Share::new(now)) }
    }

    pub(crate) fn share(&mut self, address: IpAddr, now: Instant) -> Arc<Share> {
        let source = source(address);
        if let Some(share) = self.shares.get(&source) {
            return Arc::clone(share);
        }
        if self.shares.len() >= limits::SOURCES {
            self.shares.retain(|_, share| Arc::strong_count(share) > 1 || !share.is_whole(now));
        }
        if self.shares.len() >= limits::SOURCES {
            return Arc::clone(&self.common);
        }
        Arc::clone(self.shares.entry(source).or_insert_with(|| Arc::new(Share::new(now))))
    }
}

impl Share {
    fn new(now: Instant) -> Self {
        Self {
            connections: Mutex::new(Allowance::new(limits::SOURCE_CONNECTIONS, now)),
            messages: Mutex::new(Allowance::new(limits::SOURCE_MESSAGES, now)),
        }
    }

    /// How long a new connection has to wait; `None` when that is too long.
    pub(crate) fn connect(&self, now: Instant) -> Option<Duration> {
        lock(&self.connections).take_within(limits::CONNECTION_HELD, now)
    }

    /// How long something that came has to wait.
    pub(crate) fn hear(&self, cost: u32, now: Instant) -> Duration {
        lock(&self.messages).take(cost, now)
    }

    fn is_whole(&self, now: Instant) -> bool {
        lock(&self.connections).is_whole(now) && lock(&self.messages).is_whole(now)
    }
}

/// An allowance is one number: whoever panicked while holding it has not left it half changed.
fn lock(allowance: &Mutex<Allowance>) -> std::sync::MutexGuard<'_, Allowance> {
    allowance.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has an address of version 6 has all of its network.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(number).expect("few").to_be_bytes())
    }

    #[test]
    fn an_address_has_one_share_and_so_has_a_network_of_version_6() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        let mut share = |text: &str| sources.share(text.parse().expect("an address"), now);
        assert!(Arc::ptr_eq(&share("10.0.0.1"), &share("10.0.0.1")));
        assert!(Arc::ptr_eq(&share("10.0.0.1"), &share("::ffff:10.0.0.1")));
        assert!(!Arc::ptr_eq(&share("10.0.0.1"), &share("10.0.0.2")));
        assert!(Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8::2:1")));
        assert!(!Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8:0:1::1")));
    }

    #[test]
    fn addresses_without_end_fill_a_table_and_no_more_and_those_that_took_nothing_make_room() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        for number in 0..2 * limits::SOURCES {
            sources.share(address(number), now).connect(now);
        }
        assert_eq!(sources.shares.len(), limits::SOURCES);
        assert!(Arc::ptr_eq(&sources.share(address(0), now), &sources.shares[&address(0)]), "who is there stays");
        let held = sources.share(address(1), now);
        let later = now + Duration::from_secs(60);
        sources.share(address(3 * limits::SOURCES), later);
        assert_eq!(sources.shares.len(), 2, "one that is new, and one that has a socket");
        assert!(Arc::ptr_eq(&sources.share(address(1), later), &held));
    }
}
