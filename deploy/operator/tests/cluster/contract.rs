//! What the fake API server is held to: each behaviour that the operator depends on, asked of the fake, and in the same words of a
//! real server, if `MESHPROOF_TEST_KUBECONFIG` names a kubeconfig.

mod asked;

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;
use crate::fake::Fake;

macro_rules! contract {
    ($($behaviour:ident)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $behaviour() {
                let fake = Fake::start();
                let _cluster = AbortOnDropHandle::new(tokio::spawn(Cluster::new(&fake).run()));
                let client = fake.client("test");
                let namespace = namespace(&client, stringify!($behaviour)).await;
                asked::$behaviour(client, namespace).await;
            }
        )*

        /// With real time and a real server.
        #[tokio::test]
        async fn a_real_server_behaves_the_same() {
            let Some(client) = real().await else { return };
            $(
                let name = namespace(&client, stringify!($behaviour)).await;
                asked::$behaviour(client.clone(), name.clone()).await;
                let namespaces: Api<Namespace> = Api::all(client.clone());
                let _ = namespaces.delete(&name, &DeleteParams::background()).await;
            )*
        }
    };
}

contract! {
    a_stale_replace_is_a_conflict
    a_write_that_changes_nothing_keeps_the_version
    generations_count_specs_and_not_status_or_labels
    the_status_is_written_apart
    what_is_applied_is_merged_and_what_is_no_longer_applied_goes
    a_field_of_another_manager_is_a_conflict_unless_forced
    an_object_with_a_finalizer_is_marked_and_goes_with_the_last_one
    a_test_for_null_holds_where_nothing_is
    a_merge_patch_with_a_stale_version_is_a_conflict_and_null_takes_away
    a_deletion_of_another_uid_is_a_conflict
    what_belongs_to_what_is_gone_goes_too
    a_watch_tells_every_change_after_a_list_in_order
    an_object_that_no_longer_matches_is_deleted_for_a_watch
    a_watch_from_a_forgotten_version_is_told_that_it_is_gone
    nothing_is_made_in_a_namespace_that_is_not_there
    a_namespace_takes_everything_with_it_and_nothing_new_in
}

/// A namespace of the test's own.
async fn namespace(client: &Client, behaviour: &str) -> String {
    let words: String = behaviour.replace('_', "-").chars().take(40).collect();
    let name = format!("{}-{}", words.trim_end_matches('-'), std::process::id());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = Namespace {
        metadata: kube::api::ObjectMeta { name: Some(name.clone()), ..Default::default() },
        ..Default::default()
    };
    namespaces.create(&PostParams::default(), &object).await.expect("a namespace");
    name
}

/// A real server with our kinds, if there is one to ask.
async fn real() -> Option<Client> {
    let Some(path) = std::env::var_os("MESHPROOF_TEST_KUBECONFIG") else {
        eprintln!("skipped: no real API server is asked, for MESHPROOF_TEST_KUBECONFIG names no kubeconfig");
        return None;
    };
    let file = Kubeconfig::read_from(path).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a kubeconfig");
    let client = Client::try_from(config).expect("a client");
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in [crd::<meshproof_operator::kinds::MeshPool>(), crd::<meshproof_operator::kinds::MeshRun>()] {
        let params = PatchParams::apply("meshproof-test").force();
        definitions.patch(&definition.name_any(), &params, &Patch::Apply(&definition)).await.expect("it is taken");
        eventually("it is established", || async {
            let found = definitions.get(&definition.name_any()).await.expect("it is there");
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            conditions.iter().any(|is| is.type_ == "Established" && is.status == "True")
        })
        .await;
    }
    Some(client)
}

fn crd<Kind: kube::CustomResourceExt>() -> CustomResourceDefinition {
    // as it is in the chart
    serde_json::from_value(json!(Kind::crd())).expect("it is one")
}

/// Until it is so.
async fn eventually<Look: Future<Output = bool>>(what: &str, look: impl Fn() -> Look) {
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..300 {
        looks.tick().await;
        if look().await {
            return;
        }
    }
    panic!("{what}: not so after a minute");
}
