//! One run, step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::kinds::{KeyOf, MeshRun, MeshRunSpec, Orchestrator, Phase, Verdict, Zone, ZoneRole};
use crate::objects::{Key, Kind, RUN_UID};
use crate::pool::tests::pool;

fn key_of(name: &str) -> KeyOf {
    KeyOf { name: name.to_owned(), key: name.to_owned() }
}

fn run() -> MeshRun {
    let spec = MeshRunSpec {
        pool_template: pool(vec![Zone::new("a", ZoneRole::Active, 2)]).spec,
        plan: key_of("plan.yaml"),
        orchestrator: Orchestrator { image: "meshproof:test".to_owned(), mesh_secret_ref: key_of("mesh.toml") },
        active_deadline_seconds: Some(600),
        ttl_seconds_after_finished: Some(3_600),
        quota: None,
        abort: false,
    };
    let mut run = MeshRun::new("checkout", spec);
    run.metadata.namespace = Some("team".to_owned());
    run.metadata.uid = Some("12345678-9abc".to_owned());
    run.metadata.generation = Some(1);
    run
}

/// What is there, and a clock.
struct World {
    run: MeshRun,
    objects: BTreeMap<Key, Value>,
    pods: Vec<Value>,
    sources: Vec<&'static str>,
    now: Timestamp,
    is_deleted: bool,
}

impl World {
    fn new() -> Self {
        Self {
            run: run(),
            objects: BTreeMap::new(),
            pods: Vec::new(),
            sources: vec!["plan.yaml", "token", "mesh.toml"],
            now: Timestamp::from_second(1_800_000_000).expect("a time"),
            is_deleted: false,
        }
    }

    fn plan(&self) -> Plan {
        let needed = needed(&self.run, &self.objects).into_iter();
        let read = needed.map(|key| {
            let source = self.sources.contains(&key.name.as_str()).then(|| json!({ "data": { "x": "y" } }));
            (key, source)
        });
        let objects = self.objects.iter().map(|(key, object)| (key.kind, object.clone()));
        let pods = self.pods.iter().map(|pod| (Kind::Pod, pod.clone()));
        let observed = observe(&self.run, objects.chain(pods).collect(), read.collect());
        plan(&self.run, &observed, None, self.now)
    }

    fn step(&mut self) -> Plan {
        self.now += Duration::from_secs(1);
        let plan = self.plan();
        for action in &plan.actions {
            match action {
                Action::Apply(object) => {
                    self.objects.insert(object.key.clone(), object.body.clone());
                }
                Action::Delete(key) => {
                    self.objects.remove(key);
                }
                Action::DeleteRun => self.is_deleted = true,
            }
        }
        self.run.status = Some(plan.status.clone());
        plan
    }

    fn of(&mut self, kind: Kind) -> Option<&mut Value> {
        self.objects.iter_mut().find(|(key, _)| key.kind == kind).map(|(_, object)| object)
    }

    fn pool_is_ready(&mut self) {
        let pool = self.of(Kind::MeshPool).expect("it was made");
        let zones = json!([{ "name": "a", "desired": 2, "ready": 2, "lease": "Live" }]);
        let conditions = json!([{ "type": "Ready", "status": "True" }]);
        pool["status"] = json!({ "zones": zones, "conditions": conditions, "observedGeneration": null });
    }

    fn job_ends(&mut self, type_: &str, code: Option<i64>) {
        let conditions = json!([{ "type": type_, "status": "True", "message": "its pod is gone" }]);
        self.of(Kind::Job).expect("it was made")["status"] = json!({ "conditions": conditions });
        if let Some(code) = code {
            let labels = json!({ "app.kubernetes.io/component": "orchestrator", RUN_UID: "12345678-9abc" });
            let statuses = json!([{ "state": { "terminated": { "exitCode": code } } }]);
            let metadata = json!({ "name": "orchestrator-x", "labels": labels });
            self.pods.push(json!({ "metadata": metadata, "status": { "containerStatuses": statuses } }));
        }
    }

    fn status(&self) -> crate::kinds::MeshRunStatus {
        self.run.status.clone().unwrap_or_default()
    }

    /// To the moment at which the orchestrator is at work.
    fn running() -> Self {
        let mut world = Self::new();
        world.step();
        world.pool_is_ready();
        world.step();
        world.step();
        assert_eq!(world.status().phase, Phase::Running);
        world
    }
}

#[test]
fn the_namespace_comes_first_and_the_orchestrator_when_its_agents_are_ready() {
    let mut world = World::new();
    let plan = world.step();
    let Some(Action::Apply(first)) = plan.actions.first() else { panic!("{:?}", plan.actions) };
    assert_eq!(first.key.name, "mesh-run-checkout-12345678");
    assert_eq!(first.body["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    for kind in
        [Kind::ResourceQuota, Kind::LimitRange, Kind::NetworkPolicy, Kind::Secret, Kind::ConfigMap, Kind::MeshPool]
    {
        assert!(world.of(kind).is_some(), "{kind:?}");
    }
    assert!(world.of(Kind::Job).is_none(), "its agents are not ready");
    assert_eq!(world.status().phase, Phase::Preparing);
    assert_eq!(world.step().actions, Vec::new(), "there is nothing to do but to wait");
    world.pool_is_ready();
    world.step();
    assert!(world.of(Kind::Job).is_some());
    assert_eq!(world.step().actions, Vec::new());
    assert_eq!(world.status().phase, Phase::Running);
    assert_eq!(world.status().agents.ready, 2);
}

#[test]
fn everything_of_a_run_has_its_uid_and_is_in_its_namespace() {
    let mut world = World::running();
    for (key, object) in &world.objects {
        assert_eq!(object["metadata"]["labels"][RUN_UID], "12345678-9abc", "{key}");
        assert!(key.namespace == "mesh-run-checkout-12345678" || key.kind == Kind::Namespace, "{key}");
    }
    assert!(world.step().actions.is_empty());
}

#[test]
fn exit_codes_are_verdicts_and_what_did_not_pass_is_kept_to_be_looked_at() {
    for (code, verdict, is_kept) in
        [(0, Verdict::Pass, false), (1, Verdict::Fail, true), (5, Verdict::Error, true), (9, Verdict::Fail, true)]
    {
        let mut world = World::running();
        world.job_ends(if code == 0 { "Complete" } else { "Failed" }, Some(code));
        world.step();
        assert_eq!((world.status().phase, world.status().verdict), (Phase::Finished, Some(verdict)));
        assert_eq!(world.status().report.as_deref(), Some("log of pod mesh-run-checkout-12345678/orchestrator-x"));
        assert_eq!(world.of(Kind::MeshPool).is_some(), is_kept, "exit code {code}");
        assert!(world.step().actions.is_empty());
    }
}

#[test]
fn a_run_whose_orchestrator_went_away_is_unknown_and_never_begun_again() {
    let mut world = World::running();
    world.objects.retain(|key, _| key.kind != Kind::Job);
    world.step();
    assert_eq!((world.status().phase, world.status().verdict), (Phase::Failed, Some(Verdict::Unknown)));
    assert!(world.step().actions.is_empty());
    let mut world = World::running();
    world.job_ends("Failed", None);
    world.step();
    assert_eq!((world.status().phase, world.status().verdict), (Phase::Failed, Some(Verdict::Unknown)));
    assert!(world.step().actions.is_empty());
}

#[test]
fn a_run_without_its_secrets_waits_for_them_and_says_which() {
    let mut world = World::new();
    world.sources = vec!["plan.yaml", "mesh.toml"];
    let plan = world.step();
    assert_eq!(plan.actions, Vec::new());
    assert_eq!(world.status().phase, Phase::Pending);
    assert_eq!(world.status().conditions[0].message, "not there: Secret token");
    world.sources.push("token");
    world.step();
    assert_eq!(world.status().phase, Phase::Preparing);
}

#[test]
fn abort_and_deadline_end_what_goes_on_and_leave_the_namespace() {
    let mut aborted = World::running();
    aborted.run.spec.abort = true;
    let mut late = World::running();
    late.now += Duration::from_secs(601);
    for (mut world, phase, reason) in [(aborted, Phase::Aborted, "Aborted"), (late, Phase::Failed, "DeadlineExceeded")]
    {
        world.step();
        assert_eq!((world.status().phase, world.status().conditions[0].reason.as_str()), (phase, reason));
        assert!(world.of(Kind::Job).is_none() && world.of(Kind::MeshPool).is_none());
        assert!(world.of(Kind::Namespace).is_some());
        assert!(world.step().actions.is_empty());
        assert_eq!(world.status().conditions[0].reason, reason, "what was said stays said");
    }
}

#[test]
fn a_run_is_deleted_when_its_time_to_live_is_over_and_not_before() {
    let mut world = World::running();
    world.job_ends("Complete", Some(0));
    let plan = world.step();
    assert!(plan.look_again > Duration::from_secs(200), "{:?}", plan.look_again);
    world.now += Duration::from_secs(3_597);
    let plan = world.step();
    assert!(!world.is_deleted && plan.look_again <= Duration::from_secs(2), "{:?}", plan.look_again);
    world.now += Duration::from_secs(2);
    world.step();
    assert!(world.is_deleted);
    let mut forever = World::running();
    forever.run.spec.ttl_seconds_after_finished = None;
    forever.job_ends("Complete", Some(0));
    forever.step();
    forever.now += Duration::from_secs(1_000_000);
    forever.step();
    assert!(!forever.is_deleted);
}

#[test]
fn a_namespace_that_somebody_deletes_ends_the_run_and_is_not_made_again() {
    let mut world = World::running();
    world.of(Kind::Namespace).expect("it is there")["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert_eq!(world.step().actions, Vec::new());
    assert_eq!((world.status().phase, world.status().verdict), (Phase::Failed, Some(Verdict::Unknown)));
}

#[test]
fn every_object_of_a_run_is_of_the_apis_types() {
    let mut run = run();
    run.spec.quota =
        Some([("pods".to_owned(), k8s_openapi::apimachinery::pkg::api::resource::Quantity("9".to_owned()))].into());
    run.spec.pool_template.mesh.signaling =
        vec!["wss://signaling/mesh".to_owned(), "ws://10.0.0.1:7070/mesh".to_owned()];
    let account = Account {
        namespace: "meshproof".to_owned(),
        name: "operator".to_owned(),
        run_role: "meshproof-run".to_owned(),
    };
    let sources = needed(&run, &BTreeMap::new()).into_iter().map(|key| (key, Some(json!({ "data": { "x": "eA==" } }))));
    let mut objects = desired::fence(&run, Some(&account));
    objects.extend(desired::copies(&run, &sources.collect()));
    objects.extend([desired::pool(&run), desired::job(&run)]);
    assert_eq!(objects.len(), 10);
    objects.iter().for_each(crate::objects::typed::check);
}
