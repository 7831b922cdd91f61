use super::*;

const RUNNING: u32 = 0x1 | 0x40;
const LOOPBACK: u32 = RUNNING | 0x8;
const TENTATIVE: u32 = 0x40;

fn interface(index: u32, name: &str, flags: u32) -> Interface {
    Interface { index, name: name.to_owned(), flags }
}

fn on(interface: u32, address: &str) -> Assigned {
    Assigned { interface, address: address.parse().expect("an address"), flags: 0 }
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}

#[test]
fn addresses_that_reach_only_the_neighbour_or_nobody_are_left_out() {
    let interfaces = [interface(2, "eth0", RUNNING)];
    let unusable =
        ["169.254.3.4", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255", "::ffff:10.0.0.1"];
    let assigned: Vec<_> =
        unusable.into_iter().chain(["10.0.0.1", "2001:db8::1"]).map(|address| on(2, address)).collect();
    assert_eq!(usable(&interfaces, &assigned, Scope::Network), set(&["10.0.0.1", "2001:db8::1"]));
}

#[test]
fn what_is_offered_is_named_or_whatever_is_there() {
    let offered = |text: &str| text.parse().map(|offered: Offered| offered.addresses());
    let named = ["10.0.0.1", "2001:db8::1"].map(|address| address.parse().expect("an address"));
    assert_eq!(offered("10.0.0.1,2001:db8::1"), Ok(named.to_vec()));
    assert_eq!(offered("auto"), Ok(Vec::new()), "the mesh looks for itself");
    for wrong in ["", "10.0.0.1,", "auto,10.0.0.1", "eth0"] {
        let told = offered(wrong).expect_err(wrong);
        assert!(told.contains("is not an IP address; several"), "{told}");
    }
}

#[test]
fn an_interface_is_asked_for_by_name() {
    let of = |name| of_interface(name).map(|offered| offered.addresses()).map_err(|error| error.to_string());
    assert!(of("lo").expect("this machine has a loopback").contains(&[127, 0, 0, 1].into()));
    let told = of("nowhere0").expect_err("there is none");
    assert!(told.starts_with("there is no interface `nowhere0`; there are ") && told.contains("lo"), "{told}");
}

#[test]
fn loopback_is_given_only_when_asked_for() {
    let interfaces = [interface(1, "lo", LOOPBACK), interface(2, "eth0", RUNNING)];
    let assigned = [on(1, "127.0.0.1"), on(1, "::1"), on(1, "10.9.9.9"), on(2, "10.0.0.1")];
    assert_eq!(usable(&interfaces, &assigned, Scope::Network), set(&["10.0.0.1"]));
    let both = usable(&interfaces, &assigned, Scope::NetworkAndLoopback);
    assert_eq!(both, set(&["127.0.0.1", "::1", "10.9.9.9", "10.0.0.1"]));
}

#[test]
fn bridges_to_containers_of_this_machine_are_left_out_and_bridges_of_people_are_not() {
    let names = ["docker0", "br-0123456789ab", "podman1", "cni-podman0", "virbr0", "br-lan", "br0", "eth0"];
    let interfaces: Vec<_> = (0..).zip(names).map(|(index, name)| interface(index, name, RUNNING)).collect();
    let assigned: Vec<_> = (0..8).map(|index| on(index, &format!("10.0.0.{index}"))).collect();
    assert_eq!(usable(&interfaces, &assigned, Scope::Network), set(&["10.0.0.5", "10.0.0.6", "10.0.0.7"]));
}

#[test]
fn an_address_on_two_interfaces_is_given_once_and_one_that_is_not_settled_not_at_all() {
    let interfaces = [interface(2, "eth0", RUNNING), interface(3, "wlan0", RUNNING), interface(4, "eth1", 0x1)];
    let tentative = Assigned { flags: TENTATIVE, ..on(2, "2001:db8::2") };
    let assigned = [on(2, "10.0.0.1"), on(3, "10.0.0.1"), tentative, on(4, "10.0.0.4"), on(9, "10.0.0.9")];
    assert_eq!(usable(&interfaces, &assigned, Scope::Network), set(&["10.0.0.1"]));
}

#[test]
fn a_host_with_very_many_addresses_gives_the_lowest() {
    let interfaces = [interface(2, "eth0", RUNNING)];
    let assigned: Vec<_> = (0..200).rev().map(|last| on(2, &format!("10.0.0.{last}"))).collect();
    let given = usable(&interfaces, &assigned, Scope::Network);
    assert_eq!(given.len(), MOST_ADDRESSES);
    assert!(given.contains(&"10.0.0.0".parse::<IpAddr>().expect("an address")));
}

#[test]
fn the_kernel_of_this_machine_is_understood() {
    let socket = netlink::Socket::new().expect("a netlink socket");
    let interfaces = socket.interfaces().expect("answered");
    let loopback = interfaces.iter().find(|interface| interface.is_loopback()).expect("every machine has one");
    assert_eq!(loopback.name, "lo");
    if loopback.is_running() {
        let assigned = socket.assigned().expect("answered");
        assert!(assigned.iter().any(|assigned| assigned.address.is_loopback() && assigned.interface == loopback.index));
    }
}

#[test]
fn messages_of_the_kernel_that_are_cut_off_anywhere_are_survived() {
    let mut link = vec![0; 16];
    link[4..8].copy_from_slice(&7_u32.to_ne_bytes());
    link.extend(8_u16.to_ne_bytes().into_iter().chain(3_u16.to_ne_bytes()).chain(*b"eth\0"));
    assert_eq!(
        netlink::interface(&link).map(|interface| (interface.index, interface.name)),
        Some((7, "eth".to_owned()))
    );
    for end in 0..link.len() {
        let _ = netlink::interface(&link[..end]);
        let _ = netlink::assigned(&link[..end]);
    }
}
