//! Links that ended because their peer was gone without a word: still to be seen for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::api::LinkInfo;
use crate::limits::{PAST_LINKS, PAST_SHOWN};

/// The last of each name.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<BTreeMap<String, LinkInfo>>);

impl Past {
    pub(crate) fn remember(&self, info: LinkInfo) {
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while past.len() >= PAST_LINKS
            && let Some(oldest) = past.values().min_by_key(|info| info.last_change.at).map(|info| info.name.clone())
        {
            past.remove(&oldest);
        }
        past.insert(info.name.clone(), info);
    }

    /// Those that nobody of the same name has taken the place of.
    pub(crate) fn beside(&self, links: &[LinkInfo], now: Instant) -> Vec<LinkInfo> {
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.retain(|name, info| {
            let young = now.saturating_duration_since(info.last_change.at) < PAST_SHOWN;
            young && links.iter().all(|link| link.name != *name)
        });
        past.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshproof_proto::id::PeerId;
    use meshproof_proto::identity::{Identity, Issued, Role, UnixSeconds};

    use super::*;
    use crate::api::LinkChange;

    fn lost(name: &str, at: Instant) -> LinkInfo {
        let peer = Identity {
            peer: PeerId([1; 32]),
            name: name.parse().expect("a name"),
            role: Role::Agent,
            capabilities: [].into(),
            issued: Issued { token: PeerId([2; 32]), root: PeerId([3; 32]), not_after: UnixSeconds(0) },
        };
        LinkInfo { state: "lost", last_change: LinkChange { at, why: "gone".to_owned() }, ..LinkInfo::new(&peer) }
    }

    fn names(links: &[LinkInfo]) -> Vec<&str> {
        links.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn a_lost_peer_is_seen_until_it_is_back_or_long_gone_and_there_are_not_many() {
        let (past, start) = (Past::default(), Instant::now());
        past.remember(lost("shop", start));
        past.remember(lost("ledger", start));
        assert_eq!(names(&past.beside(&[], start)), ["ledger", "shop"]);
        assert_eq!(names(&past.beside(&[lost("shop", start)], start)), ["ledger"], "a new instance is there");
        assert_eq!(names(&past.beside(&[], start)), ["ledger"]);
        assert_eq!(names(&past.beside(&[], start + PAST_SHOWN)), [""; 0]);
        for number in 0..=PAST_LINKS {
            past.remember(lost(&format!("p{number}"), start + Duration::from_millis(number as u64)));
        }
        let kept = past.beside(&[], start);
        assert_eq!(kept.len(), PAST_LINKS);
        assert!(!names(&kept).contains(&"p0"), "the oldest gave way");
    }
}
