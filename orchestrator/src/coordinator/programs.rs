//! What programs of services are told: of the run when they ask, and in answer to what they asked of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use meshproof_proto::id::{Name, PeerId, RunId};
use meshproof_proto::order::{ApiOrder, Authority, Guest};
use meshproof_proto::sync::Answer;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::crew::Caller;
use super::driver::Driver;
use super::limits;
use crate::plan::Plan;
use crate::plan::compiled::Service;

/// Where Testground's SDKs look for its sync service, where a service has all ports to itself.
const SYNC_PORT: u16 = 5050;

/// The API for programs of this service; none, where the run starts none.
pub(super) fn api(plan: &Plan, service: &Service, (run, scope): (&RunId, &Value)) -> Option<ApiOrder> {
    if service.processes.is_empty() {
        return None;
    }
    let has_groups = plan.services.iter().any(|service| service.member.is_some());
    let takes_part = |other: &&Service| if has_groups { other.member.is_some() } else { !other.processes.is_empty() };
    let members: Vec<Value> = plan
        .services
        .iter()
        .filter(takes_part)
        .map(|other| json!({ "name": other.name, "group": other.member.as_ref().map(|member| &member.group) }))
        .collect();
    let mut about = json!({ "run": run, "plan": plan.name, "test": Value::Null });
    if let Some(about) = about.as_object_mut() {
        about.extend(part(service, scope));
        about.insert("members".to_owned(), members.into());
    }
    let port = (service.member.is_some() && plan.network.is_some()).then_some(SYNC_PORT);
    Some(ApiOrder { about: about.to_string(), port })
}

/// What each of those is told who share that agent, of its own part.
pub(super) fn guests(plan: &Plan, agent: &Name, scope: &Value) -> Vec<Guest> {
    let guest = |guest: &Service| Guest {
        name: guest.name.clone(),
        about: Value::Object(part(guest, scope).collect()).to_string(),
    };
    plan.guests(agent).map(guest).collect()
}

/// Who a program is.
fn part(service: &Service, scope: &Value) -> impl Iterator<Item = (String, Value)> {
    let member = service.member.as_ref();
    let params = member.iter().flat_map(|member| &member.params);
    // they look up what is known by now, which was seen to when the plan was checked
    let params: BTreeMap<&str, String> =
        params.map(|(name, value)| (name.as_str(), value.render(scope).unwrap_or_default())).collect();
    let part = [
        ("name", json!(service.name)),
        ("group", json!(member.map(|member| &member.group))),
        ("number", json!(member.map(|member| member.number))),
        ("group-members", json!(member.map(|member| member.of))),
        ("params", json!(params)),
    ];
    part.into_iter().map(|(key, value)| (key.to_owned(), value))
}

/// Answers on their way to the programs of each agent, one message after the other. What was for those of an instance that is gone is for
/// nobody.
#[derive(Debug, Default)]
pub(super) struct Answering(BTreeMap<Name, (PeerId, mpsc::Sender<Vec<Answer>>)>);

impl Driver {
    /// After those that were given before to this agent.
    pub(super) async fn answer_programs(&mut self, agent: Name, answers: Vec<Answer>) {
        let (Some(caller), Some(holder)) = (self.crew.caller(&agent), self.crew.holder(&agent)) else { return };
        let authority = self.authority.clone();
        let begin = || {
            let (send, receive) = mpsc::channel(limits::ANSWERS);
            tokio::spawn(pass_on(caller, authority, receive));
            (holder, send)
        };
        let sender = match self.answering.0.entry(agent) {
            Entry::Vacant(vacant) => vacant.insert(begin()),
            Entry::Occupied(occupied) => {
                let sender = occupied.into_mut();
                if sender.0 != holder {
                    *sender = begin();
                }
                sender
            }
        };
        // one that is slow for so long slows the run down
        let _ = sender.1.send(answers).await;
    }
}

async fn pass_on(caller: Caller, authority: Authority, mut answers: mpsc::Receiver<Vec<Answer>>) {
    let mut all = Vec::new();
    while let Some(first) = answers.recv().await {
        all.extend(first);
        // what has gathered meanwhile is one message
        while all.len() < limits::ANSWERS_TOLD
            && let Ok(more) = answers.try_recv()
        {
            all.extend(more);
        }
        let answers = std::mem::take(&mut all);
        let told = caller.call(|client, context| {
            let (authority, answers) = (authority.clone(), answers.clone());
            async move { client.answer_programs(context, authority, answers).await }
        });
        // an agent that is gone takes its programs' connections with it
        if let Err(error) = told.await {
            tracing::debug!(%error, "programs were not answered");
        }
    }
}
