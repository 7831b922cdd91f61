//! What the API server has of our objects, kept up to date by watches, so that looking costs no calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use kube::api::{Api, DynamicObject};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::mpsc;

use super::world::SharedSightings;
use crate::clock::Clock;
use crate::kinds::{MeshPool, MeshRun};
use crate::limits;
use crate::objects::{Kind, MANAGED_BY, OPERATOR, POOL, RUN_NAME, RUN_NAMESPACE, RUN_UID, ZONE};

type Events = Pin<Box<dyn Stream<Item = (Kind, DynamicObject)> + Send>>;

/// All objects with our label, of all kinds.
#[derive(Clone, Debug)]
pub struct Caches(Arc<BTreeMap<Kind, Store<DynamicObject>>>);

/// What has to be looked at because something of it changed.
pub struct Notices {
    pub pools: mpsc::Receiver<ObjectRef<MeshPool>>,
    pub runs: mpsc::Receiver<ObjectRef<MeshRun>>,
}

/// Keeps the caches up to date, and says what changed.
pub struct Keeping {
    events: Events,
    pools: mpsc::Sender<ObjectRef<MeshPool>>,
    runs: mpsc::Sender<ObjectRef<MeshRun>>,
    sightings: SharedSightings,
    clock: Clock,
}

/// Makes the caches. They fill while [`Keeping::run`] runs.
pub fn caches(client: &Client, sightings: &SharedSightings, clock: Clock) -> (Caches, Notices, Keeping) {
    let (mut stores, mut events): (BTreeMap<_, _>, Vec<Events>) = (BTreeMap::new(), Vec::new());
    for kind in Kind::ALL {
        let writer = Writer::new(kind.resource());
        stores.insert(kind, writer.as_reader());
        events.push(watch(client, kind, writer, (Arc::clone(sightings), clock)));
    }
    let (pools, of_pools) = mpsc::channel(limits::NOTICES);
    let (runs, of_runs) = mpsc::channel(limits::NOTICES);
    let events = stream::select_all(events).boxed();
    let keeping = Keeping { events, pools, runs, sightings: Arc::clone(sightings), clock };
    (Caches(Arc::new(stores)), Notices { pools: of_pools, runs: of_runs }, keeping)
}

fn watch(client: &Client, kind: Kind, writer: Writer<DynamicObject>, seen: (SharedSightings, Clock)) -> Events {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
    let watched = watcher(api, ours).default_backoff().modify(|object| object.managed_fields_mut().clear());
    let (sightings, clock) = seen;
    let watched = watched.inspect(move |event| {
        let mut sightings = sightings.lock().expect("nobody panics with it");
        match event {
            // only that a list is asked for
            Ok(watcher::Event::Init) => {}
            Ok(_) if kind == Kind::Lease => sightings.told(clock.now()),
            Err(_) if kind == Kind::Lease => sightings.blind(clock.now()),
            Ok(_) | Err(_) => {}
        }
    });
    let changes = reflector(writer, watched).touched_objects();
    let told = changes.filter_map(move |change| async move {
        match change {
            Ok(object) => Some((kind, object)),
            Err(error) => {
                // also where a right is missing, without which nothing is ever decided
                tracing::warn!(kind = kind.name(), %error, "a watch broke off and is made again");
                None
            }
        }
    });
    told.boxed()
}

impl Keeping {
    /// For as long as it is wanted.
    pub async fn run(mut self) {
        while let Some((kind, object)) = self.events.next().await {
            let label = |name: &str| object.labels().get(name).map(String::as_str).unwrap_or_default();
            let namespace = object.namespace().unwrap_or_default();
            if !label(RUN_UID).is_empty() && kind != Kind::Lease {
                let run = ObjectRef::new(label(RUN_NAME)).within(label(RUN_NAMESPACE));
                let _ = self.runs.send(run).await;
            }
            if !label(POOL).is_empty() && self.is_news(kind, &object) {
                let _ = self.pools.send(ObjectRef::new(label(POOL)).within(&namespace)).await;
            }
        }
    }

    /// A zone's Lease that is renewed as always is none; the pool's next look is timed by its end.
    fn is_news(&self, kind: Kind, object: &DynamicObject) -> bool {
        let Some(zone) = object.labels().get(ZONE).filter(|_| kind == Kind::Lease) else { return true };
        let Some(renewed) = object.data["spec"]["renewTime"].as_str() else { return true };
        let Some(owner) = object.metadata.owner_references.as_ref().and_then(|owners| owners.first()) else {
            return true;
        };
        let (what, now) = (format!("{}/renewed/{zone}", owner.uid), self.clock.now());
        let mut sightings = self.sightings.lock().expect("nobody panics with it");
        let before = sightings.known(&what);
        sightings.note(what, renewed.to_owned(), now);
        before.is_none_or(|before| now > before + limits::REPORTER_PATIENCE)
    }
}

impl Caches {
    /// When each kind was listed once.
    pub async fn are_full(&self) {
        for store in self.0.values() {
            // its writer lives in `Keeping`, and who waits here runs that, too
            let _ = store.wait_until_ready().await;
        }
    }

    fn all(&self, is_one: impl Fn(&DynamicObject) -> bool) -> Vec<(Kind, Value)> {
        let of_kind = |(kind, store): (&Kind, &Store<DynamicObject>)| {
            let kind = *kind;
            let found = store.state_filter(|object| is_one(object));
            found.into_iter().filter_map(move |object| Some((kind, written(kind, &object)?))).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_kind).collect()
    }

    /// With the pool's label, in its namespace.
    pub fn of_pool(&self, namespace: &str, pool: &str) -> Vec<(Kind, Value)> {
        self.all(|object| {
            object.labels().get(POOL).is_some_and(|label| label == pool)
                && object.metadata.namespace.as_deref() == Some(namespace)
        })
    }

    /// With the run's label.
    pub fn of_run(&self, uid: &str) -> Vec<(Kind, Value)> {
        self.all(|object| object.labels().get(RUN_UID).is_some_and(|label| label == uid))
    }

    /// Namespaces that were made for runs: name, UID of the run, and its place.
    pub fn namespaces(&self) -> Vec<(String, String, ObjectRef<MeshRun>)> {
        let namespaces = self.0[&Kind::Namespace].state_filter(|object| object.labels().contains_key(RUN_UID));
        let of_run = namespaces.into_iter().map(|object| {
            let label = |name: &str| object.labels().get(name).cloned().unwrap_or_default();
            let run = ObjectRef::new(&label(RUN_NAME)).within(&label(RUN_NAMESPACE));
            (object.name_any(), label(RUN_UID), run)
        });
        of_run.collect()
    }
}

/// As JSON, with its kind, which lists leave out.
fn written(kind: Kind, object: &DynamicObject) -> Option<Value> {
    let mut value = serde_json::to_value(object).ok()?;
    let resource = kind.resource();
    value["apiVersion"] = Value::from(resource.api_version);
    value["kind"] = Value::from(resource.kind);
    Some(value)
}
