//! What the status of a run's pods means: who is ready, who is waited for, and for whom waiting is of no use.

use std::collections::BTreeMap;

use serde_json::Value;

use super::limits::RESTARTS_MOST;

/// Reasons that do not go away by themselves:
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go>
const HOPELESS: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "ImagePullBackOff"];

/// Reasons that go away only where a node was busy.
const STUCK: [&str; 3] = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// What it is at.
    Waiting(String),
    /// Lost, if it stays so.
    Stuck(String),
    /// Nobody waits for it any more, and why.
    Lost(String),
}

/// Each of these pods, as a list of the API server says it. One that is not in the list is waited for.
pub fn states(list: &Value, names: &[String]) -> BTreeMap<String, State> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = |name: &String| items.iter().find(|pod| pod["metadata"]["name"] == **name);
    names
        .iter()
        .map(|name| (name.clone(), found(name).map_or_else(|| State::Waiting("it is not there yet".to_owned()), state)))
        .collect()
}

fn state(pod: &Value) -> State {
    let status = &pod["status"];
    let containers = ["initContainerStatuses", "containerStatuses"];
    let containers = containers.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
    let containers: Vec<&Value> = containers.collect();
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return State::Lost("somebody deletes it".to_owned());
    }
    if let Some(lost) = containers.iter().find_map(|container| lost(container)) {
        return State::Lost(lost);
    }
    if status["phase"] == "Failed" {
        let why = [&status["reason"], &status["message"]].map(|text| text.as_str().unwrap_or_default()).join(" ");
        return State::Lost(format!("it has failed: {}", why.trim()));
    }
    let condition =
        |kind: &str| status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    if condition("Ready").is_some_and(|ready| ready["status"] == "True") {
        return State::Ready;
    }
    if let Some(stuck) = containers.iter().find_map(|container| refused(container, &STUCK)) {
        return State::Stuck(stuck);
    }
    if let Some(unscheduled) = condition("PodScheduled").filter(|scheduled| scheduled["status"] == "False") {
        let why = unscheduled["message"].as_str().unwrap_or("no node takes it");
        return State::Waiting(format!("not on a node yet: {why}"));
    }
    let waiting = containers.iter().find_map(|container| {
        let reason = container["state"]["waiting"]["reason"].as_str()?;
        Some(format!("{}: {reason}", container["name"].as_str().unwrap_or_default()))
    });
    State::Waiting(waiting.unwrap_or_else(|| "it starts".to_owned()))
}

/// That a container is not started, for one of these reasons.
fn refused(container: &Value, reasons: &[&str]) -> Option<String> {
    let waiting = &container["state"]["waiting"];
    let text = |field: &str| waiting[field].as_str().unwrap_or_default();
    let message = Some(text("message")).filter(|message| !message.is_empty());
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    let name = container["name"].as_str().unwrap_or_default();
    reasons.contains(&text("reason")).then(|| format!("{name} cannot be started, {}{message}", text("reason")))
}

/// Why a container will not run.
fn lost(container: &Value) -> Option<String> {
    if let Some(lost) = refused(container, &HOPELESS) {
        return Some(lost);
    }
    let name = container["name"].as_str().unwrap_or_default();
    let restarts = container["restartCount"].as_u64().unwrap_or_default();
    if restarts < RESTARTS_MOST || container["ready"] == true {
        return None;
    }
    let ended = [&container["lastState"]["terminated"], &container["state"]["terminated"]];
    let ended = ended.into_iter().find(|ended| ended.is_object())?;
    let how = format!("{} {}", ended["reason"].as_str().unwrap_or("it ended"), ended["exitCode"]);
    Some(format!("{name} ends again and again, {restarts} times so far, last with {how}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: Value) -> State {
        let list = json!({ "items": [{ "metadata": { "name": "shop" }, "status": status }] });
        states(&list, &["shop".to_owned()]).remove("shop").expect("it was asked for")
    }

    #[test]
    fn what_a_pod_is_at_is_told_and_what_does_not_go_away_is_not_waited_for() {
        let waiting = |reason: &str| {
            of(json!({ "phase": "Pending", "containerStatuses": [
                { "name": "shop", "state": { "waiting": { "reason": reason, "message": "no such image" } } },
            ] }))
        };
        assert_eq!(waiting("ContainerCreating"), State::Waiting("shop: ContainerCreating".to_owned()));
        assert_eq!(waiting("ErrImagePull"), State::Waiting("shop: ErrImagePull".to_owned()), "it is tried again");
        let lost = "shop cannot be started, ImagePullBackOff: no such image";
        assert_eq!(waiting("ImagePullBackOff"), State::Lost(lost.to_owned()));
        let stuck = "shop cannot be started, CreateContainerConfigError: no such image";
        assert_eq!(waiting("CreateContainerConfigError"), State::Stuck(stuck.to_owned()));
        let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!(of(ready), State::Ready);
        let unscheduled = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/2 nodes are available" },
        ] });
        assert_eq!(of(unscheduled), State::Waiting("not on a node yet: 0/2 nodes are available".to_owned()));
        assert_eq!(states(&json!({}), &["a".to_owned()])["a"], State::Waiting("it is not there yet".to_owned()));
    }

    #[test]
    fn a_container_that_ends_again_and_again_is_lost_after_some_times() {
        let crashing = |restarts: u64| {
            of(json!({ "phase": "Running", "containerStatuses": [{
                "name": "shop", "ready": false, "restartCount": restarts,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "reason": "Error", "exitCode": 101 } },
            }] }))
        };
        assert_eq!(crashing(2), State::Waiting("shop: CrashLoopBackOff".to_owned()));
        let lost = "shop ends again and again, 3 times so far, last with Error 101";
        assert_eq!(crashing(3), State::Lost(lost.to_owned()));
    }
}
