//! The way out of a data network: to servers of this test that are on the machine and on no run's network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::are_possible;
use crate::scene::Scene;

/// An address of this machine that is not loopback, which a service has of its own. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    (&stream).write_all(format!("heard {line}").as_bytes())
}

/// Servers that answer what they hear, until the test's process ends: one for connections, one for datagrams.
fn servers(own: IpAddr) -> [SocketAddr; 2] {
    let tcp = TcpListener::bind((own, 0)).expect("a free port");
    let udp = UdpSocket::bind((own, 0)).expect("a free port");
    let addresses = [tcp.local_addr().expect("bound"), udp.local_addr().expect("bound")];
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&[b"heard ", &buffer[..length]].concat(), from);
        }
    });
    addresses
}

/// A port that nobody listens on.
fn closed(own: IpAddr) -> SocketAddr {
    TcpListener::bind((own, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

fn ask(device: &str, to: SocketAddr) -> String {
    let bash = format!("exec 3<>/dev/{device}/{}/{}; echo me >&3; head -n 1 <&3", to.ip(), to.port());
    format!("      - at: left\n        exec: {{ argv: [bash, -c, \"{bash}\"] }}\n        within: 10s\n")
}

fn plan(egress: &str, steps: &str) -> String {
    format!(
        "meshproof: 1\nplan: out\nnetwork: {{ {egress} }}\nservices:\n  left: &idle {{ exec: {{ argv: [tail, -f, /dev/null] }} }}\n  \
         right: *idle\ntests:\n  - id: out\n    steps:\n{steps}"
    )
}

#[test]
fn a_service_gets_where_the_machine_gets_unless_the_plan_says_none() {
    if !are_possible() {
        return;
    }
    let Some(own) = own_address() else {
        return println!("skipped: this machine has no address beside loopback");
    };
    let [tcp, udp] = servers(own);
    let heard = "        expect: { stdout: heard me }\n";
    let refused = "        expect: { code: 1, stderr: { contains: refused } }\n";
    let nowhere = "        expect: { code: 1, stderr: { contains: unreachable } }\n";
    let out = [
        ask("tcp", tcp),
        heard.to_owned(),
        ask("udp", udp),
        heard.to_owned(),
        ask("tcp", closed(own)),
        refused.to_owned(),
    ];
    let kept_in = [ask("tcp", tcp), nowhere.to_owned(), ask("udp", udp), nowhere.to_owned()];
    for text in [plan("default: { latency: 1ms }", &out.concat()), plan("egress: none", &kept_in.concat())] {
        let scene = Scene::new();
        let path = scene.path().join("plan.yaml");
        std::fs::write(&path, text).expect("a new file");
        scene.run_plain(&path).end().assert_code(0);
        scene.assert_nothing_left();
    }
}
