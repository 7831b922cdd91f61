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
}

/// Which instance of a name it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coordinator) struct Instance {
    /// From 1.
    pub(in crate::coordinator) number: u32,
    pub(in crate::coordinator) zone: Option<String>,
}

impl Seat {
    /// Those that are known and linked.
    fn ready(&self) -> impl Iterator<Item = (u32, PeerId)> {
        let linked = self.standbys.iter().filter(|standby| standby.way.borrow().is_some());
        linked.filter_map(|standby| Some((standby.instance.as_ref()?.number, standby.peer)))
    }
}

impl Crew {
    /// An instance joined whose name another one holds.
    pub(in crate::coordinator) fn stand_by(&mut self, name: &Name, peer: PeerId) {
        if let Some(seat) = self.seats.get_mut(name) {
            seat.standbys.push(Standby { peer, way: watch::Sender::new(None), instance: None });
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
            let holder = seat.peer().map(|peer| Standby { peer, way: seat.client, instance: None });
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
            seat.standbys.push(Standby { peer: *former_peer, way: former, instance: None });
        }
    }

    /// Every instance of that name, and how to call it.
    pub(in crate::coordinator) fn all_of(&self, name: &Name) -> Vec<(PeerId, Caller)> {
        let Some(seat) = self.seats.get(name) else { return Vec::new() };
        let standbys = seat.standbys.iter().map(|standby| (standby.peer, self.calls(&standby.way)));
        seat.peer().map(|holder| (holder, self.calls(&seat.client))).into_iter().chain(standbys).collect()
    }

    /// It stands by no more.
    pub(in crate::coordinator) fn steps_down(&mut self, peer: &PeerId) {
        self.seats.values_mut().for_each(|seat| seat.standbys.retain(|standby| standby.peer != *peer));
    }

    /// The one that takes the name over next: of those that are known and linked, one that has what the one before wrote, and the lowest.
    pub(in crate::coordinator) fn next_in_line(&self, name: &Name) -> Option<PeerId> {
        let seat = self.seats.get(name).filter(|seat| seat.course == Course::Vacant)?;
        let lacks = |peer: &PeerId| seat.mirrored.as_ref().is_none_or(|(_, by)| !by.contains(peer));
        let ready = seat.ready().map(|(number, peer)| (lacks(&peer), number, peer));
        ready.min().map(|(.., peer)| peer)
    }

    /// Those that could take the name over.
    pub(in crate::coordinator) fn ready(&self, name: &Name) -> Vec<PeerId> {
        self.seats.get(name).into_iter().flat_map(Seat::ready).map(|(_, peer)| peer).collect()
    }

    /// Those that stand by and have not said which ones they are.
    pub(in crate::coordinator) fn unknown(&self) -> Vec<(Name, PeerId, Caller)> {
        let of = |(name, seat): (&Name, &Seat)| {
            let unknown = seat.standbys.iter().filter(|standby| standby.instance.is_none());
            unknown.map(|standby| (name.clone(), standby.peer, self.calls(&standby.way))).collect::<Vec<_>>()
        };
        self.seats.iter().flat_map(of).collect()
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
        let by = &seat.mirrored.as_ref()?.1;
        seat.ready().map(|(_, peer)| peer).find(|peer| by.contains(peer))
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
