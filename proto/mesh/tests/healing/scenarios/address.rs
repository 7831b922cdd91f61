//! A peer whose address changes, and the watcher that notices.

use std::net::{IpAddr, Ipv4Addr};

use super::{A, B, echoes, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, DETECTED, HEALED, RESUMED};
use crate::netns::{self, Host};
use crate::wire::{Event, Moment, Part};
use crate::world::World;

/// The other address of `a`, in the same subnet.
const ELSEWHERE: u8 = 111;

pub async fn replaced(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let (mut calls, addresses) = (Calls::default(), [A.1, ELSEWHERE]);
    for round in 0..board.rounds {
        calls.begin_both(&mut world, "a", "b").await?;
        let (old, new) = (netns::at(addresses[round % 2]), netns::at(addresses[(round + 1) % 2]));
        let moved = Moment::now();
        world.network.replace("a", old, new)?;
        // there is hardly a silence, so only what is said from now on proves anything
        let mark = talk.mark(Beyond::Said).await?;
        // the other side learns of it by the next offer, at the latest
        let suspected = suspects(&world, "a", "b", moved).await?;
        board.note(scenario, DETECTED, suspected.since(moved));
        let echoed = echoes(&mut world, ("a", "b")).await?;
        board.note(scenario, HEALED, echoed.since(moved));
        board.note(scenario, RESUMED, talk.passed(&mark).await?.since(moved));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// What is done to the host, and the addresses that it has then.
const CHANGES: [(&str, &[u8]); 5] = [
    ("address add 10.77.0.99/24 dev eth0\n", &[31, 99]),
    // neither of these is an address that another host could use, so neither is told
    (
        "link add docker0 type veth peer name inside\nlink set inside up\nlink set docker0 up\n\
         address add 172.17.0.1/16 dev docker0\naddress add 169.254.7.7/16 dev eth0\naddress add 10.77.0.98/24 dev eth0\n",
        &[31, 98, 99],
    ),
    ("address del 10.77.0.98/24 dev eth0\n", &[31, 99]),
    ("link set eth0 down\n", &[]),
    ("link set eth0 up\n", &[31, 99]),
];

pub async fn watched() -> Result<(), String> {
    const HOST: Host = ("w", 31);
    let world = World::new(&[HOST])?;
    let watcher = world.beside(HOST.0, &Part::Watcher)?;
    let mut told = vec![addresses(&[HOST.1])];
    watcher.when(watcher.started, "its address", is(&told[0])).await?;
    for (change, expected) in CHANGES {
        let (began, expected) = (Moment::now(), addresses(expected));
        world.network.change(HOST.0, change)?;
        watcher.when(began, &format!("{expected:?} after {change:?}"), is(&expected)).await?;
        told.push(expected);
    }
    let all = watcher.all(watcher.started, given);
    if all == told { Ok(()) } else { Err(format!("the watcher told {all:?}, and these were {told:?}")) }
}

fn addresses(last: &[u8]) -> Vec<IpAddr> {
    last.iter().map(|last| IpAddr::from(Ipv4Addr::new(10, 77, 0, *last))).collect()
}

fn given(event: &Event) -> Option<Vec<IpAddr>> {
    if let Event::Addresses { addresses } = event { Some(addresses.clone()) } else { None }
}

fn is(expected: &[IpAddr]) -> impl Fn(&Event) -> Option<()> {
    let expected = expected.to_vec();
    move |event| given(event).filter(|addresses| *addresses == expected).map(drop)
}
