//! What a token allows, in words.

use std::collections::BTreeSet;

use meshproof_proto::identity::{Capability, Role, UnixSeconds};

use crate::report::figures;

/// `an agent`
pub(super) fn one(role: Role) -> String {
    match role {
        Role::ZoneOperator => format!("a {role}"),
        Role::Agent | Role::Orchestrator | Role::OperatorConsole | Role::Observer => format!("an {role}"),
    }
}

pub(super) fn capabilities(all: &BTreeSet<Capability>) -> String {
    let words: Vec<String> = all.iter().map(Capability::to_string).collect();
    if words.is_empty() { "may look".to_owned() } else { format!("for {}", words.join(" ")) }
}

/// `2026-03-01`, in UTC.
pub(super) fn day(at: UnixSeconds) -> String {
    figures::day(at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_772_323_200, "2026-03-01"),
            (4_102_444_799, "2099-12-31"),
        ] {
            assert_eq!(day(UnixSeconds(seconds)), date);
        }
    }
}
