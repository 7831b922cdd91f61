//! The pipeline of MeshPools.

use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action as Next, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource as _, ResourceExt as _};
use meshproof_proto::epoch::{Epoch, EpochNotice};
use meshproof_proto::identity::Token;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::world::World;
use crate::kinds::{KeyOf, MeshPool};
use crate::limits;
use crate::objects::{ACTIVATE, Key, Kind, OPERATOR};
use crate::pool::{self, Action};

/// Until it is dropped.
pub async fn run(world: Arc<World>, notices: mpsc::Receiver<ObjectRef<MeshPool>>) {
    let pools: Api<MeshPool> = Api::all(world.kube.client());
    let controller = Controller::new(pools, watcher::Config::default());
    world.figures.watch(controller.store());
    let told = futures::stream::unfold(notices, |mut notices| async { Some((notices.recv().await?, notices)) });
    let looks = controller
        .with_config(Config::default().concurrency(limits::AT_ONCE))
        .reconcile_on(told)
        .run(look, failed, world);
    looks.for_each(|_| std::future::ready(())).await;
}

async fn look(pool: Arc<MeshPool>, world: Arc<World>) -> Result<Next, Failure> {
    // what is not in them before they are full may be there all the same
    world.caches.are_full().await;
    world.figures.looked("MeshPool");
    let uid = pool.uid().unwrap_or_default();
    if pool.metadata.deletion_timestamp.is_some() {
        // its objects are its own and go with it
        world.sightings.lock().expect("nobody panics with it").forget(&uid);
        return Ok(Next::await_change());
    }
    let mut objects = world.caches.of_pool(&pool.namespace().unwrap_or_default(), &pool.name_any());
    objects.retain(|(kind, object)| *kind != Kind::Pod || !world.was_deleted(object));
    let now = world.clock.now();
    let observed = {
        let mut sightings = world.sightings.lock().expect("nobody panics with it");
        pool::observe(&pool, objects, &mut sightings, now)
    };
    let plan = pool::plan(&pool, &observed, &world.settings, now);
    let mut untold = None;
    for action in &plan.actions {
        match act(&world, &pool, action).await {
            // a mesh that is not told goes on, and it is tried again
            Err(failure) if matches!(action, Action::Tell { .. }) => untold = Some(failure),
            other => other?,
        }
    }
    if plan.status != observed.status {
        let status = serde_json::to_value(&plan.status).unwrap_or_default();
        world.kube.status(("MeshPool", &pool.namespace().unwrap_or_default(), &pool.name_any()), status).await?;
    }
    world.figures.happened(&plan.happened);
    world.tell(&pool.object_ref(&()), &plan.happened).await;
    if let Some(failure) = untold {
        return Err(failure);
    }
    world.retries.succeeded(&uid);
    Ok(Next::requeue(plan.look_again))
}

fn failed(pool: Arc<MeshPool>, failure: &Failure, world: Arc<World>) -> Next {
    let wait = world.retries.failed(&pool.uid().unwrap_or_default(), failure);
    if failure.is_conflict() {
        tracing::debug!(pool = pool.name_any(), namespace = pool.namespace(), "{failure}");
        return Next::requeue(wait);
    }
    world.figures.failed("MeshPool");
    tracing::warn!(pool = pool.name_any(), namespace = pool.namespace(), ?wait, "{failure}");
    Next::requeue(wait)
}

async fn act(world: &World, pool: &MeshPool, action: &Action) -> Result<(), Failure> {
    let kube = &world.kube;
    let namespace = pool.namespace().unwrap_or_default();
    match action {
        Action::Activate { zone, transitions, seen } => {
            let lease = pool::active_lease(pool, (zone, *transitions), seen.as_deref(), world.clock.now());
            kube.replace(&lease).await
        }
        Action::Tell { epoch, zone } => tell(world, pool, (*epoch, zone)).await,
        Action::Apply(object) => kube.apply(object).await,
        Action::Delete(key) => kube.delete(key, None).await,
        Action::ClearLease { key, seen } => {
            let metadata = json!({ "resourceVersion": seen });
            let spec = json!({ "renewTime": null, "holderIdentity": null });
            kube.merge(key, &json!({ "metadata": metadata, "spec": spec })).await
        }
        Action::ForgetAsked => {
            let key = Key { kind: Kind::MeshPool, namespace, name: pool.name_any() };
            kube.merge(&key, &json!({ "metadata": { "annotations": { ACTIVATE: null } } })).await
        }
        Action::DeletePod { name, uid } => {
            let key = Key { kind: Kind::Pod, namespace, name: name.clone() };
            kube.delete(&key, Some(uid)).await?;
            world.deleted(uid);
            Ok(())
        }
    }
}

/// Signs the epoch with the zone operator's token and puts it where signaling finds it.
async fn tell(world: &World, pool: &MeshPool, epoch: (i64, &str)) -> Result<(), Failure> {
    let Some(of) = &pool.spec.mesh.zone_token_secret_ref else { return Ok(()) };
    let token = token(world, pool, of).await?;
    let unusable = |why: String| Failure::Unusable { what: format!("epoch of pool {}", pool.name_any()), why };
    let name = |text: &str| text.parse().map_err(|error: meshproof_proto::id::BadName| unusable(error.to_string()));
    let (number, zone) = epoch;
    let epoch_said = Epoch {
        mesh: token.mesh().map_err(|error| unusable(error.to_string()))?,
        pool: name(&pool.name_any())?,
        number: u64::try_from(number).map_err(|error| unusable(error.to_string()))?,
        zone: name(zone)?,
    };
    let notice = EpochNotice::sign(&token, &name(OPERATOR)?, &epoch_said);
    world.kube.apply(&pool::notice(pool, &notice, epoch)).await
}

async fn token(world: &World, pool: &MeshPool, of: &KeyOf) -> Result<Token, Failure> {
    let key = Key { kind: Kind::Secret, namespace: pool.namespace().unwrap_or_default(), name: of.name.clone() };
    let unusable = |why: &str| Failure::Unusable { what: format!("{key}, key {}", of.key), why: why.to_owned() };
    let secret = world.kube.get(&key).await?.ok_or_else(|| unusable("it is not there"))?;
    let text = decoded(&secret["data"][&of.key]).ok_or_else(|| unusable("it has no such key"))?;
    Token::from_text(&text).map_err(|error| unusable(&error.to_string()))
}

/// A Secret's data are base64.
fn decoded(value: &Value) -> Option<String> {
    let bytes = data_encoding::BASE64.decode(value.as_str()?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}
