//! What a cluster says of pods that are not as they should be: their events, and what their containers printed.

use meshproof_proto::event::Evidence;
use serde_json::Value;

use super::kubectl::Kubectl;
use super::limits::SHOWN_LINES;

/// Where a run is looked into.
#[derive(Clone, Debug)]
pub struct Evident {
    pub(super) kubectl: Kubectl,
    pub(super) namespace: String,
}

impl Evident {
    /// All that helps to see what became of these pods. What cannot be had is left out: it is told beside what failed.
    pub async fn of(&self, pods: &[String]) -> Vec<Evidence> {
        let events = self.events().await.unwrap_or_default();
        let mut all = Vec::new();
        for pod in pods {
            let lines = told_of(&events, pod);
            if !lines.is_empty() {
                all.push(Evidence { title: format!("events of the pod {pod}"), text: lines.join("\n") });
            }
            for (title, text) in self.printed(pod).await {
                all.push(Evidence { title, text });
            }
        }
        all
    }

    /// Also those of the namespace that are about nobody's pod, such as a quota that is used up.
    pub(super) async fn events(&self) -> Option<Value> {
        let namespace = format!("--namespace={}", self.namespace);
        self.kubectl.json(&["get", "events", &namespace, "--output=json"]).await.ok()
    }

    /// The last lines of each container that is not ready, or of the service's if all are; of one that ended, those of its life before.
    async fn printed(&self, pod: &str) -> Vec<(String, String)> {
        let namespace = format!("--namespace={}", self.namespace);
        let Ok(object) = self.kubectl.json(&["get", "pod", pod, &namespace, "--output=json"]).await else {
            return Vec::new();
        };
        let lists = ["initContainerStatuses", "containerStatuses"];
        let statuses = lists.iter().flat_map(|list| object["status"][*list].as_array().into_iter().flatten());
        let mut statuses: Vec<&Value> = statuses.filter(|status| status["ready"] != true).collect();
        if statuses.is_empty() {
            statuses.extend(object["status"]["containerStatuses"].as_array().into_iter().flatten());
        }
        let mut printed = Vec::new();
        for status in statuses {
            let Some(container) = status["name"].as_str() else { continue };
            let (tail, which) = (format!("--tail={SHOWN_LINES}"), format!("--container={container}"));
            let mut arguments = vec!["logs", pod, &namespace, &tail, &which];
            if status["restartCount"].as_u64().unwrap_or_default() > 0 && !status["state"]["running"].is_object() {
                arguments.push("--previous");
            }
            match self.kubectl.done(&arguments).await {
                Ok(text) if !text.trim().is_empty() => {
                    printed.push((format!("log of {container} in the pod {pod}"), text.trim_end().to_owned()));
                }
                Ok(_) | Err(_) => {}
            }
        }
        printed
    }
}

/// The events of a pod, in the order in which they were told, as `Warning Failed: no such image`.
fn told_of(events: &Value, pod: &str) -> Vec<String> {
    let all = events["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut of_pod: Vec<&Value> = all.iter().filter(|event| event["involvedObject"]["name"] == pod).collect();
    let when = |event: &Value| {
        let times = ["lastTimestamp", "eventTime"].map(|time| event[time].as_str().unwrap_or_default().to_owned());
        times.into_iter().max()
    };
    of_pod.sort_by_key(|event| when(event));
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().trim().to_owned();
    let line =
        |event: &&Value| format!("{} {}: {}", text(event, "type"), text(event, "reason"), text(event, "message"));
    let mut lines: Vec<String> = of_pod.iter().map(line).collect();
    lines.dedup();
    lines.split_off(lines.len().saturating_sub(SHOWN_LINES))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_those_of_the_pod_in_their_order() {
        let event = |pod: &str, at: &str, reason: &str| json!({ "involvedObject": { "name": pod }, "lastTimestamp": at, "type": "Normal", "reason": reason, "message": "m\n" });
        let events = json!({ "items": [
            event("shop", "2026-01-01T00:00:02Z", "Started"),
            event("ledger", "2026-01-01T00:00:01Z", "Pulled"),
            event("shop", "2026-01-01T00:00:01Z", "Created"),
            { "involvedObject": { "name": "shop" }, "eventTime": "2026-01-01T00:00:00.5Z", "type": "Normal", "reason": "Scheduled" },
        ] });
        assert_eq!(told_of(&events, "shop"), ["Normal Scheduled: ", "Normal Created: m", "Normal Started: m"]);
        assert!(told_of(&Value::Null, "shop").is_empty());
    }
}
