//! Two clouds between which there is no way, and this machine: one mesh, of connections that each of them opens outwards.
//!
//! What stands on the internet (signaling, a TURN server, a proxy) has an address that both clouds get out to. Nothing gets into
//! them but answers, from this machine neither.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::podman::{Container, Network, Yard};
use super::{images, is_possible, root};
use crate::process::Process;
use crate::town::Town;

const SECRET: &str = "between these two";

/// Where the proxy listens.
const PROXY: u16 = 3128;

/// Seen by an agent, and by the run.
fn paths(of: &str) -> String {
    format!(
        "meshproof: 1\nplan: paths\nservices:\n  shop: {{ ports: {{ http: 8080 }} }}\n  ledger: {{ ports: {{ tcp: 7000 }} }}\ntests:\n  \
         - id: t\n    steps:\n      - {{ at: shop, to: ledger, tcp: {{ send: \"STATUS nobody\\n\" }}, expect: {{ line: /./ }} }}\n      \
         - {{ expect: {{ link: shop <-> ledger, is: up, path: {of} }} }}\n"
    )
}

#[test]
fn two_clouds_and_this_machine_are_one_mesh_by_a_turn_server_and_without_udp_by_a_proxy() {
    if !is_possible() {
        return;
    }
    images();
    let internet = match Internet::new() {
        Ok(internet) => internet,
        Err(why) => {
            println!("skipped: two clouds, because {why}");
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "CI has root, ip, nft, coturn and squid");
            return;
        }
    };
    let mut yard = Yard::new("c");
    let (east, west) = (yard.network("east", 96), yard.network("west", 95));
    let walls = Walls::around(&[&east, &west], &internet);

    let (mut town, line) = Town::without_signaling("ws");
    std::fs::write(town.path().join("secret"), SECRET).expect("a new file");
    let turn = format!("--ice turn:{}:3478 --turn-secret-file secret", internet.address(1));
    town.start_signaling(&format!("{} {turn}", line.replace("127.0.0.1", &internet.address(1))));
    let url = format!("ws://{}:{}/mesh", internet.address(1), town.port());
    let clouds = Clouds { yard: &yard, town: &town, url };
    clouds.services(&east, &west);
    assert!(!clouds.reaches("shop", &west.address(3)), "a way from one cloud to the other");
    assert!(clouds.reaches("shop", &internet.address(1)), "a way out");
    let here = internet.address(2);
    let token = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &token, "--signaling", &clouds.url, "--addresses", &here, "--out", "run.toml"]);

    let mut turn = turn_server(town.path(), &internet.address(1));
    turn.says("Total General servers");
    clouds.agents(&[]);
    clouds.runs(&here, "turn");
    clouds.leave();
    turn.kill();

    let mut proxy = proxy(town.path(), &internet.address(1));
    proxy.says("Accepting HTTP Socket connections");
    walls.let_out_only_to_the_proxy();
    assert!(!clouds.reaches("shop", &internet.address(1)), "only the proxy's port is let out to");
    clouds.agents(&[("MESHPROOF_PROXY", &format!("http://{}:{PROXY}", internet.address(1)))]);
    clouds.runs(&here, "relayed");
}

struct Clouds<'a> {
    yard: &'a Yard,
    town: &'a Town,
    url: String,
}

impl Clouds<'_> {
    /// The shop in one cloud, the ledger in the other.
    fn services(&self, east: &Network, west: &Network) {
        let audit = self.yard.volume("audit");
        self.yard.start(&Container {
            name: "ledger",
            image: "sample",
            address: Some((west, 3)),
            variables: &[("PORT", "7000"), ("AUDIT", "/audit/audit.log")],
            volumes: &[(&audit, "/audit")],
            arguments: &["/ledger"],
            ..Container::default()
        });
        self.yard.start(&Container {
            name: "shop",
            image: "sample",
            address: Some((east, 4)),
            variables: &[("PORT", "8080"), ("PAYMENTS_URL", "http://127.0.0.1:9001"), ("LEDGER", "127.0.0.1:9002")],
            arguments: &["/shop"],
            ..Container::default()
        });
    }

    fn agents(&self, ways: &[(&str, &str)]) {
        let audit = self.yard.volume("audit");
        let ledger = [("MESHPROOF_SERVICE", "tcp=127.0.0.1:7000"), ("MESHPROOF_LOGS", "audit=/audit/audit.log")];
        let shop =
            [("MESHPROOF_SERVICE", "http=127.0.0.1:8080"), ("MESHPROOF_LISTEN", "payments=9001,ledger.tcp=9002")];
        for (name, settings, volumes) in
            [("ledger", ledger, &[(audit.as_str(), "/audit")][..]), ("shop", shop, &[][..])]
        {
            let container = format!("{name}-agent");
            let file = self.town.path().join(format!("{name}.token"));
            if !file.exists() {
                self.town.invite(name, "agent");
            }
            let token = self.yard.secret(&container, &file);
            self.yard.start(&Container {
                name: &container,
                image: "agent",
                beside: Some(&self.yard.name(name)),
                variables: &[&[("MESHPROOF_SIGNALING", self.url.as_str())], &settings[..], ways].concat(),
                volumes,
                secret: Some(&token),
                ..Container::default()
            });
            self.yard.log(&container).says("joined");
        }
    }

    fn leave(&self) {
        for name in ["ledger-agent", "shop-agent"] {
            self.yard.remove(name);
            self.yard.forget(name);
        }
    }

    /// The sample plan, and the way that one cloud has to the other.
    fn runs(&self, here: &str, path: &str) {
        let run = |plan: &str, out: &str| {
            self.town.done(&["run", plan, "--mesh", "run.toml", "--addresses", here, "--out", out]);
        };
        run(&root().join("testdata/checkout/plan.yaml").display().to_string(), &format!("sample-{path}"));
        std::fs::write(self.town.path().join("paths.yaml"), paths(path)).expect("a new file");
        run("paths.yaml", &format!("paths-{path}"));
        let links = self.town.done(&["links", "--mesh", "run.toml", "--addresses", here, "--json"]);
        assert!(links.contains(&format!("\"{path}\"")) && !links.contains("does not answer"), "{links}");
    }

    /// Whether something answers there to who lives where this container does.
    fn reaches(&self, container: &str, address: &str) -> bool {
        let net = format!("--net=/proc/{}/ns/net", self.yard.process(container));
        let mut ping = Command::new("nsenter");
        ping.args([&net, "ping", "-c", "1", "-W", "1", address]).stdout(Stdio::null());
        ping.status().expect("there are nsenter and ping").success()
    }
}

/// An address of this machine that is neither of its own programs nor of a cloud, and another one for whoever sits at it.
struct Internet {
    wire: String,
    number: u32,
}

impl Internet {
    /// None, and why, where that cannot be had.
    fn new() -> Result<Self, String> {
        for program in ["turnserver", "squid", "nft", "nsenter", "ping"] {
            let there = Command::new("which").arg(program).stdout(Stdio::null()).status();
            if !there.is_ok_and(|status| status.success()) {
                return Err(format!("{program} is not installed"));
            }
        }
        let number = std::process::id();
        let internet = Self { wire: format!("mpi{number}"), number: number % 200 };
        let (wire, end) = (&internet.wire, format!("{}e", internet.wire));
        for line in [
            format!("ip link add {wire} type veth peer name {end}"),
            format!("ip addr add {}/24 dev {wire}", internet.address(1)),
            format!("ip addr add {}/24 dev {wire}", internet.address(2)),
            format!("ip link set {wire} up"),
            format!("ip link set {end} up"),
        ] {
            crate::place::run(&line)?;
        }
        Ok(internet)
    }

    fn address(&self, host: u8) -> String {
        format!("10.94.{}.{host}", self.number)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = crate::place::run(&format!("ip link del {}", self.wire));
    }
}

/// What lets nothing into the clouds, and at last nearly nothing out.
struct Walls {
    table: String,
    clouds: String,
    internet: String,
}

impl Walls {
    fn around(clouds: &[&Network], internet: &Internet) -> Self {
        let subnets: Vec<String> = clouds.iter().map(|cloud| cloud.subnet()).collect();
        let walls = Self {
            table: internet.wire.clone(),
            clouds: format!("{{ {} }}", subnets.join(", ")),
            internet: internet.address(1),
        };
        let Self { table, clouds, .. } = &walls;
        crate::place::nft(&format!(
            "table ip {table} {{\n  chain in {{\n    type filter hook output priority 0;\n    ip daddr {clouds} ct state new drop\n  }}\n  \
             chain between {{\n    type filter hook forward priority 0;\n    ip saddr {clouds} ip daddr {clouds} drop\n  }}\n}}\n"
        ));
        walls
    }

    /// No UDP, and of TCP only what goes to the proxy.
    fn let_out_only_to_the_proxy(&self) {
        let Self { table, clouds, internet } = self;
        crate::place::nft(&format!(
            "table ip {table} {{\n  chain out {{\n    type filter hook input priority 0;\n    \
             ip saddr {clouds} ip daddr {internet} tcp dport {PROXY} accept\n    ip saddr {clouds} drop\n  }}\n}}\n"
        ));
    }
}

impl Drop for Walls {
    fn drop(&mut self) {
        let _ = crate::place::run(&format!("nft delete table ip {}", self.table));
    }
}

fn turn_server(folder: &Path, address: &str) -> Process {
    let mut command = Command::new("turnserver");
    command.args([
        "-n",
        "--log-file",
        "stdout",
        "--pidfile",
        "/dev/null",
        "--no-cli",
        "--no-tls",
        "--no-dtls",
        "--no-tcp",
    ]);
    command.args(["--use-auth-secret", "--static-auth-secret", SECRET, "--realm", "dev"]);
    command.args(["--listening-ip", address, "--relay-ip", address, "--listening-port", "3478", "--db"]);
    command.arg(folder.join("turn.db"));
    Process::start(command)
}

/// It lets everybody get anywhere by CONNECT.
fn proxy(folder: &Path, address: &str) -> Process {
    let file: PathBuf = folder.join("squid.conf");
    let text = format!(
        "http_port {address}:{PROXY}\nhttp_access allow all\ncache deny all\naccess_log none\npid_filename none\n\
         shutdown_lifetime 0 seconds\n"
    );
    std::fs::write(&file, text).expect("a new file");
    let mut command = Command::new("squid");
    command.args(["-N", "-d", "1", "-f"]).arg(file);
    Process::start(command)
}
