//! When an object is looked at again after a look that failed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use meshproof_proto::backoff::Backoff;
use meshproof_proto::seed::Seed;

use super::failure::Failure;
use crate::limits;

/// Of every object with a failure, until its next success.
#[derive(Debug, Default)]
pub struct Retries(Mutex<HashMap<String, Retry>>);

#[derive(Debug)]
struct Retry {
    backoff: Backoff,
    conflicts: u32,
}

impl Retries {
    pub fn succeeded(&self, object: &str) {
        self.0.lock().expect("nobody panics with it").remove(object);
    }

    /// How long to wait.
    pub fn failed(&self, object: &str, failure: &Failure) -> Duration {
        if let Some(wait) = failure.waits() {
            return wait;
        }
        let mut retries = self.0.lock().expect("nobody panics with it");
        let retry = retries.entry(object.to_owned()).or_insert_with(|| {
            let backoff = Backoff::between(limits::RETRY_FIRST, limits::RETRY_LONGEST, seed(object));
            Retry { backoff, conflicts: 0 }
        });
        if failure.is_conflict() && retry.conflicts < limits::CONFLICTS {
            retry.conflicts += 1;
            return Duration::ZERO;
        }
        retry.backoff.after_failure()
    }
}

/// Objects that fail together come back apart.
fn seed(object: &str) -> Seed {
    Seed::new(object.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict() -> Failure {
        let status = kube::core::Status { code: 409, ..kube::core::Status::default() };
        Failure::api("lease", kube::Error::Api(Box::new(status)))
    }

    fn broken() -> Failure {
        Failure::Unusable { what: "token".to_owned(), why: "empty".to_owned() }
    }

    #[test]
    fn conflicts_are_looked_at_at_once_but_not_for_ever() {
        let retries = Retries::default();
        for _ in 0..limits::CONFLICTS {
            assert_eq!(retries.failed("pool", &conflict()), Duration::ZERO);
        }
        assert!(retries.failed("pool", &conflict()) > Duration::ZERO);
        retries.succeeded("pool");
        assert_eq!(retries.failed("pool", &conflict()), Duration::ZERO);
    }

    #[test]
    fn waits_of_one_object_grow_to_their_bound_and_are_nothing_to_another() {
        let retries = Retries::default();
        let waits: Vec<Duration> = (0..12).map(|_| retries.failed("pool", &broken())).collect();
        assert!(waits[0] <= limits::RETRY_FIRST && waits[11] >= limits::RETRY_LONGEST / 2);
        assert!(waits.iter().all(|wait| *wait <= limits::RETRY_LONGEST));
        assert!(retries.failed("other", &broken()) <= limits::RETRY_FIRST);
    }
}
