//! What was done in a chat and came out well, to be written down as a plan that does it again.

use serde_json::Value;

use super::flow::flow;

/// The steps, in the order in which they were done.
#[derive(Debug, Default)]
pub struct Notes {
    steps: Vec<Value>,
    left_out: usize,
}

impl Notes {
    /// A step came out well.
    pub fn did(&mut self, step: Value) {
        self.steps.push(step);
    }

    /// One did not; a plan that begins with it would not pass.
    pub fn failed(&mut self) {
        self.left_out += 1;
    }

    /// How many there are, and how many were left out.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.steps.len(), self.left_out)
    }

    /// The `tests` of the plan: one test. Empty: nothing was done.
    #[must_use]
    pub fn tests(&self) -> Option<String> {
        if self.steps.is_empty() {
            return None;
        }
        let steps: String = self.steps.iter().map(|step| format!("      - {}\n", flow(step))).collect();
        let disturbs = self.steps.iter().any(|step| step.get("fault").is_some());
        let after = if disturbs { "    after: [{ heal: all }]\n" } else { "" };
        Some(format!("tests:\n  - id: chat\n    steps:\n{steps}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_out_well_is_a_test_of_the_plan_language() {
        let mut notes = Notes::default();
        assert_eq!(notes.tests(), None);
        notes.did(json!({ "to": "shop", "http": { "get": "/healthz" }, "expect": { "status": 200 } }));
        notes.failed();
        notes.did(json!({ "fault": "slow", "for": "5s" }));
        notes.did(json!({ "heal": "all" }));
        assert_eq!(
            notes.tests().expect("steps"),
            "tests:\n  - id: chat\n    steps:\n      - { to: shop, http: { get: /healthz }, expect: { status: 200 } }\n      \
             - { fault: slow, for: \"5s\" }\n      - { heal: all }\n    after: [{ heal: all }]\n"
        );
        assert_eq!(notes.count(), (3, 1));
    }
}
