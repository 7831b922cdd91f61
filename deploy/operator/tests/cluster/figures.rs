//! What pools cost and how long they take, told as a table: `cargo test -p meshproof-operator --test cluster -- figures programs --nocapture`,
//! which has the program's memory, too.
//!
//! Times are virtual: the operator's own waits are as in a cluster, what kubelets take is what was measured in a real one, and a call to the
//! API server takes a millisecond.

use std::time::Duration;

use crate::scenarios::settled;
use crate::stage::Stage;

/// Calls of each within ten quiet minutes, per minute.
async fn idle<const N: usize>(stage: &Stage, who: [&str; N]) -> [f64; N] {
    let calls = |who: &str| -> u64 { stage.fake.calls(who).values().sum() };
    let before = who.map(calls);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let mut calls = who.map(calls).into_iter().zip(before);
    who.map(|_| {
        let (after, before) = calls.next().expect("one for each");
        f64::from(u32::try_from(after - before).expect("few")) / 10.0
    })
}

#[tokio::test(start_paused = true)]
async fn figures() {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let mut row = |what, value: String| rows.push((what, value));

    let (stage, _operator) = settled().await;
    let standby = stage.operator("operator-1");
    let [operator, waiting, reporter] = idle(&stage, ["operator-0", "operator-1", "reporter-a"]).await;
    row("API calls a minute when idle: the operator that leads", format!("{operator:.1}"));
    row("API calls a minute when idle: the one that waits", format!("{waiting:.1}"));
    row("API calls a minute when idle: a zone's reporter", format!("{reporter:.1}"));
    assert!(operator < 45.0 && waiting < 31.0 && reporter < 21.0, "{operator} {waiting} {reporter}");
    drop(standby);

    let (pod, _) = stage.cluster.ready_pods("a", "agent").remove(0);
    stage.delete_pod(&pod);
    stage.until("it is gone", |stage| stage.ready("a") == 2).await;
    let replaced = stage.until("it is replaced", |stage| stage.ready("a") == 3).await;
    row("from a pod's deletion to its successor ready", format!("{:.1} s", replaced.as_secs_f64()));
    assert!(replaced < Duration::from_secs(6), "{replaced:?}");

    // at any moment between two renewals
    let (mut noticed, mut ready): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for offset in 0..6 {
        let (stage, _operator) = settled().await;
        tokio::time::sleep(Duration::from_millis(500 * offset)).await;
        stage.cluster.lose("a");
        let took = stage.until("zone b is active", |stage| stage.active().0 == "b").await;
        let more = stage.until("it is complete", |stage| stage.ready("b") == 3).await;
        noticed.push(took.as_secs_f64());
        ready.push((took + more).as_secs_f64());
    }
    let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let best = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    row("from a zone's loss to another one active", format!("{:.1} to {:.1} s", best(&noticed), worst(&noticed)));
    row("from a zone's loss to the standby's pods ready", format!("{:.1} to {:.1} s", best(&ready), worst(&ready)));
    assert!(worst(&noticed) < 11.0 && worst(&ready) < 15.0, "{noticed:?} {ready:?}");

    for (what, value) in rows {
        println!("| {what} | {value} |");
    }
}
