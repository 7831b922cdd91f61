//! What a token allows, in words.

use std::collections::BTreeSet;

use meshproof_proto::identity::{Capability, Role, UnixSeconds};

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

/// `2026-03-01`, in UTC. Days to a date after Howard Hinnant's `civil_from_days`.
pub(super) fn day(at: UnixSeconds) -> String {
    let days = i64::try_from(at.0 / 86_400).unwrap_or(i64::MAX / 2) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", day_of_year - (153 * shifted + 2) / 5 + 1)
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
