//! The plan of a round.

use std::fmt::Write as _;

use crate::ground::{ASIDE, Between, FREEZE, Ground, STUB, STUB_AT};
use crate::service;

/// One fault of every kind, each for so many seconds, all at once; then it waits for what never comes.
///
/// Before it is ready each service writes where it would ask into a file of that folder that is named after the kind of its fault.
pub fn text(ground: Ground, lease_s: u64, (program, folder): (&str, &str)) -> String {
    let paths = ground.paths();
    let mut text = "meshproof: 1\nplan: leases\n".to_owned();
    if ground == Ground::Network {
        let regions = paths.iter().find(|path| path.kind.name == "regions").expect("it is among them");
        writeln!(
            text,
            "network: {{ egress: none, regions: {{ east: [n{}], west: [n{}] }} }}",
            regions.near, regions.far
        )
        .expect("a string");
    }
    text += "services:\n";
    for number in ground.services() {
        service(&mut text, (ground, number), (program, folder));
    }
    if ground == Ground::Tunnels {
        writeln!(text, "stubs:\n  pay: {{ at: n{STUB_AT}, protocol: http, unmatched: 404, routes: [] }}")
            .expect("a string");
    }
    text += "tests:\n  - id: disturbed\n    timeout: 30m\n    steps:\n      - parallel:\n";
    for Between { kind, near, far } in paths {
        let fault = kind.fault.replace("NEAR", &format!("n{near}")).replace("FAR", &format!("n{far}"));
        writeln!(text, "          - {{ id: {}, fault: {{ {fault} }}, for: {lease_s}s }}", kind.name).expect("a string");
    }
    if ground == Ground::Tunnels {
        let (stub, freeze) = (STUB, FREEZE);
        writeln!(text, "          - {{ id: {}, fault: {{ {} }}, for: {lease_s}s }}", stub.name, stub.fault)
            .expect("a string");
        writeln!(text, "          - {{ id: {}, freeze: n{ASIDE}, for: {lease_s}s }}", freeze.name).expect("a string");
    }
    text += "      - barrier: { name: never, of: n1 }\n        within: 20m\n";
    text
}

fn service(text: &mut String, (ground, number): (Ground, usize), (program, folder): (&str, &str)) {
    let (port, transport) = match ground {
        Ground::Tunnels => ("tcp: dynamic", "tcp"),
        Ground::Network => ("udp: { udp: dynamic }", "udp"),
    };
    let mut environment = vec![format!("FOLDER: \"{folder}\""), format!("SELF: n{number}")];
    for Between { kind, far, .. } in ground.paths().iter().filter(|path| path.near == number) {
        let variable = format!("{}{}", service::ASKS, kind.name);
        environment.push(format!("{variable}: \"${{{{ services.n{far}.{transport} }}}}\""));
    }
    if ground == Ground::Tunnels && number == STUB_AT {
        environment.push(format!("{}{}: \"${{{{ stubs.pay.address }}}}\"", service::ASKS, STUB.name));
    }
    if ground == Ground::Tunnels && number == ASIDE {
        environment.push(format!("{}{}: \"127.0.0.1:${{{{ self.tcp.port }}}}\"", service::ASKS, FREEZE.name));
    }
    writeln!(
        text,
        "  n{number}:\n    exec: {{ argv: [\"{program}\", {}, {transport}, \"${{{{ self.{transport}.port }}}}\"] }}\n    ports: {{ {port} }}\n    ready: {{ exec: {{ argv: [test, -e, \"{folder}/n{number}\"] }} }}\n    env: {{ {} }}",
        service::WORD,
        environment.join(", ")
    )
    .expect("a string");
}
