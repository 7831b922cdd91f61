//! What the run does itself: processes are disturbed, people are waited for. Each beside the loop.

use std::io::IsTerminal as _;

use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;

use super::driver::Driver;
use super::front::Person;
use super::orders::{observe, start_service};
use crate::local::{LocalEnvironment, Processes};
use crate::report::sanitise;
use crate::run::{Input, ProcessOrder};

impl Driver {
    pub(super) fn change(&mut self, key: StepKey, service: Name, what: ProcessOrder) {
        let inbox = self.inbox_in.clone();
        let Some(processes) = self.environment.as_ref().map(LocalEnvironment::processes) else {
            let result = Err("the run has not started the processes of this service".to_owned());
            self.pending.push_back(Input::ProcessesChanged { key, result });
            return;
        };
        let plan_dir = self.options.plan_dir.clone();
        let (agent, authority) = (self.crew.caller(&service), self.authority.clone());
        let number = self.number_of(&service);
        tokio::spawn(async move {
            let what = match what {
                ProcessOrder::Restart(launch) => start_service(*launch, &plan_dir).map(Change::Restart),
                ProcessOrder::Kill => Ok(Change::Kill),
                ProcessOrder::KillAgent => Ok(Change::KillAgent(number)),
                ProcessOrder::Freeze { lease_ms } => Ok(Change::Freeze { lease_ms }),
                ProcessOrder::Thaw => Ok(Change::Thaw),
            };
            let changed = match what {
                Ok(what) => change(&processes, service, what).await,
                Err(reason) => Err(reason),
            };
            if let (Ok(started), Some(agent)) = (&changed, agent)
                && !started.is_empty()
            {
                // That an agent cannot be asked is told elsewhere.
                let _ = observe(&agent, &authority, started).await;
            }
            let result = changed.map(drop);
            let _ = inbox.send(Input::ProcessesChanged { key, result }).await;
        });
    }

    /// A person presses Enter. Without a terminal at both ends there is none.
    pub(super) fn pause(&mut self, key: StepKey, text: String) {
        if let Some(person) = &self.person {
            return self.pause_for(person.clone(), key, &text);
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            let result = Err(NOBODY.to_owned());
            self.pending.push_back(Input::Resumed { key, result });
            return;
        }
        let inbox = self.inbox_in.clone();
        // Reading cannot be given up, so it is a thread of its own that nobody waits for.
        std::thread::spawn(move || {
            ask(&text);
            let mut line = String::new();
            let result = match std::io::stdin().read_line(&mut line) {
                Ok(0) => Err(NOBODY.to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(format!("nothing can be read from the terminal: {error}")),
            };
            let _ = inbox.blocking_send(Input::Resumed { key, result });
        });
    }
}

impl Driver {
    fn pause_for(&self, mut person: Person, key: StepKey, text: &str) {
        let inbox = self.inbox_in.clone();
        // What was pressed before was about something else.
        person.mark_unchanged();
        if person.has_changed().is_ok() {
            ask(text);
        }
        tokio::spawn(async move {
            let result = person.changed().await.map_err(|_| NOBODY.to_owned());
            let _ = inbox.send(Input::Resumed { key, result }).await;
        });
    }
}

fn ask(text: &str) {
    crate::say::note(format_args!("{} (press Enter to go on)", sanitise::line(text)));
}

const NOBODY: &str = "nobody is there to say that it goes on";

/// What is done, in the keeper's words.
enum Change {
    Kill,
    /// Which of its instances.
    KillAgent(u32),
    Freeze {
        lease_ms: u64,
    },
    Thaw,
    Restart(crate::local::StartService),
}

/// Gives the processes that were started.
async fn change(processes: &Processes, service: Name, what: Change) -> Result<Vec<i32>, String> {
    let none = |()| Vec::new();
    let changed = match what {
        Change::Kill => processes.kill(service).await.map(none),
        Change::KillAgent(number) => processes.kill_agent((service, number)).await.map(none),
        Change::Freeze { lease_ms } => processes.freeze(service, lease_ms).await.map(none),
        Change::Thaw => processes.thaw(service).await.map(none),
        Change::Restart(start) => processes.restart(start).await,
    };
    changed.map_err(|error| error.to_string())
}
