//! That this agent is in its mesh, said once for whoever started it: which mesh, by what name, who is there, and which ways lead here.
//!
//! It has a module of its own, so that it is told where nothing else of an agent is (`meshproof_agent::joined=info`).

use meshproof_mesh::Mesh;
use meshproof_proto::id::Name;

/// Peers that are named; of more there is the number.
const NAMED: usize = 8;

/// Says it, of an agent that this signaling server took.
pub(crate) fn tell(mesh: &Mesh, name: &Name, url: &str) {
    let roster = mesh.roster();
    let peers = peers(roster.iter().map(|peer| &peer.name));
    let addresses: Vec<String> = mesh.addresses().iter().map(ToString::to_string).collect();
    let paths = paths(&addresses.join(" "), url);
    tracing::info!(mesh = %mesh.name(), %name, peers, paths, instance = %mesh.me(), "joined");
}

/// `ledger orchestrator`, `nobody else so far`
fn peers<'n>(names: impl ExactSizeIterator<Item = &'n Name>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut named: Vec<String> = names.take(NAMED).map(ToString::to_string).collect();
    named.sort();
    match (named.is_empty(), more) {
        (true, _) => "nobody else so far".to_owned(),
        (false, 0) => named.join(" "),
        (false, more) => format!("{} and {more} more", named.join(" ")),
    }
}

/// How others get here.
fn paths(addresses: &str, url: &str) -> String {
    match addresses {
        "" => format!("relayed by {url}"),
        addresses => format!("direct at {addresses}, else relayed by {url}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_peers_are_named_and_many_are_counted() {
        let names =
            |count: usize| (0..count).map(|at| format!("shop-{at}").parse().expect("a name")).collect::<Vec<Name>>();
        assert_eq!(peers(names(0).iter()), "nobody else so far");
        assert_eq!(peers(names(2).iter()), "shop-0 shop-1");
        assert!(peers(names(20).iter()).ends_with("shop-7 and 12 more"));
        assert_eq!(paths("", "ws://a/mesh"), "relayed by ws://a/mesh");
    }
}
