//! Everything that a scenario needs: a cluster, operators, reporters, and ways to wait for what should come.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use kube::api::{Api, PostParams};
use meshproof_operator::clock::Clock;
use meshproof_operator::controller::{Figures, Options, operate};
use meshproof_operator::kinds::{
    Failover, Ice, KeyOf, Mesh, MeshPool, MeshPoolSpec, MeshRun, MeshRunSpec, Mode, Orchestrator, Template, Zone,
    ZoneRole,
};
use meshproof_operator::pool::Settings;
use meshproof_operator::reporter::{self, Answer, report};
use meshproof_operator::run::Account;
use meshproof_proto::identity::{Grant, Key, Role, Token, UnixSeconds};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::{Cluster, NAMESPACES, PODS};
use crate::fake::{Fake, Id};

pub const POOLS: (&str, &str) = ("meshproof.dev", "meshpools");
pub const RUNS: (&str, &str) = ("meshproof.dev", "meshruns");
pub const LEASES: (&str, &str) = ("coordination.k8s.io", "leases");

/// One operator, of two.
pub struct Operator {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    /// Its node is gone: not a word more.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// SIGTERM.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let _ = self.stop.take().expect("it was not stopped").send(());
        self.ended().await
    }

    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await.expect("it does not panic")
    }
}

pub struct Stage {
    pub fake: Fake,
    pub cluster: Cluster,
    /// The operators' account, and the role of runs that they bind to it.
    account: Option<Account>,
    _running: Vec<AbortOnDropHandle<()>>,
}

impl Stage {
    /// A cluster with the namespaces `team` and `meshproof`, and what pools and runs need in the first.
    pub fn new() -> Self {
        let fake = Fake::start();
        let cluster = Cluster::new(&fake);
        let running = vec![AbortOnDropHandle::new(tokio::spawn(cluster.clone().run()))];
        for namespace in ["team", "meshproof", "default"] {
            let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {} });
            put(&fake, &Id::new(NAMESPACES, "", namespace), object);
        }
        let secret = |name: &str, key: &str, text: &str| {
            let data = json!({ key: BASE64.encode(text.as_bytes()) });
            let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": data });
            put(&fake, &Id::new(("", "secrets"), "team", name), object);
        };
        secret("agents", "token", "mpt1-agents");
        secret("zones", "token", &zone_token().to_text());
        secret("mesh", "mesh.toml", "[mesh]");
        let plan =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": { "plan.yaml": "meshproof: 1" } });
        put(&fake, &Id::new(("", "configmaps"), "team", "plan"), plan);
        Self { fake, cluster, account: None, _running: running }
    }

    /// Operators and reporters are held to these roles and bindings from now on.
    pub fn with_rights(mut self, objects: &[Value]) -> Self {
        let operator = "meshproof-operator";
        for object in objects {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
            let resource = ("rbac.authorization.k8s.io", format!("{}s", kind.to_lowercase()));
            let id = Id::new((resource.0, &resource.1), &text(&metadata["namespace"]), &text(&metadata["name"]));
            let namespace = Id::new(NAMESPACES, "", &id.namespace);
            if !id.namespace.is_empty() && self.fake.get(&namespace).is_none() {
                put(&self.fake, &namespace, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {} }));
            }
            put(&self.fake, &id, object.clone());
        }
        for who in ["operator-0", "operator-1"] {
            self.fake.is_account(who, "meshproof", operator);
        }
        for zone in ["a", "b"] {
            self.fake.is_account(&format!("reporter-{zone}"), "team", &format!("shop-{zone}-reporter"));
        }
        let (namespace, run_role) = ("meshproof".to_owned(), format!("{operator}-run"));
        self.account = Some(Account { namespace, name: operator.to_owned(), run_role });
        self
    }

    pub fn operator(&self, name: &str) -> Operator {
        let figures = Arc::new(Figures::new(Clock::start()));
        let settings = Settings { image: "meshproof-operator:test".to_owned() };
        let options =
            Options { namespace: "meshproof".to_owned(), me: name.to_owned(), settings, account: self.account.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        // a stage that was left is no signal
        let stopped = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let task = tokio::spawn(operate(self.fake.client(name), options, figures, stopped));
        Operator { stop: Some(stop), task }
    }

    /// The zone's reporter: it is where the zone is, and asks the agents that are there.
    pub fn reporter(&mut self, zone: &'static str) {
        let me = format!("reporter-{zone}");
        let options =
            reporter::Options { namespace: "team".to_owned(), lease: format!("shop-zone-{zone}"), me: me.clone() };
        let (client, cluster) = (self.fake.client(&me), self.cluster.clone());
        let ask = move || {
            let cluster = cluster.clone();
            async move {
                let links_down = if cluster.is_apart(zone) { 2 } else { 0 };
                let answer = || Ok(Answer { signaling_up: 1, links_down, ..Answer::default() });
                match cluster.is_lost(zone) {
                    true => vec![Err("its node is gone".to_owned())],
                    false => cluster.ready_pods(zone, "agent").iter().map(|_| answer()).collect(),
                }
            }
        };
        self._running.push(AbortOnDropHandle::new(tokio::spawn(report(client, options, ask))));
    }

    pub async fn create_pool(&self, pool: &MeshPool) {
        let api: Api<MeshPool> = Api::namespaced(self.fake.client("person"), "team");
        api.create(&PostParams::default(), pool).await.expect("a pool");
    }

    pub async fn create_run(&self, run: &MeshRun) {
        let api: Api<MeshRun> = Api::namespaced(self.fake.client("person"), "team");
        api.create(&PostParams::default(), run).await.expect("a run");
    }

    pub fn pool(&self) -> Value {
        self.fake.get(&Id::new(POOLS, "team", "shop")).unwrap_or_default()
    }

    pub fn run(&self) -> Value {
        self.fake.get(&Id::new(RUNS, "team", "checkout")).unwrap_or_default()
    }

    /// The zone and the epoch of the one Lease that says so.
    pub fn active(&self) -> (String, i64) {
        let lease = self.fake.get(&Id::new(LEASES, "team", "shop-active")).unwrap_or_default();
        let zone = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        (zone, lease["spec"]["leaseTransitions"].as_i64().unwrap_or(-1) + 1)
    }

    pub fn ready(&self, zone: &str) -> usize {
        self.cluster.ready_pods(zone, "agent").len()
    }

    pub fn holds(&self, condition: &str) -> bool {
        let conditions = self.pool()["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|is| is["type"] == condition && is["status"] == "True")
    }

    /// Until it is so; how long that took.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        let mut looks = interval(Duration::from_millis(50));
        while !is_so(self) {
            looks.tick().await;
            assert!(began.elapsed() < Duration::from_secs(900), "{what}: not so after 900 s; pool {}", self.pool());
        }
        began.elapsed()
    }

    /// It stays so for that long.
    pub async fn stays(&self, what: &str, time: Duration, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        let mut looks = interval(Duration::from_millis(50));
        while began.elapsed() < time {
            assert!(is_so(self), "{what}: no longer so after {:?}", began.elapsed());
            looks.tick().await;
        }
    }

    pub fn delete_pod(&self, id: &Id) {
        let now = self.fake.now();
        self.fake.with(|store| store.delete(id, now).map(drop)).expect("it is there");
    }

    pub fn pods(&self) -> Vec<Id> {
        self.fake.with(|store| store.all().filter(|(id, _)| id.plural == PODS.1).map(|(id, _)| id.clone()).collect())
    }
}

pub fn put(fake: &Fake, id: &Id, object: Value) {
    let now = fake.now();
    fake.with(|store| store.create(id, object, now).map(drop)).expect("it is not there yet");
}

pub fn root() -> Key {
    Key::from_seed([1; 32])
}

fn zone_token() -> Token {
    Token::issue(&root(), [2; 32], |token| Grant {
        mesh: "dev".parse().expect("a name"),
        names: "*".to_owned(),
        role: Role::ZoneOperator,
        capabilities: [].into(),
        not_after: UnixSeconds(u64::MAX / 2),
        token,
    })
}

fn spec(zones: Vec<Zone>) -> MeshPoolSpec {
    let key = |name: &str| KeyOf { name: name.to_owned(), key: "token".to_owned() };
    let mesh =
        Mesh { token_secret_ref: key("agents"), zone_token_secret_ref: Some(key("zones")), signaling: Vec::new() };
    let template = Template {
        image: "meshproof-agent:test".to_owned(),
        resources: None,
        mode: Mode::Pod,
        agent_name: None,
        env: Vec::new(),
        containers: Vec::new(),
        labels: [].into(),
        image_pull_secrets: Vec::new(),
    };
    MeshPoolSpec { mesh, template, zones, failover: Failover::default(), ice: Ice::default() }
}

/// Three agents in zone a, one in zone b.
pub fn pool() -> MeshPool {
    MeshPool::new("shop", spec(vec![Zone::new("a", ZoneRole::Active, 3), Zone::new("b", ZoneRole::Standby, 1)]))
}

pub fn run() -> MeshRun {
    let key = |name: &str, key: &str| KeyOf { name: name.to_owned(), key: key.to_owned() };
    MeshRun::new(
        "checkout",
        MeshRunSpec {
            pool_template: spec(vec![Zone::new("a", ZoneRole::Active, 2)]),
            plan: key("plan", "plan.yaml"),
            orchestrator: Orchestrator {
                image: "meshproof:test".to_owned(),
                mesh_secret_ref: key("mesh", "mesh.toml"),
            },
            active_deadline_seconds: None,
            ttl_seconds_after_finished: Some(60),
            quota: None,
            abort: false,
        },
    )
}
