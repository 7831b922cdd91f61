//! `nice -n -10 cargo test --release -p meshproof --lib how_long_the_events -- --ignored --nocapture` measures how long an agent's events take
//! while another one floods.

use std::io::Read as _;
use std::process::Stdio;

use super::*;

const FLOODS: [Flood; 4] = [Flood::Events, Flood::Ahead, Flood::Streams, Flood::Calls];

/// The hostile agent as a process of its own: what it costs itself is not its orchestrator's fault.
struct Flooder(std::process::Child);

/// For that process: what it does, and where its signaling is.
const TASK: &str = "MESHPROOF_TEST_FLOOD";

impl Flooder {
    fn start(flood: Flood, url: &str) -> Self {
        let this = std::env::current_exe().expect("its own path");
        // and only where nobody else wants to: the priority of the measurement is not for it
        let mut command = std::process::Command::new("chrt");
        command.args(["--idle", "0", "taskset", "--cpu-list", "1"]).arg(this).args([
            "--ignored",
            "--exact",
            "coordinator::driver::floods::measured::the_flooder",
        ]);
        let command = command.env(TASK, format!("{flood:?} {url}")).stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.spawn().expect("taskset is there"))
    }

    /// Has it flood.
    fn go(&mut self) {
        self.0.stdin.take().expect("it waits for the end of its standard input");
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "a process of the measurement"]
async fn the_flooder() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (kind, url) = task.split_once(' ').expect("a kind and a place");
    let flood = FLOODS.into_iter().find(|flood| format!("{flood:?}") == kind).expect("a kind of flood");
    let agent = Agent::linked(join(url, "hostile", Role::Agent)).await;
    let told = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    told.await.expect("it reads").expect("it reads");
    flood.go_on(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: on a quiet machine, for a minute"]
async fn how_long_the_events_of_another_agent_take() {
    const REPORTS: u64 = 120;
    const ROUNDS: usize = 7;
    let p99 = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() * 99 / 100].as_secs_f64() * 1e3
    };
    println!(
        "ms until an event is in the journal and acknowledged, p99 of {REPORTS}, medians of {ROUNDS} rounds (least..most)"
    );
    let mut missed = false;
    for flood in FLOODS {
        let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let world = World::new().await;
            let mut flooder = Flooder::start(flood, &world.url);
            let Scene { _world, folder: _folder, mut honest, taking } = Scene::of(world).await;
            quiet.push(p99(honest.report(1..REPORTS).await));
            flooder.go();
            flooded.push(p99(honest.report(REPORTS..2 * REPORTS).await));
            taking.abort();
        }
        let moves: Vec<f64> =
            quiet.iter().zip(&flooded).map(|(quiet, flooded)| 100.0 * (flooded / quiet - 1.0)).collect();
        let median = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[0], values[values.len() - 1])
        };
        let ((before, ..), (during, ..), (moved, least, most)) = (median(&quiet), median(&flooded), median(&moves));
        let verdict = if moved <= 20.0 { "ok" } else { "missed" };
        missed |= moved > 20.0;
        println!(
            "| {flood:?} | {before:.1} | {during:.1} | {moved:.0} % ({least:.0}..{most:.0}) | must 20 % | {verdict} |"
        );
    }
    assert!(!missed, "missed");
}
