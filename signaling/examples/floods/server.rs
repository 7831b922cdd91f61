//! The server, as a process of its own that ends with this one.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meshproof_proto::identity::Key;
use meshproof_signaling::{Config, serve as run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cores;
use crate::peer::{Place, mesh};

/// More than any of this needs.
const MESHES: usize = 128;

pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    pub fn start() -> Self {
        let this = std::env::current_exe().expect("its own path");
        let mut child = Command::new(this);
        let child = child.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("it starts itself");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut address).expect("its address");
        Self { child, url: format!("ws://{}/mesh", address.trim()) }
    }

    /// A place in one of its meshes.
    pub fn place(&self, number: usize) -> Place {
        Place::new(&self.url, number)
    }

    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }

    /// The share of a core that it takes, over some time.
    pub async fn cpu_share(&self, over: Duration) -> f64 {
        let before = self.cpu_seconds();
        tokio::time::sleep(over).await;
        (self.cpu_seconds() - before) / over.as_secs_f64()
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let after_name = stat.rsplit(") ").next().expect("Linux says it");
        let ticks: Vec<f64> = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
        ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it ends with its standard input
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until its standard input ends.
pub fn serve() {
    many_descriptors();
    cores::take_all();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        println!("{}", listener.local_addr().expect("bound"));
        let root = Key::from_seed([1; 32]).public();
        let stop = CancellationToken::new();
        let ending = stop.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            ending.cancel();
        });
        run(listener, Config::new((0..MESHES).map(|number| (mesh(number), root)).collect()), stop)
            .await
            .expect("it served");
    });
}

/// As many as the system lets one process have.
pub fn many_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}
