//! Namespaces of runs that are over: those whose time is up, and those whose orchestrator was killed.

use serde_json::Value;

use super::kubectl::{Kubectl, KubectlError};
use super::manifests::{EXPIRES, ORCHESTRATOR, SELECTOR, STATE};
use super::namespace::{removing, time};
use crate::record::now_ms;

/// Which namespaces of runs that did not pass are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forensics {
    /// Those whose time is up.
    Expired,
    /// All.
    Any,
}

/// What becomes of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its time is up.
    Expired,
    /// Who has made it was of this machine, and is not there any more.
    Left,
    /// Its run did not pass.
    Kept,
    /// Its run goes on, or it is not known whether it does.
    GoesOn,
}

/// Removes the namespaces of runs that are over, and says of each what became of it.
///
/// # Errors
/// kubectl cannot be run, or the cluster does not answer.
pub async fn clear(kubectl: &Kubectl, forensics: Forensics) -> Result<Vec<String>, KubectlError> {
    let selector = format!("--selector={SELECTOR}");
    let found = kubectl.json(&["get", "namespaces", &selector, "--output=json", "--request-timeout=10s"]).await?;
    let now = time(now_ms());
    let mut told = Vec::new();
    for namespace in found["items"].as_array().into_iter().flatten() {
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let annotation = |name: &str| namespace["metadata"]["annotations"][name].as_str().unwrap_or_default();
        if !namespace["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let until = annotation(EXPIRES);
        let why = match fate(namespace, &now, is_alive) {
            Fate::Expired => format!("whose time was up at {until},"),
            Fate::Left => "whose run was killed,".to_owned(),
            Fate::Kept if forensics == Forensics::Any => "whose run did not pass,".to_owned(),
            Fate::Kept => {
                told.push(format!("the namespace {name} of a run that did not pass is kept until {until}"));
                continue;
            }
            Fate::GoesOn => continue,
        };
        kubectl.done(&removing(name)).await?;
        told.push(format!("the namespace {name}, {why} is removed"));
    }
    Ok(told)
}

/// `is_alive` is asked for a process of this machine, and does not know those of others.
fn fate(namespace: &Value, now: &str, is_alive: impl Fn(&str) -> Option<bool>) -> Fate {
    let annotation = |name: &str| namespace["metadata"]["annotations"][name].as_str().unwrap_or_default();
    let is_kept = annotation(STATE) == "kept";
    let alive = is_alive(annotation(ORCHESTRATOR));
    let is_over = !annotation(EXPIRES).is_empty() && annotation(EXPIRES) <= now;
    match (alive, is_kept) {
        // however long it takes
        (Some(true), false) => Fate::GoesOn,
        (Some(false), false) => Fate::Left,
        _ if is_over => Fate::Expired,
        (_, true) => Fate::Kept,
        (None, false) => Fate::GoesOn,
    }
}

/// Boot, number and start of this process, by which it is told from all others that there ever were.
pub(super) fn this_process() -> String {
    let pid = std::process::id();
    format!("{}/{pid}/{}", boot(), start(pid).unwrap_or_default())
}

/// Whether that process lives; none: it is not one of this machine since it was started.
fn is_alive(process: &str) -> Option<bool> {
    let mut parts = process.split('/');
    let (of, pid, began) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    let here = boot();
    if here.is_empty() || of != here || began.is_empty() {
        return None;
    }
    Some(start(pid).is_some_and(|start| start == began))
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// When a process began, in ticks since boot: the 22nd field of its `stat`, counted behind its name, which may hold anything.
fn start(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let is_dead = fields.next().is_none_or(|state| matches!(state, "Z" | "X"));
    if is_dead { None } else { fields.nth(18).map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(state: &str, expires: &str, alive: Option<bool>) -> Fate {
        let namespace = json!({ "metadata": { "annotations": { STATE: state, EXPIRES: expires } } });
        fate(&namespace, "2026-03-01T00:00:00Z", |_| alive)
    }

    #[test]
    fn what_is_over_goes_and_what_goes_on_or_is_kept_stays() {
        let (before, after) = ("2026-02-28T23:59:59Z", "2026-03-01T00:00:01Z");
        assert_eq!(of("kept", before, Some(false)), Fate::Expired);
        assert_eq!(of("kept", after, Some(false)), Fate::Kept);
        assert_eq!(of("running", after, Some(false)), Fate::Left);
        assert_eq!(of("running", before, Some(true)), Fate::GoesOn, "a run may take longer");
        assert_eq!(of("running", after, None), Fate::GoesOn, "another machine's");
        assert_eq!(of("running", before, None), Fate::Expired);
        assert_eq!(of("running", "", None), Fate::GoesOn);
    }

    #[test]
    fn a_process_is_known_by_its_boot_number_and_start() {
        let own = this_process();
        assert_eq!(is_alive(&own), Some(true), "{own}");
        assert_eq!(is_alive(&format!("{own}0")), Some(false), "another one had its number");
        assert_eq!(is_alive(&format!("x{own}")), None, "another machine's");
        assert_eq!(is_alive(""), None);
    }
}
