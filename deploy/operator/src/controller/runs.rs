//! The pipeline of MeshRuns, and the sweep for namespaces whose run is gone.
//!
//! A namespaced object cannot own a namespace, so Kubernetes does not delete a run's namespace with it. A finalizer does, which
//! keeps the run until its namespace is gone; and what escapes it (somebody took the finalizer away) is found by the sweep.

use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action as Next, Config, Controller};
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::failure::{Failure, is};
use super::world::World;
use crate::kinds::MeshRun;
use crate::limits;
use crate::objects::{Key, Kind, RUN_UID, label};
use crate::run::{self, Action};

const FINALIZER: &str = "meshproof.dev/run-namespace";

/// Until it is dropped.
pub async fn run(world: Arc<World>, notices: mpsc::Receiver<ObjectRef<MeshRun>>) {
    let runs: Api<MeshRun> = Api::all(world.kube.client());
    let told = futures::stream::unfold(notices, |mut notices| async { Some((notices.recv().await?, notices)) });
    let looks = Controller::new(runs, watcher::Config::default())
        .with_config(Config::default().concurrency(limits::AT_ONCE))
        .reconcile_on(told)
        .run(look, failed, world);
    looks.for_each(|_| std::future::ready(())).await;
}

async fn look(run: Arc<MeshRun>, world: Arc<World>) -> Result<Next, Failure> {
    world.caches.are_full().await;
    world.figures.looked("MeshRun");
    let api: Api<MeshRun> = Api::namespaced(world.kube.client(), &run.namespace().unwrap_or_default());
    let uid = run.uid().unwrap_or_default();
    let looked = finalizer(&api, FINALIZER, run, |event| async {
        match event {
            Event::Apply(run) => go_on(&world, &run).await,
            Event::Cleanup(run) => clean_up(&world, &run).await,
        }
    });
    let next = looked.await.map_err(|error| match error {
        FinalizerError::ApplyFailed(failure) | FinalizerError::CleanupFailed(failure) => failure,
        // somebody else changed the object meanwhile, or it is gone
        FinalizerError::AddFinalizer(error) | FinalizerError::RemoveFinalizer(error) => {
            Failure::api("finalizer of a run", error)
        }
        other => Failure::Finalizer(other.to_string()),
    })?;
    world.retries.succeeded(&uid);
    Ok(next)
}

async fn go_on(world: &World, run: &MeshRun) -> Result<Next, Failure> {
    let objects = world.caches.of_run(&run.uid().unwrap_or_default());
    let known = run::observe(run, objects.clone(), Default::default());
    let mut sources = std::collections::BTreeMap::new();
    if !known.status.phase.is_over() {
        for key in run::needed(run, &known.objects) {
            let source = world.kube.get(&key).await?;
            sources.insert(key, source);
        }
    }
    let observed = run::observe(run, objects, sources);
    let plan = run::plan(run, &observed, world.account.as_ref(), world.clock.now());
    for action in &plan.actions {
        act(world, run, action).await?;
    }
    if plan.status != observed.status {
        let status = serde_json::to_value(&plan.status).unwrap_or_default();
        world.kube.status(("MeshRun", &run.namespace().unwrap_or_default(), &run.name_any()), status).await?;
    }
    world.tell(&run.object_ref(&()), &plan.happened).await;
    Ok(Next::requeue(plan.look_again))
}

async fn act(world: &World, run: &MeshRun, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Apply(object) => world.kube.apply(object).await,
        Action::Delete(key) => world.kube.delete(key, None).await,
        Action::DeleteRun => {
            let api: Api<MeshRun> = Api::namespaced(world.kube.client(), &run.namespace().unwrap_or_default());
            match api.delete(&run.name_any(), &kube::api::DeleteParams::background()).await {
                Err(error) if !is(&error, 404) => Err(Failure::api("a run whose time is over", error)),
                _ => Ok(()),
            }
        }
    }
}

/// The run is kept until its namespace is gone. Asked of the API server itself: the caches may not have it yet.
async fn clean_up(world: &World, run: &MeshRun) -> Result<Next, Failure> {
    let key = Key { kind: Kind::Namespace, namespace: String::new(), name: run::namespace_of(run) };
    let Some(namespace) = world.kube.get(&key).await? else { return Ok(Next::await_change()) };
    // one of that name that is somebody else's stays
    if label(&namespace, RUN_UID) != run.uid().unwrap_or_default() {
        return Ok(Next::await_change());
    }
    if namespace["metadata"]["deletionTimestamp"].is_null() {
        world.kube.delete(&key, namespace["metadata"]["uid"].as_str()).await?;
    }
    Err(Failure::Waiting(key.to_string()))
}

fn failed(run: Arc<MeshRun>, failure: &Failure, world: Arc<World>) -> Next {
    let wait = world.retries.failed(&run.uid().unwrap_or_default(), failure);
    if failure.waits().is_none() && !failure.is_conflict() {
        world.figures.failed("MeshRun");
        tracing::warn!(run = run.name_any(), namespace = run.namespace(), ?wait, "{failure}");
    }
    Next::requeue(wait)
}

/// Until it is dropped.
pub async fn sweep(world: Arc<World>) {
    world.caches.are_full().await;
    let mut ticks = interval(limits::SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (namespace, uid, run) in world.caches.namespaces() {
            if let Err(failure) = sweep_one(&world, &namespace, &uid, &run).await {
                tracing::warn!(namespace, "{failure}");
            }
        }
    }
}

async fn sweep_one(world: &World, namespace: &str, uid: &str, run: &ObjectRef<MeshRun>) -> Result<(), Failure> {
    let api: Api<MeshRun> = Api::namespaced(world.kube.client(), run.namespace.as_deref().unwrap_or_default());
    let found = api.get_opt(&run.name).await.map_err(|error| Failure::api("a namespace's run", error))?;
    if found.is_some_and(|run| run.uid().as_deref() == Some(uid)) {
        return Ok(());
    }
    tracing::info!(namespace, "its run is gone, so it goes too");
    let key = Key { kind: Kind::Namespace, namespace: String::new(), name: namespace.to_owned() };
    let Some(there) = world.kube.get(&key).await? else { return Ok(()) };
    if there["metadata"]["deletionTimestamp"].is_null() && label(&there, RUN_UID) == uid {
        world.kube.delete(&key, there["metadata"]["uid"].as_str()).await?;
    }
    Ok(())
}
