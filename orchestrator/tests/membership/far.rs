//! A mesh between two places that have no path for UDP: all that one of them lets out is TCP to the signaling server.

use std::process::Command;

use crate::place::run;
use crate::process::Process;
use crate::town::Town;

const PLAN: &str = "meshproof: 1\nplan: far\nservices:\n  near: { ports: { http: 8080 } }\n  far: {}\ntests:\n  - id: t\n    steps:\n      \
    - at: far\n        to: near\n        http: { get: /hello.txt }\n        expect: { status: 200, body: \"hello from afar\" }\n      \
    - { expect: { link: near <-> far, is: up, path: relayed } }\n";

/// A network namespace with one way out, over which no UDP goes.
struct Place {
    name: String,
    wire: String,
    net: u8,
}

impl Place {
    /// None, and why, where that cannot be had.
    fn new() -> Result<Self, String> {
        let number = std::process::id();
        let net = u8::try_from(number % 200).expect("it is below 200");
        let place = Self { name: format!("mpf{number}"), wire: format!("mpf{number}"), net };
        let (name, wire) = (&place.name, &place.wire);
        let (inside, ours, theirs) = (format!("{wire}i"), place.address(1), place.address(2));
        for line in [
            format!("ip netns add {name}"),
            format!("ip link add {wire} type veth peer name {inside} netns {name}"),
            format!("ip addr add {ours}/24 dev {wire}"),
            format!("ip link set {wire} up"),
            format!("ip -n {name} addr add {theirs}/24 dev {inside}"),
            format!("ip -n {name} link set {inside} up"),
            format!("ip -n {name} link set lo up"),
            format!("ip netns exec {name} nft add table inet f"),
            format!("ip netns exec {name} nft add chain inet f out {{ type filter hook output priority 0 ; }}"),
            format!("ip netns exec {name} nft add rule inet f out ip protocol udp drop"),
        ] {
            run(&line)?;
        }
        Ok(place)
    }

    fn address(&self, host: u8) -> String {
        format!("10.98.{}.{host}", self.net)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // its end of the wire goes with it, and so does ours
        let _ = run(&format!("ip netns del {}", self.name));
    }
}

#[test]
fn a_run_reaches_a_service_from_a_place_that_lets_out_nothing_but_tcp_to_signaling() {
    let place = match Place::new() {
        Ok(place) => place,
        Err(why) => {
            println!("skipped: a place without UDP, because {why}");
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "CI has root, ip and nft");
            return;
        }
    };
    let (ours, theirs) = (place.address(1), place.address(2));
    let (mut town, line) = Town::without_signaling("ws");
    let url = format!("ws://{ours}:{}/mesh", town.port());
    town.start_signaling(&line.replace("127.0.0.1", &ours));
    let web = town.path().join("web");
    std::fs::create_dir(&web)
        .and_then(|()| std::fs::write(web.join("hello.txt"), "hello from afar"))
        .expect("a new file");
    let mut python = Command::new("python3");
    python.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]).current_dir(&web);
    let mut service = Process::start(python);
    let port = service
        .says("port ")
        .split("port ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next().map(str::to_owned))
        .expect("its port");

    let tokens = ["near", "far"].map(|name| town.invite(name, "agent"));
    let at = format!("http=127.0.0.1:{port}");
    let near = ["agent", "--token-file", &tokens[0], "--signaling", &url, "--addresses", &ours, "--service", &at];
    let mut near = Process::start(logging(town.command(&near)));
    near.says("joined");
    let inside = town.command(&["agent", "--token-file", &tokens[1], "--signaling", &url, "--addresses", &theirs]);
    let mut entered = Command::new("ip");
    entered
        .args(["netns", "exec", &place.name])
        .arg(inside.get_program())
        .args(inside.get_args())
        .current_dir(town.path());
    let mut far = Process::start(logging(entered));
    far.says("joined");
    let token = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &token, "--signaling", &url, "--addresses", &ours, "--out", "run.toml"]);
    std::fs::write(town.path().join("plan.yaml"), PLAN).expect("a new file");
    town.done(&["run", "plan.yaml", "--mesh", "run.toml", "--addresses", &ours, "--out", "out"]);
    let links = town.done(&["links", "--mesh", "run.toml", "--addresses", &ours, "--json"]);
    assert!(links.contains("relayed") && !links.contains("does not answer"), "{links}");
}

fn logging(mut command: Command) -> Command {
    command.env("MESHPROOF_LOG", "info,webrtc=error,rtc=error,tarpc=off");
    command
}
