//! What both kinds share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

pub const GROUP: &str = "meshproof.dev";
pub const VERSION: &str = "v1alpha1";

pub type Conditions = Vec<Condition>;

/// A key of a Secret or a ConfigMap in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOf {
    /// Name of the Secret or the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Sets a condition; its time changes only with its status, as the API's conventions ask.
///
/// <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties>
pub fn condition(conditions: &mut Conditions, new: (&str, bool, &str, String), generation: i64, now: Timestamp) {
    let (type_, holds, reason, message) = new;
    let status = if holds { "True" } else { "False" };
    let known = conditions.iter().find(|known| known.type_ == type_ && known.status == status);
    let since = known.map_or_else(|| Time(whole_seconds(now)), |known| known.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|known| known.type_ == type_) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// As the API server keeps a `Time`.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).expect("it was a time before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut conditions = Conditions::new();
        condition(&mut conditions, ("Ready", true, "AllThere", String::new()), 1, at(10));
        condition(&mut conditions, ("Ready", true, "AllThere", "three".into()), 2, at(20));
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].last_transition_time.0, at(10));
        assert_eq!(conditions[0].observed_generation, Some(2));
        condition(&mut conditions, ("Ready", false, "Missing", String::new()), 2, at(30));
        assert_eq!(conditions[0].last_transition_time.0, at(30));
    }
}
