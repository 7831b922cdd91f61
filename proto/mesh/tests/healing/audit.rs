//! What must hold whatever is cut: a service's TCP connection comes through byte for byte, and a call runs once or says that
//! it may have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::process::Process;
use crate::wire::{Command, Counted, Event, Moment, Outcome, Part, Talked};
use crate::world::World;

/// A call stays in flight for so long, so that it is when the path is cut.
const ANSWERED_AFTER: Duration = Duration::from_millis(500);

/// A service beside one peer, its customer beside another, a tunnel between.
#[derive(Debug)]
pub struct Talk {
    service: Process,
    customer: Process,
    began: Moment,
}

/// A point in what both sides say and hear.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    asked: Moment,
    service: Counted,
    customer: Counted,
    beyond: Beyond,
}

/// What a mark is passed by.
#[derive(Debug, Clone, Copy)]
pub enum Beyond {
    /// The next byte, whenever it was said.
    Heard,
    /// What began to be said after the mark was set, and so everything before it.
    Said,
}

/// Half a second of what a side says.
const LITTLE: u64 = 200_000;

impl Mark {
    /// Whether the connection stood still, one way at least, since an earlier mark. A second or more lies between them.
    pub fn is_silent_since(&self, earlier: &Self) -> bool {
        let heard = [(self.service, earlier.service), (self.customer, earlier.customer)];
        heard.into_iter().any(|(now, before)| now.heard - before.heard < LITTLE)
    }

    /// What the service has to hear more than, and the customer.
    fn passes_at(&self) -> (u64, u64) {
        match self.beyond {
            Beyond::Heard => (self.service.heard, self.customer.heard),
            Beyond::Said => (self.customer.said, self.service.said),
        }
    }
}

impl Talk {
    /// They have heard each other when this returns.
    pub async fn begin(world: &mut World, customer: &str, service: &str) -> Result<Self, String> {
        let began = Moment::now();
        let serving = world.beside(service, &Part::Service)?;
        let (_, port) = serving.when(began, "where it listens", listening).await?;
        world.peer(customer).tell(&Command::Tunnel { to: service.to_owned(), port })?;
        let (_, port) = world.peer(customer).when(began, "where the tunnel begins", listening).await?;
        let visiting = world.beside(customer, &Part::Customer { port })?;
        let talk = Self { service: serving, customer: visiting, began };
        for side in [&talk.service, &talk.customer] {
            side.when(began, "what it heard", |event| (*event == Event::Heard).then_some(())).await?;
        }
        Ok(talk)
    }

    /// Sets a mark. Both sides listen for its passing when this returns.
    pub async fn mark(&mut self, beyond: Beyond) -> Result<Mark, String> {
        let asked = Moment::now();
        for side in [&mut self.service, &mut self.customer] {
            side.tell(&Command::Count)?;
        }
        let counted = |event: &Event| if let Event::Counted(counted) = event { Some(*counted) } else { None };
        let (_, service) = self.service.when(asked, "what it said and heard", counted).await?;
        let (_, customer) = self.customer.when(asked, "what it said and heard", counted).await?;
        let mark = Mark { asked, service, customer, beyond };
        let (by_service, by_customer) = mark.passes_at();
        self.service.tell(&Command::HearBeyond { bytes: by_service })?;
        self.customer.tell(&Command::HearBeyond { bytes: by_customer })?;
        Ok(mark)
    }

    /// Waits until both sides are beyond a mark; gives when the later one was.
    pub async fn passed(&self, mark: &Mark) -> Result<Moment, String> {
        let is_beyond = |bytes: u64| move |event: &Event| (*event == Event::HeardBeyond { bytes }).then_some(());
        let (what, (by_service, by_customer)) = ("that it hears more", mark.passes_at());
        let (service, ()) = self.service.when(mark.asked, what, is_beyond(by_service)).await?;
        let (customer, ()) = self.customer.when(mark.asked, what, is_beyond(by_customer)).await?;
        Ok(service.max(customer))
    }

    /// Waits until both sides have heard what was said until now: what stood still before may still be on its way to them.
    pub async fn caught_up(&mut self) -> Result<(), String> {
        let now = self.mark(Beyond::Said).await?;
        self.passed(&now).await.map(drop)
    }

    /// Ends it in peace: both have heard every byte that the other said.
    pub async fn finish(mut self, world: &World) -> Result<(), String> {
        // one that is gone already has said why
        let _ = self.customer.tell(&Command::Finish);
        let service = self.end(&self.service).await?;
        let customer = self.end(&self.customer).await?;
        let whole = service.received == customer.sent && customer.received == service.sent;
        if whole && service.fault.is_none() && customer.fault.is_none() {
            return Ok(());
        }
        let words: Vec<_> = world.peers().map(|peer| peer.last_words(self.began)).collect();
        let words = words.join("\n");
        Err(format!("the TCP connection did not come through: service {service:?}, customer {customer:?}\n{words}"))
    }

    /// Waits until both sides know that it broke.
    pub async fn broken(self) -> Result<(), String> {
        self.end(&self.customer).await.map(drop)
    }

    /// Waits until both sides were told that it broke: by a reset, and not by an end that nobody meant.
    pub async fn reset(self) -> Result<(), String> {
        for side in [&self.service, &self.customer] {
            let talked = self.end(side).await?;
            if !talked.fault.as_ref().is_some_and(|fault| fault.contains("reset")) {
                return Err(format!("the TCP connection was to be reset beside {}: {talked:?}", side.name));
            }
        }
        Ok(())
    }

    async fn end(&self, side: &Process) -> Result<Talked, String> {
        let talked = |event: &Event| if let Event::Talked(talked) = event { Some(talked.clone()) } else { None };
        Ok(side.when(self.began, "the end of the connection", talked).await?.1)
    }
}

fn listening(event: &Event) -> Option<u16> {
    if let Event::Listening { port } = event { Some(*port) } else { None }
}

/// Every call of a scenario.
#[derive(Debug, Default)]
pub struct Calls {
    made: BTreeMap<u64, (Moment, String)>,
    /// Runs that were counted by processes that are gone.
    ran_before: BTreeMap<u64, u64>,
}

impl Calls {
    /// Has one peer call another; the call runs when this returns.
    pub async fn begin(&mut self, world: &mut World, from: &str, to: &str) -> Result<(), String> {
        let began = Moment::now();
        let id = self.attempt(world, from, to)?;
        let runs = |event: &Event| (*event == Event::Executing { id }).then_some(());
        world.peer(to).when(began, "that a call runs", runs).await.map(drop)
    }

    /// Has two peers call each other; both calls run when this returns.
    pub async fn begin_both(&mut self, world: &mut World, one: &str, other: &str) -> Result<(), String> {
        self.begin(world, one, other).await?;
        self.begin(world, other, one).await
    }

    /// Has one peer call another, whether the call can arrive or not; gives its id.
    pub fn attempt(&mut self, world: &mut World, from: &str, to: &str) -> Result<u64, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (id, began) = (NEXT.fetch_add(1, Ordering::Relaxed), Moment::now());
        let call = Command::Call { to: to.to_owned(), id, answered_after: ANSWERED_AFTER };
        world.peer(from).tell(&call)?;
        self.made.insert(id, (began, from.to_owned()));
        Ok(id)
    }

    /// Counts what a process ran before it is gone.
    pub fn remember(&mut self, gone: &Process) {
        for id in gone.all(gone.started, executed) {
            *self.ran_before.entry(id).or_default() += 1;
        }
    }

    /// Every call has an end; none ran twice; one that was answered ran; one that cannot have happened did not.
    pub async fn check(self, world: &World) -> Result<(), String> {
        let mut runs = self.ran_before;
        let mut ends = Vec::new();
        for (id, (began, from)) in self.made {
            let end = |event: &Event| match event {
                Event::Called { id: of, outcome } if *of == id => Some(outcome.clone()),
                _ => None,
            };
            let Some(caller) = world.peers().find(|peer| peer.name == from) else { continue };
            ends.push((id, caller.when(began, "how a call ended", end).await?.1));
        }
        for id in world.peers().flat_map(|peer| peer.all(peer.started, executed)) {
            *runs.entry(id).or_default() += 1;
        }
        for (id, outcome) in ends {
            let ran = runs.get(&id).copied().unwrap_or(0);
            let holds = match &outcome {
                Outcome::Answered => ran == 1,
                Outcome::Failed { may_have_happened: true, .. } => ran <= 1,
                Outcome::Failed { may_have_happened: false, .. } => ran == 0,
            };
            if !holds {
                return Err(format!("call {id} ran {ran} times, and its caller was told {outcome:?}"));
            }
        }
        Ok(())
    }
}

fn executed(event: &Event) -> Option<u64> {
    if let Event::Executing { id } = event { Some(*id) } else { None }
}
