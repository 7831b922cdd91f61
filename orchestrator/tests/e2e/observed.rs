//! One run of the sample plan, watched from all sides; every test that only looks shares it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::journal::Journal;
use crate::leftovers;
use crate::processes::{self, Process};
use crate::scene::{CHECKOUT, Scene};
use crate::session::{Ended, Session};
use crate::sniff::{Beginnings, Sniffer, Way};
use crate::sockets::{self, Socket};

/// The shared run.
pub static SAMPLE: LazyLock<Observed> = LazyLock::new(Observed::make);

/// What was seen of a run.
pub struct Observed {
    pub scene: Scene,
    pub ended: Ended,
    pub journal: Journal,
    /// While the cut was on, and while records were streaming.
    pub moments: Vec<Moment>,
    /// All UDP datagrams of the machine; or why they could not be seen.
    pub wire: Result<BTreeMap<Way, Beginnings>, std::io::Error>,
    pub left: Left,
}

/// The agents' sockets at some moment.
pub struct Moment {
    pub shop: Vec<Socket>,
    pub ledger: Vec<Socket>,
}

/// What was there right after the end.
pub struct Left {
    pub processes: Vec<Process>,
    pub ports: BTreeSet<Socket>,
}

impl Observed {
    fn make() -> Self {
        let scene = Scene::new();
        let sniffer = Sniffer::start();
        let mut session = scene.run(CHECKOUT);
        let cut = Self::when(&mut session, ("fault-began", "fault", "ledger-cut"), &scene);
        let ports = leftovers::ports(&processes::mentioning(scene.path()));
        let streaming = Self::when(&mut session, ("test-began", "test", "replicate"), &scene);
        let ended = session.end();
        let left = Left { processes: processes::mentioning(scene.path()), ports };
        let wire = sniffer.map(Sniffer::stop);
        let journal = Journal::read(&scene.out());
        Self { scene, ended, journal, moments: vec![cut, streaming], wire, left }
    }

    fn when(session: &mut Session, happening: (&str, &str, &str), scene: &Scene) -> Moment {
        session.happening(happening);
        let processes = processes::mentioning(scene.path());
        let sockets = |name| sockets::of(processes::agent(&processes, name).pid);
        Moment { shop: sockets("shop"), ledger: sockets("ledger") }
    }
}
