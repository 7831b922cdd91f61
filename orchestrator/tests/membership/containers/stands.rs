//! The sample as a mesh that stands: signaling, each service and the agent beside it in a container.

use super::podman::{Container, Network, Yard};
use crate::town::Town;

/// All of it, and this machine's way into its network.
pub struct Stands {
    pub town: Town,
    pub yard: Yard,
    here: String,
    /// Where the mesh is.
    pub control: Network,
    /// Another one, in which services are, and in which nobody of the mesh is to be reached.
    pub data: Option<Network>,
}

impl Stands {
    /// In the network `10.SECOND.x.0/24`. `part` tells it from others of this process.
    pub fn new(part: &str, second: u8) -> Self {
        Self::in_networks(part, second, None)
    }

    /// Every service in another network, too, as one that is for its data has it.
    pub fn apart(part: &str, control: u8, data: u8) -> Self {
        Self::in_networks(part, control, Some(data))
    }

    fn in_networks(part: &str, second: u8, data: Option<u8>) -> Self {
        let (town, line) = Town::without_signaling("ws");
        let mut yard = Yard::new(part);
        let dev = yard.network("dev", second);
        let data = data.map(|second| yard.network("data", second));
        let meshes = line.split_whitespace().skip_while(|word| *word != "--mesh").nth(1).expect(&line);
        yard.start(&Container {
            name: "signaling",
            image: "signaling",
            address: Some((&dev, 2)),
            variables: &[("MESHPROOF_MESHES", meshes)],
            ..Container::default()
        });
        let url = format!("ws://{}:7070/mesh", dev.address(2));
        let stands = Self { town, yard, here: dev.address(1), control: dev, data };
        stands.service(3, "ledger", &[("PORT", "7000"), ("AUDIT", "/audit/audit.log")]);
        let shop = [("PORT", "8080"), ("PAYMENTS_URL", "http://127.0.0.1:9001"), ("LEDGER", "127.0.0.1:9002")];
        stands.service(4, "shop", &shop);
        let ledger = [("MESHPROOF_SERVICE", "tcp=127.0.0.1:7000"), ("MESHPROOF_LOGS", "audit=/audit/audit.log")];
        stands.agent((&url, 3), "ledger", &ledger);
        let shop =
            [("MESHPROOF_SERVICE", "http=127.0.0.1:8080"), ("MESHPROOF_LISTEN", "payments=9001,ledger.tcp=9002")];
        stands.agent((&url, 4), "shop", &shop);
        let token = stands.town.invite("run-*", "orchestrator");
        let join = ["mesh", "join", &token, "--signaling", &url, "--addresses", &stands.here, "--out", "run.toml"];
        stands.town.done(&join);
        stands
    }

    /// A run in it, from this machine.
    pub fn run<'a>(&'a self, plan: &'a str, out: &'a str) -> [&'a str; 10] {
        ["run", plan, "--mesh", "run.toml", "--addresses", &self.here, "--out", out, "--progress", "json"]
    }

    fn service(&self, address: u8, name: &'static str, variables: &[(&str, &str)]) {
        let program = format!("/{name}");
        let audit = self.yard.volume("audit");
        self.yard.start(&Container {
            name,
            image: "sample",
            address: Some((&self.control, address)),
            also: self.data.as_ref(),
            variables,
            volumes: &[(&audit, "/audit")],
            arguments: &[&program],
            ..Container::default()
        });
    }

    fn agent(&self, (url, address): (&str, u8), name: &'static str, variables: &[(&str, &str)]) {
        let control = if self.data.is_some() { self.control.address(address) } else { "auto".to_owned() };
        let (container, beside) = (format!("{name}-agent"), self.yard.name(name));
        let token = self.yard.secret(&container, &self.town.path().join(self.town.invite(name, "agent")));
        let audit = self.yard.volume("audit");
        self.yard.start(&Container {
            name: &container,
            image: "agent",
            beside: Some(&beside),
            variables: &[&[("MESHPROOF_SIGNALING", url), ("MESHPROOF_ADDRESSES", &control)], variables].concat(),
            volumes: &[(&audit, "/audit")],
            secret: Some(&token),
            ..Container::default()
        });
        self.yard.log(&container).says("joined");
    }
}
