//! The data network: who has which address, what lies between whom, and what cannot be.

use super::*;
use meshproof_proto::id::Name;
use meshproof_proto::order::Egress;

const PLAN: &str = "\
meshproof: 1
plan: p
network:
  default: { latency: 20ms, loss: 1% }
  regions: { eu: [a, b], us: [c] }
  between: [[eu, us, 45ms], [a, b, { bandwidth: 1mbit }]]
  egress: none
services:
  a: { exec: { argv: [a, \"${{ self.host }}\", \"${{ services.c.host }}\"] }, ports: { tcp: 7 } }
  b: { exec: { argv: [b] }, ports: { tcp: 7 } }
  c: { exec: { argv: [c, \"${{ services.a.tcp }}\"] }, ports: { tcp: 7, http: dynamic } }
stubs: { bank: { at: a, protocol: http, unmatched: 404, routes: [] } }
faults: { cut: { partition: [[eu], [us]] } }
tests:
  - id: t
    steps:
      - fault: cut
      - { at: b, exec: { argv: [date] } }
";

#[test]
fn every_service_has_an_address_and_conditions_to_every_other_one() {
    let plan = check("plan.yaml", PLAN.as_bytes(), &Inputs::default()).plan.expect("a good plan");
    let network = plan.network.as_ref().expect("it has one");
    assert_eq!(network.egress, Egress::Nowhere);
    let name = |text: &str| text.parse::<meshproof_proto::id::Name>().expect("a name");
    let seen = network.seen_from(&name("a")).expect("a lives there");
    assert_eq!((seen.address.to_string(), seen.others.len()), ("198.18.0.1".to_owned(), 2));
    assert_eq!(seen.others[&name("c")].address.to_string(), "198.18.0.3");
    let shape = |from: &str, to: &str| {
        let shape = &network.shapes[&(name(from), name(to))];
        (shape.latency_us, shape.loss_percent, shape.bandwidth_bits_per_s)
    };
    assert_eq!(shape("a", "c"), (45_000, 1.0, None));
    assert_eq!(shape("c", "b"), (45_000, 1.0, None));
    assert_eq!(shape("b", "a"), (20_000, 1.0, Some(1_000_000)));
    let Does::Fault(cut) = &plan.tests[0].steps[0].does else { panic!("{:?}", plan.tests[0].steps[0]) };
    assert_eq!(cut.fault.parts.len(), 2, "a and b each cut themselves off from c: {:?}", cut.fault.parts);
}

#[test]
fn members_of_groups_are_dealt_out_to_regions_that_are_shares() {
    let groups = "groups:\n  seeds: { count: 2, exec: { argv: [a] } }\n  nodes: { count: 6, exec: { argv: [b] } }\n  odd: { count: 1, exec: { argv: [c] } }\n";
    let network = "network:\n  regions: { eu: 50%, us: 25%, far: [odd] }\n  between: [[eu, us, 45ms], [far, eu, 90ms], [seeds, odd, 7ms]]\n";
    let text = format!("meshproof: 1\nplan: p\n{network}{groups}tests:\n  - {{ id: t, steps: [{{ say: hello }}] }}\n");
    let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
    let plan = checked.plan.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let labels: Vec<String> = plan.labels().into_iter().map(|(name, labels)| format!("{name} {}", labels[0])).collect();
    assert_eq!(labels[0], "nodes-1 group=nodes,region=eu");
    assert_eq!(labels.iter().filter(|labels| labels.contains("region=us")).count(), 2, "{labels:?}");
    assert!(labels.contains(&"nodes-2 group=nodes".to_owned()), "a quarter is in no region: {labels:?}");
    assert!(labels.contains(&"odd-1 group=odd,region=far".to_owned()), "{labels:?}");
    let shapes = &plan.network.as_ref().expect("it has one").shapes;
    let has = |from: &str, to: &str, latency_us| {
        let is_it = |pair: &(Name, Name)| pair.0.as_str() == from && pair.1.as_str() == to;
        shapes.iter().any(|(pair, shape)| is_it(pair) && shape.latency_us == latency_us)
    };
    let everybody = ["seeds-1", "seeds-2", "nodes-1", "nodes-2", "nodes-3", "nodes-4", "nodes-5", "nodes-6"];
    let eu: Vec<&str> = everybody.into_iter().filter(|name| has(name, "odd-1", 90_000)).collect();
    // seeds are nearer to the odd one than their region is
    assert_eq!(eu, ["nodes-1", "nodes-4", "nodes-5"], "half of them, of each group");
    assert_eq!(everybody.into_iter().filter(|name| has(name, "nodes-1", 45_000)).count(), 2, "a quarter is in us");
}

#[test]
fn what_cannot_be_on_a_network_is_refused_where_it_stands() {
    for (from, to, found) in [
        ("us: [c]", "us: 60%, asia: 50%", "MP0203 [50%] with this region all shares are 110%"),
        ("us: [c]", "us: 5", "MP0201 [5] a bare number where a unit belongs"),
        ("us: [c]", "us: []", "MP0206 [[]] nobody is in this region"),
        ("us: [c]", "us: [d]", "MP0301 [d] there is no service `d`"),
        ("[eu, us, 45ms]", "[eu, asia, 45ms]", "MP0301 [asia] `asia` is neither a region nor a service or group"),
        ("[eu, us, 45ms]", "[eu, us]", "MP0108 [[eu, us]] this does not say what lies between what"),
        ("us: [c]", "us: [c], a: [c]", "MP0308 [a] `a` is a service, so it cannot be a region too"),
        ("egress: none", "egress: some", "MP0204 [some] `some` is not one of the choices"),
        (
            "b: { exec: { argv: [b] }, ",
            "b: { ",
            "MP0110 [b] a service that runs already, in a plan with `network`, is not supported by this version yet",
        ),
        (
            "[date]",
            "[date, \"${{ stubs.bank.url }}\"]",
            "MP0110 [stubs.bank.url] a stub at `a` for `b`, in a plan with `network`, is not supported by this version yet",
        ),
        (
            "{ partition: [[eu], [us]] }",
            "{ traffic: a -> c, reset: true }",
            "MP0406 [{ traffic: a -> c, reset: true }] this is done to connections, and a network carries packets: reset",
        ),
        ("[[eu], [us]]", "[[eu], [a, us]]", "MP0308 [[[eu], [a, us]]] `a` is on two sides"),
        ("loss: 1%", "loss: 101%", "MP0203 [101%] `101%` is out of range"),
    ] {
        assert!(PLAN.contains(from), "{from}");
        let found_here = problems(&PLAN.replace(from, to));
        assert_eq!(found_here, [found], "{from} -> {to}");
    }
}
