//! Instances of a name that another one holds.

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::order::NameTerm;
use tokio::sync::watch;

use super::{Caller, Course, Crew, Seat, Way};

/// An instance that does not hold its name.
#[derive(Debug)]
pub(super) struct Standby {
    pub(super) peer: PeerId,
    pub(super) way: watch::Sender<Option<Way>>,
    /// What is known of it; until then it takes nothing over.
    pub(super) instance: Option<Instance>,
    pub(super) duty: Duty,
}

/// What an instance that stands by is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coordinator) enum Duty {
    TakesOver,
    /// Its zone does not count. It keeps what whoever acts writes, as its zone may count later.
    OnlyMirrors,
}

/// Which instance of a name it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coordinator) struct Instance {
    /// From 1.
    pub(in crate::coordinator) number: u32,
    pub(in crate::coordinator) zone: Option<String>,
}

impl Standby {
    pub(super) fn new(peer: PeerId, way: watch::Sender<Option<Way>>) -> Self {
        Self { peer, way, instance: None, duty: Duty::TakesOver }
    }
}

impl Seat {
    /// Those that are known and linked.
    fn ready(&self) -> impl Iterator<Item = &Standby> {
        self.standbys.iter().filter(|standby| standby.instance.is_some() && standby.way.borrow().is_some())
    }

    /// Those of them that may take the name over, with their numbers.
    fn successors(&self) -> impl Iterator<Item = (u32, PeerId)> {
        let successors = self.ready().filter(|standby| standby.duty == Duty::TakesOver);
        successors.filter_map(|standby| Some((standby.instance.as_ref()?.number, standby.peer)))
    }

    /// Whether it has everything that anything followed from.
    fn is_mirrored_by(&self, peer: &PeerId) -> bool {
        self.mirrored.as_ref().is_some_and(|(_, by)| by.contains(peer))
    }
}

impl Crew {
    /// An instance joined whose name another one holds.
    pub(in crate::coordinator) fn stand_by(&mut self, name: &Name, peer: PeerId) {
        if let Some(seat) = self.seats.get_mut(name) {
            seat.standbys.push(Standby::new(peer, watch::Sender::new(None)));
        }
    }

    pub(in crate::coordinator) fn is_standing_by(&self, peer: &PeerId) -> bool {
        self.seats.values().flat_map(|seat| &seat.standbys).any(|standby| standby.peer == *peer)
    }

    /// How to call one that stands by.
    pub(in crate::coordinator) fn standby(&self, name: &Name, peer: &PeerId) -> Option<Caller> {
        let standby = self.seats.get(name)?.standbys.iter().find(|standby| standby.peer == *peer)?;
        Some(self.calls(&standby.way))
    }

    /// An instance joined, the latest of its name, which is the one that lives if another one does not; any other one stands by.
    pub(in crate::coordinator) fn seat_beside(&mut self, name: &Name, peer: PeerId) {
        let others = self.seats.remove(name).into_iter().flat_map(|seat| {
            let holder = seat.peer().map(|peer| Standby::new(peer, seat.client));
            holder.into_iter().chain(seat.standbys)
        });
        let others = others.collect();
        self.seat(name.clone(), peer);
        if let Some(seat) = self.seats.get_mut(name) {
            seat.standbys = others;
        }
    }

    /// That instance holds the name, and any other one stands by.
    pub(in crate::coordinator) fn takes_seat(&mut self, name: &Name, peer: PeerId) {
        let Some(seat) = self.seats.get_mut(name) else { return };
        let Some(at) = seat.standbys.iter().position(|standby| standby.peer == peer) else { return };
        let standby = seat.standbys.remove(at);
        let former = std::mem::replace(&mut seat.client, standby.way);
        if let Some(former_peer) = std::mem::replace(&mut seat.held, vec![peer]).last() {
            seat.standbys.push(Standby::new(*former_peer, former));
        }
    }

    /// Every instance of that name, and how to call it.
    pub(in crate::coordinator) fn all_of(&self, name: &Name) -> Vec<(PeerId, Caller)> {
        let Some(seat) = self.seats.get(name) else { return Vec::new() };
        let standbys = seat.standbys.iter().map(|standby| (standby.peer, self.calls(&standby.way)));
        seat.peer().map(|holder| (holder, self.calls(&seat.client))).into_iter().chain(standbys).collect()
    }

    /// Every instance of every name, and how to call it.
    pub(in crate::coordinator) fn everybody(&self) -> Vec<(Name, PeerId, Caller)> {
        let names = self.seats.keys();
        let all = |name: &Name| {
            self.all_of(name).into_iter().map(|(peer, caller)| (name.clone(), peer, caller)).collect::<Vec<_>>()
        };
        names.flat_map(all).collect()
    }

    /// What it is there for from now on, if it stands by.
    pub(in crate::coordinator) fn is_to(&mut self, duty: Duty, peer: &PeerId) {
        let standbys = self.seats.values_mut().flat_map(|seat| &mut seat.standbys);
        standbys.filter(|standby| standby.peer == *peer).for_each(|standby| standby.duty = duty);
    }

    /// It stands by no more.
    pub(in crate::coordinator) fn steps_down(&mut self, peer: &PeerId) {
        self.seats.values_mut().for_each(|seat| seat.standbys.retain(|standby| standby.peer != *peer));
    }

    /// The one that takes the name over next: of those that are known and linked, one that has what the one before wrote, and the lowest.
    pub(in crate::coordinator) fn next_in_line(&self, name: &Name) -> Option<PeerId> {
        let seat = self.seats.get(name).filter(|seat| seat.course == Course::Vacant)?;
        let ready = seat.successors().map(|(number, peer)| (!seat.is_mirrored_by(&peer), number, peer));
        ready.min().map(|(.., peer)| peer)
    }

    /// Those that could take the name over, or could if their zone counted.
    pub(in crate::coordinator) fn ready(&self, name: &Name) -> Vec<PeerId> {
        self.seats.get(name).into_iter().flat_map(Seat::ready).map(|standby| standby.peer).collect()
    }

    /// Whoever has the name says which instances have what is on its disk.
    pub(in crate::coordinator) fn is_mirrored(&mut self, name: &Name, term: NameTerm, by: Vec<PeerId>) {
        if let Some(seat) = self.seats.get_mut(name) {
            seat.mirrored = Some((term, by));
        }
    }

    /// At which term the name was held last by one that has said that.
    pub(in crate::coordinator) fn mirrored_at(&self, name: &Name) -> Option<NameTerm> {
        self.seats.get(name)?.mirrored.as_ref().map(|(term, _)| *term)
    }

    /// One that could take the name over and has everything that anything followed from.
    pub(in crate::coordinator) fn heir(&self, name: &Name) -> Option<PeerId> {
        let seat = self.seats.get(name)?;
        seat.successors().map(|(_, peer)| peer).find(|peer| seat.is_mirrored_by(peer))
    }

    /// Whether nobody may take it over, and one that has everything could if its zone counted.
    pub(in crate::coordinator) fn waits_for_its_zone(&self, name: &Name) -> bool {
        let Some(seat) = self.seats.get(name) else { return false };
        seat.successors().next().is_none() && seat.ready().any(|standby| seat.is_mirrored_by(&standby.peer))
    }

    /// What that instance says of itself. Gives those that were there under the same number, of which no more than one can live.
    pub(in crate::coordinator) fn identify(&mut self, name: &Name, peer: PeerId, instance: Instance) -> Vec<PeerId> {
        let Some(seat) = self.seats.get_mut(name) else { return Vec::new() };
        let mut same = Vec::new();
        for standby in &mut seat.standbys {
            if standby.peer == peer {
                standby.instance = Some(instance.clone());
            } else if standby.instance.as_ref().is_some_and(|other| other.number == instance.number) {
                same.push(standby.peer);
            }
        }
        let holder = seat.peer().filter(|_| seat.course != Course::Vacant);
        if holder == Some(peer) {
            self.instances.insert(peer, instance);
        } else {
            let is_same =
                |holder: &PeerId| self.instances.get(holder).is_some_and(|other| other.number == instance.number);
            same.extend(holder.filter(is_same));
        }
        same
    }

    /// Which instance has the name, or had it last, as far as it is known.
    pub(in crate::coordinator) fn instance(&self, name: &Name) -> Option<&Instance> {
        self.instances.get(&self.holder(name)?)
    }

    /// Those that stand by under that number.
    pub(in crate::coordinator) fn standbys_of(&self, name: &Name, number: u32) -> Vec<PeerId> {
        let standbys = self.seats.get(name).into_iter().flat_map(|seat| &seat.standbys);
        let same =
            standbys.filter(|standby| standby.instance.as_ref().is_some_and(|instance| instance.number == number));
        same.map(|standby| standby.peer).collect()
    }

    /// The names whose holder is in that zone.
    pub(in crate::coordinator) fn acting_in(&self, zone: &str) -> Vec<Name> {
        let is_there =
            |name: &&Name| self.instance(name).is_some_and(|instance| instance.zone.as_deref() == Some(zone));
        self.seats.keys().filter(is_there).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::Term;
    use meshproof_proto::rpc::AgentClient;

    use super::*;

    const ACTS: PeerId = PeerId([1; 32]);
    const HERE: PeerId = PeerId([2; 32]);
    const ELSEWHERE: PeerId = PeerId([3; 32]);

    fn name() -> Name {
        "client".parse().expect("a name")
    }

    /// One that acts, and two that stand by and are linked, the first of them in a zone that does not count.
    fn crew() -> Crew {
        let mut crew = Crew::default();
        crew.seat(name(), ACTS);
        for (number, peer) in [(1, ELSEWHERE), (2, HERE)] {
            crew.stand_by(&name(), peer);
            let (transport, _) = tarpc::transport::channel::unbounded();
            let client = AgentClient::new(tarpc::client::Config::default(), transport).spawn();
            let standby = crew.seats[&name()].standbys.iter().find(|standby| standby.peer == peer);
            standby.expect("it stands by").way.send_replace(Some(Way { to: peer, client }));
            crew.identify(&name(), peer, Instance { number, zone: None });
        }
        crew.is_to(Duty::OnlyMirrors, &ELSEWHERE);
        crew
    }

    #[tokio::test]
    async fn one_in_a_zone_that_does_not_count_is_mirrored_to_and_takes_over_once_it_does() {
        let mut crew = crew();
        let term = NameTerm { run: Term(1), number: 1 };
        assert_eq!(crew.ready(&name()), [ELSEWHERE, HERE]);
        crew.is_mirrored(&name(), term, vec![ELSEWHERE]);
        assert!(
            crew.heir(&name()).is_none() && !crew.waits_for_its_zone(&name()),
            "one has everything, another one may"
        );
        crew.vacate(&name());
        assert_eq!(crew.next_in_line(&name()), Some(HERE), "one that lacks something comes before one that may not");
        crew.is_to(Duty::OnlyMirrors, &HERE);
        assert_eq!(crew.next_in_line(&name()), None);
        assert!(crew.waits_for_its_zone(&name()));
        crew.is_to(Duty::TakesOver, &ELSEWHERE);
        assert_eq!((crew.next_in_line(&name()), crew.heir(&name())), (Some(ELSEWHERE), Some(ELSEWHERE)));
        assert!(!crew.waits_for_its_zone(&name()));
        crew.steps_down(&ELSEWHERE);
        assert!(!crew.waits_for_its_zone(&name()), "who is there has not got everything");
    }
}
