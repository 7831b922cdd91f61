//! What an environment is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use meshproof_proto::id::{Name, RunId};
use meshproof_proto::identity::Capability;
use meshproof_proto::labels::Labels;

use super::error::LocalError;
use super::limits::ORPHAN_GRACE_LONGEST;
use super::withheld::Withheld;
use crate::keeper::containers::Contained;
use crate::keeper::limits::ORPHAN_GRACE;
use crate::keeper::setup::Programs;

/// The environment that is wanted.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Also the name of the run's folder, so no two runs of a user may share one.
    pub run: RunId,
    pub mesh: Name,
    /// Each gets an agent beside it.
    pub services: Vec<Name>,
    /// But for these, which share another one's.
    pub guests: BTreeSet<Name>,
    /// Those of them that live in a network namespace of their own, and their addresses on the data network.
    pub networked: BTreeMap<Name, Ipv4Addr>,
    /// What the instances of each agent are labelled with, from the first; those not named have one.
    pub labels: BTreeMap<Name, Vec<Labels>>,
    /// Without an orchestrator for so long, everything is ended.
    pub orphan_grace: Duration,
    pub programs: Programs,
    /// What tokens of agents and of the orchestrator grant.
    pub capabilities: BTreeSet<Capability>,
    /// Where the run's reports go, for those who look for them.
    pub reports: Option<PathBuf>,
    /// What the keeper does not inherit.
    pub withheld: Withheld,
    /// The services that live in containers; `None`: none does.
    pub contained: Option<Contained>,
    /// Where the folder of the run goes; `None`: `$XDG_RUNTIME_DIR/meshproof-<uid>`, or the same below the temporary folder.
    pub base: Option<PathBuf>,
}

impl Spec {
    /// An environment as users get it, in which nobody may do anything yet: run by this binary, with the orphan grace of `MESHPROOF_ORPHAN_GRACE` or 30 s.
    ///
    /// # Errors
    /// The variable is no duration, or the path of this binary cannot be told.
    pub fn new(run: RunId, mesh: Name, services: Vec<Name>) -> Result<Self, LocalError> {
        let orphan_grace = match std::env::var("MESHPROOF_ORPHAN_GRACE") {
            Ok(text) => orphan_grace(&text).ok_or(LocalError::BadOrphanGrace(text))?,
            Err(_) => ORPHAN_GRACE,
        };
        let keeper = |cause: io::Error| LocalError::Keeper { program: "meshproof keep".to_owned(), cause };
        let programs = Programs::of_this_binary().map_err(keeper)?;
        Ok(Self {
            run,
            mesh,
            services,
            guests: BTreeSet::new(),
            networked: BTreeMap::new(),
            labels: BTreeMap::new(),
            orphan_grace,
            programs,
            capabilities: BTreeSet::new(),
            reports: None,
            withheld: Withheld::default(),
            contained: None,
            base: None,
        })
    }
}

fn orphan_grace(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let grace = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (grace <= ORPHAN_GRACE_LONGEST).then_some(grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_grace_has_a_unit() {
        assert_eq!(orphan_grace("2s"), Some(Duration::from_secs(2)));
        assert_eq!(orphan_grace("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(orphan_grace("1m"), Some(Duration::from_secs(60)));
        for bad in ["", "2", "s", "-1s", "1h", "9999999s", "99999999999999999999s"] {
            assert_eq!(orphan_grace(bad), None, "{bad:?}");
        }
    }
}
