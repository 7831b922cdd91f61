//! The behaviours, each with the page that says so.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::{Client, ResourceExt as _};
use meshproof_operator::kinds::MeshPool;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::eventually;
use crate::stage::pool;

type Maps = Api<ConfigMap>;

fn map(name: &str, value: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([("of".to_owned(), value.to_owned())].into()),
        ..Default::default()
    };
    ConfigMap { metadata, data: Some([("value".to_owned(), value.to_owned())].into()), ..Default::default() }
}

async fn made(client: &Client, namespace: &str, name: &str) -> (Maps, ConfigMap) {
    let maps: Maps = Api::namespaced(client.clone(), namespace);
    let made = maps.create(&PostParams::default(), &map(name, "first")).await.expect("it is made");
    (maps, made)
}

fn value(map: &ConfigMap) -> &str {
    map.data.as_ref().and_then(|data| data.get("value")).map(String::as_str).unwrap_or_default()
}

fn refused<T: std::fmt::Debug>(answer: kube::Result<T>, code: u16, reason: &str) {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (code, reason), "{status:?}")
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn merged(maps: &Maps, name: &str, patch: Value) -> ConfigMap {
    maps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is taken")
}

async fn applied(maps: &Maps, manager: &str, data: Value) -> kube::Result<ConfigMap> {
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "map" }, "data": data });
    maps.patch("map", &PatchParams::apply(manager), &Patch::Apply(body)).await
}

/// <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#concurrency-control-and-consistency>
pub async fn a_stale_replace_is_a_conflict(client: Client, namespace: String) {
    let (maps, first) = made(&client, &namespace, "map").await;
    let second = ConfigMap { metadata: first.metadata.clone(), ..map("map", "second") };
    let second = maps.replace("map", &PostParams::default(), &second).await.expect("it is as it was read");
    assert_ne!(first.resource_version(), second.resource_version());
    let stale = ConfigMap { metadata: first.metadata, ..map("map", "third") };
    refused(maps.replace("map", &PostParams::default(), &stale).await, 409, "Conflict");
    assert_eq!(value(&maps.get("map").await.expect("it is there")), "second");
    refused(maps.create(&PostParams::default(), &map("map", "x")).await, 409, "AlreadyExists");
}

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>: clients may tell changes by the version.
pub async fn a_write_that_changes_nothing_keeps_the_version(client: Client, namespace: String) {
    let (maps, first) = made(&client, &namespace, "map").await;
    let again = maps.replace("map", &PostParams::default(), &first).await.expect("it is taken");
    assert_eq!(first.resource_version(), again.resource_version());
    let merged = merged(&maps, "map", json!({ "data": { "value": "first" } })).await;
    assert_eq!(first.resource_version(), merged.resource_version());
    let apply = || applied(&maps, "one", json!({ "other": "x" }));
    let (once, twice) = (apply().await.expect("it is taken"), apply().await.expect("it is taken"));
    assert_eq!(once.resource_version(), twice.resource_version());
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource>
pub async fn generations_count_specs_and_not_status_or_labels(client: Client, namespace: String) {
    let pools: Api<MeshPool> = Api::namespaced(client, &namespace);
    let first = pools.create(&PostParams::default(), &pool()).await.expect("it is made");
    assert_eq!(first.metadata.generation, Some(1));
    let generation = async |patch: Value| {
        let patched = pools.patch("shop", &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is taken");
        patched.metadata.generation
    };
    assert_eq!(generation(json!({ "metadata": { "labels": { "x": "y" } } })).await, Some(1));
    assert_eq!(generation(json!({ "spec": { "failover": { "holdDownSeconds": 31 } } })).await, Some(2));
    let status = json!({ "status": { "activeZone": "a" } });
    let patched =
        pools.patch_status("shop", &PatchParams::default(), &Patch::Merge(status)).await.expect("it is taken");
    assert_eq!(patched.metadata.generation, Some(2));
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource>
pub async fn the_status_is_written_apart(client: Client, namespace: String) {
    let pools: Api<MeshPool> = Api::namespaced(client, &namespace);
    let mut wanted = pool();
    wanted.status = Some(meshproof_operator::kinds::MeshPoolStatus { epoch: Some(7), ..Default::default() });
    let made = pools.create(&PostParams::default(), &wanted).await.expect("it is made");
    assert_eq!(made.status, None, "who makes it does not say its status");
    let both = json!({
        "apiVersion": "meshproof.dev/v1alpha1", "kind": "MeshPool",
        "spec": { "failover": { "holdDownSeconds": 99 } }, "status": { "epoch": 3, "zones": [], "conditions": [] },
    });
    let params = PatchParams::apply("status").force();
    let said = pools.patch_status("shop", &params, &Patch::Apply(&both)).await.expect("it is taken");
    assert_eq!(said.status.as_ref().and_then(|status| status.epoch), Some(3));
    assert_eq!(said.spec.failover.hold_down_seconds, 30, "only the status was written");
    let other = json!({ "status": { "epoch": 9 }, "spec": { "failover": { "holdDownSeconds": 45 } } });
    let said = pools.patch("shop", &PatchParams::default(), &Patch::Merge(other)).await.expect("it is taken");
    assert_eq!((said.status.and_then(|status| status.epoch), said.spec.failover.hold_down_seconds), (Some(3), 45));
}

/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>
pub async fn what_is_applied_is_merged_and_what_is_no_longer_applied_goes(client: Client, namespace: String) {
    let maps: Maps = Api::namespaced(client, &namespace);
    applied(&maps, "one", json!({ "a": "1", "b": "1" })).await.expect("it is made");
    applied(&maps, "two", json!({ "b": "1", "c": "2" })).await.expect("the same value is no conflict");
    let left = applied(&maps, "one", json!({ "a": "1" })).await.expect("it is taken");
    let keys: Vec<String> = left.data.unwrap_or_default().into_keys().collect();
    assert_eq!(keys, ["a", "b", "c"], "the other one applies b still");
    let left = applied(&maps, "two", json!({ "c": "2" })).await.expect("it is taken");
    let keys: Vec<String> = left.data.unwrap_or_default().into_keys().collect();
    assert_eq!(keys, ["a", "c"], "nobody applies b any more");
}

/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts>
pub async fn a_field_of_another_manager_is_a_conflict_unless_forced(client: Client, namespace: String) {
    let maps: Maps = Api::namespaced(client, &namespace);
    applied(&maps, "one", json!({ "a": "1" })).await.expect("it is made");
    refused(applied(&maps, "two", json!({ "a": "2" })).await, 409, "Conflict");
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "map" }, "data": { "a": "2" } });
    maps.patch("map", &PatchParams::apply("two").force(), &Patch::Apply(body)).await.expect("it is forced");
    refused(applied(&maps, "one", json!({ "a": "1" })).await, 409, "Conflict");
    merged(&maps, "map", json!({ "data": { "a": "3" } })).await;
    refused(applied(&maps, "two", json!({ "a": "2" })).await, 409, "Conflict");
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/#how-finalizers-work>
pub async fn an_object_with_a_finalizer_is_marked_and_goes_with_the_last_one(client: Client, namespace: String) {
    let maps: Maps = Api::namespaced(client, &namespace);
    let mut held = map("map", "x");
    held.metadata.finalizers = Some(vec!["meshproof.dev/test".to_owned()]);
    maps.create(&PostParams::default(), &held).await.expect("it is made");
    maps.delete("map", &DeleteParams::default()).await.expect("it is taken");
    let there = maps.get("map").await.expect("it is kept");
    assert!(there.metadata.deletion_timestamp.is_some());
    let patched =
        maps.patch("map", &PatchParams::default(), &Patch::Merge(json!({ "metadata": { "finalizers": null } }))).await;
    patched.expect("it is taken");
    assert!(maps.get_opt("map").await.expect("an answer").is_none());
}

/// As `kube`'s finalizer sends it: <https://datatracker.ietf.org/doc/html/rfc6902#section-4.6>, and how the API server reads it.
pub async fn a_test_for_null_holds_where_nothing_is(client: Client, namespace: String) {
    let (maps, _) = made(&client, &namespace, "map").await;
    let patch = async |patch: Value| {
        let patch = serde_json::from_value(patch).expect("a patch");
        maps.patch("map", &PatchParams::default(), &Patch::<()>::Json(patch)).await
    };
    let test = json!({ "op": "test", "path": "/metadata/finalizers", "value": null });
    let add = json!({ "op": "add", "path": "/metadata/finalizers", "value": ["meshproof.dev/test"] });
    patch(json!([test, add])).await.expect("there was none");
    refused(patch(json!([test])).await, 422, "Invalid");
    let test = json!({ "op": "test", "path": "/metadata/finalizers/0", "value": "meshproof.dev/test" });
    let remove = json!({ "op": "remove", "path": "/metadata/finalizers/0", "value": null });
    let left = patch(json!([test, remove])).await.expect("there is one");
    assert_eq!(left.finalizers().len(), 0);
}

/// <https://www.rfc-editor.org/rfc/rfc7386>, and a version in a patch as in a replace.
pub async fn a_merge_patch_with_a_stale_version_is_a_conflict_and_null_takes_away(client: Client, namespace: String) {
    let (maps, first) = made(&client, &namespace, "map").await;
    merged(&maps, "map", json!({ "data": { "more": "x" } })).await;
    let stale = json!({ "metadata": { "resourceVersion": first.resource_version() }, "data": { "value": null } });
    let answer = maps.patch("map", &PatchParams::default(), &Patch::Merge(stale)).await;
    refused(answer, 409, "Conflict");
    let left = merged(&maps, "map", json!({ "data": { "value": null } })).await;
    assert_eq!(left.data.unwrap_or_default().into_keys().collect::<Vec<_>>(), ["more"]);
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/delete-options/>
pub async fn a_deletion_of_another_uid_is_a_conflict(client: Client, namespace: String) {
    let (maps, made) = made(&client, &namespace, "map").await;
    let of = |uid: Option<String>| {
        let preconditions = Some(Preconditions { uid, ..Preconditions::default() });
        DeleteParams { preconditions, ..DeleteParams::default() }
    };
    refused(maps.delete("map", &of(Some("another".to_owned()))).await, 409, "Conflict");
    maps.delete("map", &of(made.uid())).await.expect("it is this one");
    refused(maps.delete("map", &of(made.uid())).await, 404, "NotFound");
}

/// <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents>
pub async fn what_belongs_to_what_is_gone_goes_too(client: Client, namespace: String) {
    let (maps, owner) = made(&client, &namespace, "owner").await;
    let reference = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid() });
    let mut owned = map("owned", "x");
    owned.metadata.owner_references = serde_json::from_value(json!([reference])).expect("a reference");
    maps.create(&PostParams::default(), &owned).await.expect("it is made");
    maps.delete("owner", &DeleteParams::background()).await.expect("it is taken");
    eventually("it is gone, too", || async { maps.get_opt("owned").await.expect("an answer").is_none() }).await;
}

type Told = WatchEvent<ConfigMap>;

async fn next(events: &mut (impl Stream<Item = kube::Result<Told>> + Unpin)) -> Told {
    loop {
        let event = timeout(Duration::from_secs(20), events.try_next()).await.expect("it is told");
        match event.expect("a watch").expect("it goes on") {
            WatchEvent::Bookmark(_) => {}
            event => return event,
        }
    }
}

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>
pub async fn a_watch_tells_every_change_after_a_list_in_order(client: Client, namespace: String) {
    let (maps, _) = made(&client, &namespace, "map").await;
    let list = maps.list(&ListParams::default().labels("of=first")).await.expect("a list");
    assert_eq!(list.items.len(), 1);
    assert_eq!(maps.list(&ListParams::default().labels("of=other")).await.expect("a list").items.len(), 0);
    let version = list.metadata.resource_version.expect("a version");
    maps.create(&PostParams::default(), &map("more", "first")).await.expect("it is made");
    let params = WatchParams::default().labels("of=first");
    let mut events = pin!(maps.watch(&params, &version).await.expect("a watch"));
    assert!(matches!(next(&mut events).await, WatchEvent::Added(map) if map.name_any() == "more"));
    let changed = merged(&maps, "map", json!({ "data": { "value": "second" } })).await;
    let told = next(&mut events).await;
    assert!(
        matches!(&told, WatchEvent::Modified(map) if map.resource_version() == changed.resource_version()),
        "{told:?}"
    );
    maps.delete("more", &DeleteParams::default()).await.expect("it is taken");
    let told = next(&mut events).await;
    let WatchEvent::Deleted(gone) = told else { panic!("{told:?}") };
    assert_ne!(gone.resource_version(), changed.resource_version(), "its end has a version of its own");
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#list-and-watch-filtering>
pub async fn an_object_that_no_longer_matches_is_deleted_for_a_watch(client: Client, namespace: String) {
    let (maps, _) = made(&client, &namespace, "map").await;
    let version =
        maps.list(&ListParams::default()).await.expect("a list").metadata.resource_version.expect("a version");
    let params = WatchParams::default().labels("of=first");
    let mut events = pin!(maps.watch(&params, &version).await.expect("a watch"));
    merged(&maps, "map", json!({ "metadata": { "labels": { "of": "other" } } })).await;
    assert!(matches!(next(&mut events).await, WatchEvent::Deleted(map) if map.name_any() == "map"));
    merged(&maps, "map", json!({ "metadata": { "labels": { "of": "first" } } })).await;
    assert!(matches!(next(&mut events).await, WatchEvent::Added(map) if map.name_any() == "map"));
}

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>
pub async fn a_watch_from_a_forgotten_version_is_told_that_it_is_gone(client: Client, namespace: String) {
    let (maps, _) = made(&client, &namespace, "map").await;
    let code = match maps.watch(&WatchParams::default(), "1").await {
        Ok(events) => match pin!(events).next().await.expect("an answer") {
            Ok(WatchEvent::Error(status)) => status.code,
            other => panic!("{other:?}"),
        },
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(code, 410);
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/>
pub async fn nothing_is_made_in_a_namespace_that_is_not_there(client: Client, namespace: String) {
    let maps: Maps = Api::namespaced(client, &format!("{namespace}-x"));
    refused(maps.create(&PostParams::default(), &map("map", "x")).await, 404, "NotFound");
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#working-with-namespaces>
pub async fn a_namespace_takes_everything_with_it_and_nothing_new_in(client: Client, namespace: String) {
    let maps: Maps = Api::namespaced(client.clone(), &namespace);
    let mut held = map("map", "x");
    held.metadata.finalizers = Some(vec!["meshproof.dev/test".to_owned()]);
    maps.create(&PostParams::default(), &held).await.expect("it is made");
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete(&namespace, &DeleteParams::background()).await.expect("it is taken");
    refused(maps.create(&PostParams::default(), &map("more", "x")).await, 403, "Forbidden");
    eventually("its content goes", || async {
        maps.get("map").await.expect("its finalizer keeps it").metadata.deletion_timestamp.is_some()
    })
    .await;
    merged(&maps, "map", json!({ "metadata": { "finalizers": null } })).await;
    eventually("it is gone", || async { namespaces.get_opt(&namespace).await.expect("an answer").is_none() }).await;
}
