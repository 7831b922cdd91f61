//! Files of the run from agent to agent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use meshproof_mesh::blobs::HeldBlob;
use meshproof_proto::blob::{Blob, BlobOrder, Summing};
use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::Name;
use meshproof_proto::limits::BLOB_CHUNK_BYTES;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{
    Action, Check, DataSource, Initialize, ReceiveOrder, RecordStreamId, ServicePlace, StreamAction,
};
use rustix::process::Signal;
use serde_json::json;
use tarpc::context::current as now;

use crate::process::{signal, spawn};
use crate::world::{Orchestrator, PATIENCE, World, authority, key, name};
use crate::{service, step, tcp};

const RECORDS: usize = 3_000;

/// Records of a kilobyte each.
fn content() -> String {
    (0..RECORDS).map(|id| format!("{{\"id\": {id}, \"pad\": \"{}\"}}\n", "x".repeat(1_000))).collect()
}

fn blob(content: &str) -> Blob {
    let mut summing = Summing::default();
    summing.add(content.as_bytes());
    summing.finish()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a folder for such files");
    file.write_all(bytes).expect("there is room");
    file
}

fn order(blob: &Blob, before: &[&str]) -> BlobOrder {
    let before = before.iter().copied().map(name).collect();
    BlobOrder { blob: blob.clone(), name: "orders.ndjson".to_owned(), before, after: Vec::new() }
}

/// Whence an agent has the file: from the orchestrator, and from others.
fn whence(mesh: &Orchestrator, agent: &str) -> Option<(u64, BTreeMap<Name, u64>)> {
    mesh.facts(agent).into_iter().find_map(|fact| match fact {
        Fact::FileHeld { from_orchestrator, from, damaged: 0, .. } => Some((from_orchestrator, from)),
        _ => None,
    })
}

async fn initialize(mesh: &Orchestrator, agent: &str, blobs: Vec<BlobOrder>) {
    mesh.set_up(agent, Initialize { blobs, ..mesh.setting() }).await;
}

/// Until that chunk is on that agent's disk.
async fn has(state: &Path, blob: &Blob, chunk: u32) {
    let path = state.join("blobs").join(blob.digest.to_string());
    let mut bytes = vec![0; blob.bytes_of(chunk).expect("there is such a chunk")];
    let is_there = |bytes: &mut Vec<u8>| {
        let file = File::open(&path).ok();
        file.is_some_and(|file| file.read_exact_at(bytes, blob.begin(chunk)).is_ok() && blob.is_chunk(chunk, bytes))
    };
    while !is_there(&mut bytes) {
        tokio::task::yield_now().await;
    }
}

// One thread: the kernel ends the agent with the thread that made it.
#[tokio::test]
async fn a_file_leaves_the_orchestrator_once_and_an_agent_that_is_killed_in_the_middle_does_not_matter() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    let state = |who: &str| folder.path().join(who);
    world.keeping_agent("ledger", &state("ledger"));
    world.keeping_agent("store", &state("store"));
    let mut shop = spawn(&world, folder.path());
    let mut mesh = world.orchestrator(&["ledger", "shop", "store"]).await;
    let (content, half) = (content(), 6);
    let blob = blob(&content);
    // there are only so many chunks of it yet
    let first = file(&content.as_bytes()[..half * BLOB_CHUNK_BYTES]);
    mesh.offers = Some(Arc::new(HeldBlob::open(blob.clone(), first).expect("opens")));
    // those behind hear of it first, and wait for those before them
    initialize(&mesh, "store", vec![order(&blob, &["shop", "ledger"])]).await;
    initialize(&mesh, "shop", vec![order(&blob, &["ledger"])]).await;
    initialize(&mesh, "ledger", vec![order(&blob, &[])]).await;
    let last = u32::try_from(half).expect("small") - 1;
    mesh.during(has(&state("store"), &blob, last)).await;
    signal(&shop, Signal::KILL);
    mesh.during(shop.wait()).await.expect("it ends");
    mesh.offers = Some(Arc::new(HeldBlob::whole(blob.clone(), file(content.as_bytes()))));
    let (ledger, store) = tokio::time::timeout(2 * PATIENCE, async {
        loop {
            if let (Some(ledger), Some(store)) = (whence(&mesh, "ledger"), whence(&mesh, "store")) {
                return (ledger, store);
            }
            mesh.sees(|_| true).await;
        }
    })
    .await
    .expect("they come in time");
    let (bytes, begun) = (blob.bytes, (half * BLOB_CHUNK_BYTES) as u64);
    assert_eq!(ledger, (bytes, BTreeMap::new()));
    assert_eq!(store, (0, BTreeMap::from([(name("shop"), begun), (name("ledger"), bytes - begun)])));
    mesh.until(|mesh| mesh.given.load(Ordering::Relaxed) >= bytes).await;
    assert_eq!(mesh.given.load(Ordering::Relaxed), bytes, "once, whoever has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_file_that_is_too_long_for_an_order_are_sent_while_it_comes_and_it_stays_for_the_next_run() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    world.keeping_agent("shop", folder.path());
    world.agent("ledger", &meshproof_proto::identity::Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    let content = content();
    let (blob, ledger) = (blob(&content), service().await);
    let mut damaged = content.clone().into_bytes();
    damaged[7] ^= 1;
    mesh.offers = Some(Arc::new(HeldBlob::whole(blob.clone(), file(&damaged))));
    let ports = BTreeMap::from([("tcp".to_owned(), ledger.clone())]);
    let service = ServicePlace { ports, ..ServicePlace::default() };
    mesh.set_up("ledger", Initialize { service, ..mesh.setting() }).await;
    initialize(&mesh, "shop", vec![order(&blob, &[])]).await;
    let (stream, from) = (RecordStreamId(1), name("shop"));
    let apply = tcp(&ledger, "POST ${{ record.id }}\n");
    let receive = ReceiveOrder { authority: authority(), stream, from, apply, key: None };
    mesh.client("ledger").receive(now(), Box::new(receive)).await.expect("answered").expect("taken");
    let data = DataSource::File { name: "orders.ndjson".to_owned(), digest: blob.digest, records: RECORDS as u64 };
    let line = Template::parse("OK POST ${{ record.id }}").expect("parses");
    let checks = vec![
        Check { field: "each.line".to_owned(), matcher: Matcher::Equals(ValueTemplate::Text(line)) },
        Check { field: "records".to_owned(), matcher: Matcher::Equals(ValueTemplate::fixed(&json!(RECORDS))) },
    ];
    let action = Action::Stream(StreamAction { stream, to: name("ledger"), data, pace: None, key: None });
    let order_of_step = step(key("1"), action, checks);
    mesh.client("shop").start(now(), order_of_step).await.expect("answered").expect("taken");
    // all but one chunk of it is there
    mesh.during(has(folder.path(), &blob, 1)).await;
    mesh.offers = Some(Arc::new(HeldBlob::whole(blob.clone(), file(content.as_bytes()))));
    let result = mesh.ended("shop", &key("1")).await;
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");
    let refused = |fact: &Fact| matches!(fact, Fact::FileHeld { damaged: 1.., from_orchestrator, .. } if *from_orchestrator == blob.bytes);
    mesh.until(|mesh| mesh.facts("shop").iter().any(refused)).await;

    mesh.client("shop").finish(now(), authority()).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").iter().any(|fact| matches!(fact, Fact::LinkBytes { .. }))).await;
    // whoever asks for a chunk now fails the test
    mesh.offers = None;
    mesh.recalls("shop", mesh.roster()[&name("shop")], Vec::new());
    let setting = Initialize { blobs: vec![order(&blob, &[])], ..mesh.setting() };
    let authority =
        meshproof_proto::order::Authority { run: meshproof_proto::id::RunId("r2".to_owned()), ..authority() };
    mesh.set_up("shop", Initialize { authority, ..setting }).await;
    let was_there = |fact: &Fact| matches!(fact, Fact::FileHeld { from_orchestrator: 0, from, .. } if from.is_empty());
    mesh.until(|mesh| mesh.facts("shop").iter().any(was_there)).await;
}
