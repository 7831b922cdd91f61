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
use tokio::sync::{mpsc, watch};

use super::world::SharedSightings;
use crate::clock::Clock;
use crate::kinds::{MeshPool, MeshRun};
use crate::limits;
use crate::objects::{Kind, MANAGED_BY, OPERATOR, POOL, RUN_NAME, RUN_NAMESPACE, RUN_UID, ZONE};

type Events = Pin<Box<dyn Stream<Item = (Kind, DynamicObject)> + Send>>;

/// All objects with our label, of all kinds.
#[derive(Clone, Debug)]
pub struct Caches {
    stores: Stores,
    /// Whether each kind was listed once.
    full: watch::Receiver<bool>,
}

type Stores = Arc<BTreeMap<Kind, Store<DynamicObject>>>;

/// What has to be looked at because something of it changed.
pub struct Notices {
    pub pools: mpsc::Receiver<ObjectRef<MeshPool>>,
    pub runs: mpsc::Receiver<ObjectRef<MeshRun>>,
}

/// Keeps the caches up to date, and says what changed.
pub struct Keeping {
    events: Events,
    stores: Stores,
    full: watch::Sender<bool>,
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
        events.push(watched(client, kind, writer, (Arc::clone(sightings), clock)));
    }
    let (pools, of_pools) = mpsc::channel(limits::NOTICES);
    let (runs, of_runs) = mpsc::channel(limits::NOTICES);
    let events = stream::select_all(events).boxed();
    let (stores, (full, is_full)) = (Arc::new(stores), watch::channel(false));
    let sightings = Arc::clone(sightings);
    let keeping = Keeping { events, stores: Arc::clone(&stores), full, pools, runs, sightings, clock };
    (Caches { stores, full: is_full }, Notices { pools: of_pools, runs: of_runs }, keeping)
}

fn watched(client: &Client, kind: Kind, writer: Writer<DynamicObject>, seen: (SharedSightings, Clock)) -> Events {
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
        let (stores, full) = (Arc::clone(&self.stores), self.full.clone());
        tokio::join!(fill(stores, full), self.tell());
    }

    async fn tell(&mut self) {
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

/// The one who waits for the stores themselves: of several, kube 5 wakes the last that asked (`DelayedInit` keeps one waker), and the
/// others would wait for ever.
async fn fill(stores: Stores, full: watch::Sender<bool>) {
    for store in stores.values() {
        // its writer lives as long as this
        let _ = store.wait_until_ready().await;
    }
    full.send_replace(true);
}

impl Caches {
    /// When each kind was listed once.
    pub async fn are_full(&self) {
        // its sender lives in `Keeping`, and who waits here runs that, too
        let _ = self.full.clone().wait_for(|full| *full).await;
    }

    fn all(&self, is_one: impl Fn(&DynamicObject) -> bool) -> Vec<(Kind, Value)> {
        let of_kind = |(kind, store): (&Kind, &Store<DynamicObject>)| {
            let kind = *kind;
            let found = store.state_filter(|object| is_one(object));
            found.into_iter().filter_map(move |object| Some((kind, written(kind, &object)?))).collect::<Vec<_>>()
        };
        self.stores.iter().flat_map(of_kind).collect()
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
        let namespaces = self.stores[&Kind::Namespace].state_filter(|object| object.labels().contains_key(RUN_UID));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_the_caches_go_on_once_they_are_full() {
        let mut writer = Writer::new(Kind::Lease.resource());
        let stores: Stores = Arc::new([(Kind::Lease, writer.as_reader())].into());
        let (full, is_full) = watch::channel(false);
        let caches = Caches { stores: Arc::clone(&stores), full: is_full };
        let wait = |caches: Caches| tokio::spawn(async move { caches.are_full().await });
        let waiting: Vec<_> = (0..3).map(|_| wait(caches.clone())).collect();
        let filling = tokio::spawn(fill(stores, full));
        // each of them waits by now
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|one| !one.is_finished()));
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        for one in waiting {
            timeout(Duration::from_secs(5), one).await.expect("all of them are woken").expect("it does not panic");
        }
        filling.await.expect("it does not panic");
    }
}
