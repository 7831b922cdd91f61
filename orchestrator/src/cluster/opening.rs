//! From a plan to pods that are ready, and a way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::{Name, PeerId, RunId};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::allotted::allot;
use super::clean;
use super::forward::{Forward, NoWay};
use super::kubectl::KubectlError;
use super::limits::{LOOK_EVERY, READY_WITHIN, SECRET_BYTES, STUCK_WITHIN};
use super::manifests::{Described, EXPIRES, ORCHESTRATOR, Pod, RUN, SIGNALING, STATE, manifests};
use super::namespace::{Cluster, Stage, expires, label};
use super::pods::{State, states};
use super::{Wanted, limits};
use crate::beside;
use crate::run::{Launch, LaunchFile, Setting, launches};

/// What a run's pods are made with.
#[derive(Debug)]
pub struct Making<'m> {
    pub wanted: &'m Wanted,
    pub run: &'m RunId,
    pub plan_dir: &'m Path,
    /// The texts behind what services only name.
    pub held: &'m BTreeMap<String, String>,
    pub mesh: (&'m Name, PeerId),
    /// The token of each agent.
    pub tokens: BTreeMap<Name, String>,
}

/// There are no pods, or they are not ready.
#[derive(Debug, Error)]
pub enum NotMade {
    #[error("service `{service}` cannot be started: {why}")]
    Unset { service: Name, why: String },
    #[error("service `{service}` cannot be given its file {path}: {why}")]
    File { service: Name, path: String, why: String },
    #[error("the files of service `{service}` have {bytes} bytes, and a Secret takes {} at most", limits::SECRET_BYTES)]
    TooLarge { service: Name, bytes: usize },
    #[error(transparent)]
    Kubectl(#[from] KubectlError),
    #[error("not everything became ready in the namespace {namespace}: {why}")]
    NotReady { namespace: String, why: String, evidence: Vec<Evidence> },
    #[error(transparent)]
    Way(#[from] NoWay),
}

impl Cluster {
    /// Makes everything, waits until it is ready, and opens the way to signaling. What it waits for is told.
    ///
    /// # Errors
    /// The cluster refuses something of it, or it does not become ready.
    pub async fn make(&mut self, making: &Making<'_>, tell: &mut (dyn FnMut(String) + Send)) -> Result<(), NotMade> {
        let described = described(making, self.namespace())?;
        self.pods = described.pods.iter().map(|pod| (pod.service.clone(), pod.name.clone())).collect();
        let all: String = manifests(&described).iter().map(|object| format!("---\n{object}\n")).collect();
        tell(format!("makes the namespace {}", described.namespace));
        // nothing of it is there yet, so nothing is merged, and no Secret's content is copied into an annotation
        self.stage = Stage::Asked;
        self.evident.kubectl.told(&["create", "--filename=-"], &all).await?;
        self.stage = Stage::Made;
        let names: Vec<String> =
            [SIGNALING.to_owned()].into_iter().chain(self.pods.iter().map(|(_, pod)| pod.clone())).collect();
        self.ready(&names, tell).await?;
        self.forward = Some(Forward::open(&self.evident.kubectl, &described.namespace).await?);
        Ok(())
    }

    /// Looks until all are.
    async fn ready(&self, names: &[String], tell: &mut (dyn FnMut(String) + Send)) -> Result<(), NotMade> {
        let (namespace, given_up_at) = (format!("--namespace={}", self.namespace()), Instant::now() + READY_WITHIN);
        let (mut told, mut since, selector) = (BTreeMap::new(), BTreeMap::new(), format!("--selector={RUN}"));
        loop {
            let list = self.evident.kubectl.json(&["get", "pods", &namespace, &selector, "--output=json"]).await?;
            let states = states(&list, names);
            for (pod, state) in states.iter().filter(|(pod, state)| told.get(*pod) != Some(*state)) {
                match state {
                    State::Ready => tell(format!("pod {pod} is ready")),
                    State::Waiting(what) | State::Stuck(what) => tell(format!("pod {pod}: {what}")),
                    State::Lost(_) => {}
                }
                since.insert(pod.clone(), Instant::now());
            }
            if states.values().all(|state| *state == State::Ready) {
                return Ok(());
            }
            let for_long = |pod: &String| since.get(pod).map(Instant::elapsed).unwrap_or_default();
            if let Some((pod, why)) = states.iter().find_map(|(pod, state)| Some((pod, lost(state, for_long(pod))?))) {
                return Err(self.not_ready(std::slice::from_ref(pod), format!("pod {pod}: {why}")).await);
            }
            if Instant::now() >= given_up_at {
                let late = states.iter().filter(|(_, state)| **state != State::Ready).map(|(pod, _)| pod.clone());
                let late: Vec<String> = late.collect();
                let why = format!("within {} s not {}", READY_WITHIN.as_secs(), late.join(", "));
                return Err(self.not_ready(&late, why).await);
            }
            told = states;
            sleep(LOOK_EVERY).await;
        }
    }

    async fn not_ready(&self, pods: &[String], why: String) -> NotMade {
        let evidence = self.evident.of(pods).await;
        NotMade::NotReady { namespace: self.namespace().to_owned(), why, evidence }
    }
}

/// Why nobody waits for it any more.
fn lost(state: &State, for_long: Duration) -> Option<&String> {
    match state {
        State::Lost(why) => Some(why),
        State::Stuck(why) if for_long >= STUCK_WITHIN => Some(why),
        State::Ready | State::Waiting(_) | State::Stuck(_) => None,
    }
}

/// The run, as its manifests need it.
fn described(making: &Making<'_>, namespace: &str) -> Result<Described, NotMade> {
    let plan = &making.wanted.plan;
    let mut allotted = allot(plan);
    allotted.setting.held = making.held.clone();
    let setting: Setting = allotted.setting;
    let dir = making.plan_dir.to_string_lossy();
    let launches = launches(plan, (&dir, making.run), setting)
        .map_err(|(service, missing)| NotMade::Unset { service, why: missing.to_string() })?;
    let names = pods(plan.services.iter().map(|service| &service.name));
    let pods = plan.services.iter().zip(launches).map(|(service, launch)| {
        let name = service.name.clone();
        Ok(Pod {
            name: names.get(&name).cloned().unwrap_or_default(),
            template: making
                .wanted
                .templates
                .get(&name)
                .cloned()
                .ok_or_else(|| NotMade::Unset { service: name.clone(), why: "it has no template".to_owned() })?,
            image: service.image.as_ref().map(|image| image.value.clone()),
            token: making.tokens.get(&name).cloned().unwrap_or_default(),
            agent: allotted.agents.remove(&name).unwrap_or_default(),
            files: files(&launch, making.plan_dir)?,
            processes: launch.processes,
            variables: launch.env,
            service: name,
        })
    });
    let (mesh, root) = making.mesh;
    Ok(Described {
        pods: pods.collect::<Result<_, NotMade>>()?,
        namespace: namespace.to_owned(),
        run: making.run.0.clone(),
        plan: plan.name.clone(),
        mesh: mesh.clone(),
        root,
        agent_image: making.wanted.agent_image.clone(),
        signaling_image: making.wanted.signaling_image.clone(),
        annotations: BTreeMap::from([
            (STATE, "running".to_owned()),
            (EXPIRES, expires(making.wanted.keep)),
            (ORCHESTRATOR, clean::this_process()),
        ]),
    })
}

/// The pod of each service: as the service, if no other pod is called so.
fn pods<'n>(services: impl Iterator<Item = &'n Name>) -> BTreeMap<Name, String> {
    let mut taken = BTreeSet::from([SIGNALING.to_owned()]);
    let mut name = |service: &Name| {
        // some part of a pod's name is free for what is put behind it
        let plain: String = label(service.as_str()).chars().take(limits::NAME_CHARS).collect();
        let plain = if plain.is_empty() { "service".to_owned() } else { plain.trim_end_matches('-').to_owned() };
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let free = [plain.clone()].into_iter().chain(numbered).find(|name| taken.insert(name.clone()));
        free.unwrap_or(plain)
    };
    services.map(|service| (service.clone(), name(service))).collect()
}

fn files(launch: &Launch, plan_dir: &Path) -> Result<Vec<(String, Vec<u8>)>, NotMade> {
    let mut files = Vec::new();
    for (path, content) in &launch.files {
        let bytes = match content {
            LaunchFile::Text(text) => text.clone().into_bytes(),
            LaunchFile::CopyOf(from) => beside::read(&plan_dir.join(from)).map_err(|error| NotMade::File {
                service: launch.service.clone(),
                path: path.clone(),
                why: error.to_string(),
            })?,
        };
        files.push((path.clone(), bytes));
    }
    let bytes = files.iter().map(|(_, content)| content.len()).sum();
    match bytes > SECRET_BYTES {
        true => Err(NotMade::TooLarge { service: launch.service.clone(), bytes }),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_pod_of_its_own_whatever_it_is_called() {
        let names: Vec<Name> =
            ["shop", "Shop", "signaling", "a_b"].iter().map(|name| name.parse().expect("a name")).collect();
        let pods: BTreeSet<String> = pods(names.iter()).into_values().collect();
        assert_eq!(pods, ["shop", "shop-2", "signaling-2", "a-b"].map(str::to_owned).into());
    }
}
