//! From nothing to a mesh of agents with their orders: keeper, signaling, joining, initializing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use futures::future::join_all;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::Name;
use meshproof_proto::identity::Token;
use meshproof_proto::order::{Initialize, Initialized, ServicePlace, Transport, TunnelOrder};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::confided;
use super::driver::Driver;
use super::files::Files;
use super::held;
use super::outcome::Broken;
use super::{programs, standing, turn};
use crate::local::{self, Engine, LocalEnvironment, PortWish, Programs, Spec, Wishes, Withheld};
use crate::plan::compiled::{Endpoint, Port, Service, Tunnel};
use crate::record::Happening;
use crate::run::{Place, Setting, early_scope};

/// Ports for services that live in a namespace of their own and ask for any: below those that the kernel gives away itself.
const OWN_PORTS: Range<u16> = 20_000..30_000;

/// The mesh of a run that has no mesh of its own.
const MESH: &str = "local";

impl Driver {
    /// Makes everything that the plan's services need; gives what is known then. Stopped, it leaves behind what can be ended:
    /// no environment, or one that has started.
    pub(super) async fn make_ready(&mut self, stop: &CancellationToken) -> Result<Setting, Broken> {
        if stop.is_cancelled() {
            return Err(Broken::because("stopped"));
        }
        let began = Instant::now();
        self.files = Files::look(&self.plan, &self.options.plan_dir).await?;
        let held = held::texts(&self.plan, (&self.options.run, &self.files.of), &self.options.plan_dir)?;
        confided::keys(&held).for_each(|(name, key)| self.confided.insert(name, key));
        let masker = self.confided.masker().map_err(|error| Broken::because(error.to_string()))?;
        self.scribe.mask_with(masker);
        if let Some(clustered) = self.options.cluster.clone() {
            // from here on it is a mesh that stands
            self.options.mesh = Some(stopping(self.make_cluster(clustered, &held), stop).await?);
        }
        let setting = match self.options.mesh.clone() {
            Some(standing) => {
                let config = standing::config(standing)?;
                stopping(self.form(config, began, &held), stop).await?
            }
            None => self.make_mesh((began, &held), stop).await?,
        };
        Ok(Setting { held, files: self.files.of.clone(), ..setting })
    }

    /// A mesh for this run alone, on this machine.
    async fn make_mesh(
        &mut self,
        (began, held): (Instant, &BTreeMap<String, String>),
        stop: &CancellationToken,
    ) -> Result<Setting, Broken> {
        self.clear_leftovers().await?;
        let services: Vec<Name> = self.plan.services.iter().map(|service| service.name.clone()).collect();
        let mesh_name: Name = MESH.parse().map_err(|error| Broken::because(format!("{error}")))?;
        let mut spec = Spec::new(self.options.run.clone(), mesh_name.clone(), services)?;
        let guests = self.plan.services.iter().filter(|service| *service.agent() != service.name);
        spec.guests = guests.map(|guest| guest.name.clone()).collect();
        spec.withheld = Withheld::of(&self.plan);
        spec.capabilities = self.plan.capabilities();
        spec.reports = Some(self.options.out.clone());
        spec.networked = self.plan.network.as_ref().map(|network| network.addresses.clone()).unwrap_or_default();
        spec.labels = self.plan.labels();
        if let Some(binary) = &self.options.binary {
            spec.programs = Programs::of(binary).map_err(|error| Broken::because(error.to_string()))?;
        }
        if let Some(engine) = self.options.on {
            spec = self.contain(spec, engine).await?;
        }
        let (environment, notices) = LocalEnvironment::start(spec).await?;
        self.release = environment.releaser();
        let config = own_mesh(mesh_name, environment.token().clone(), vec![environment.signaling().to_owned()])?;
        self.environment = Some(environment);
        self.notices = Some(notices);
        stopping(self.form(config, began, held), stop).await
    }

    /// Beside the loop, as an image may have to be fetched.
    async fn contain(&self, mut spec: Spec, engine: Engine) -> Result<Spec, Broken> {
        let started = self.plan.services.iter().filter(|service| !service.processes.is_empty());
        let image = |service: &Service| service.image.as_ref().map(|image| image.value.clone());
        let services: BTreeMap<_, _> = started.map(|service| (service.name.clone(), image(service))).collect();
        if services.is_empty() {
            return Err(Broken::because(
                "the plan starts no service, so there is nothing that could be in a container",
            ));
        }
        let plan_dir = self.options.plan_dir.clone();
        let contained = tokio::task::spawn_blocking(move || {
            local::contain(&mut spec, engine, (&plan_dir, services)).map(|()| spec)
        });
        Ok(contained.await.map_err(|error| Broken::because(error.to_string()))??)
    }

    /// What earlier runs have left could hold ports that this one wants. That something cannot be looked at is said by what needs it.
    async fn clear_leftovers(&mut self) -> Result<(), Broken> {
        let cleared =
            tokio::task::spawn_blocking(local::clear).await.map_err(|error| Broken::because(error.to_string()))?;
        for leftover in cleared.unwrap_or_default() {
            self.scribe.say_early(Happening::Noted { text: leftover.to_string() })?;
        }
        Ok(())
    }

    /// Joins the mesh, waits for the agents, and gives them their orders.
    async fn form(
        &mut self,
        config: MeshConfig,
        began: Instant,
        held: &BTreeMap<String, String>,
    ) -> Result<Setting, Broken> {
        let agents: BTreeSet<Name> = self.plan.agents().cloned().collect();
        let (mesh, events) = join(config)?;
        self.mesh = Some(mesh);
        self.mesh_events = Some(events);
        let allotted = match self.environment {
            Some(_) => Some(self.allot().await?),
            None => None,
        };
        let peers = agents.len() + 1;
        self.gather(agents).await?;
        let places = match allotted {
            Some(places) => places,
            None => self.found_places().await?,
        };
        let duration_ms = began.elapsed().as_secs_f64() * 1_000.0;
        self.scribe.say_early(Happening::MeshFormed { peers, duration_ms })?;
        let initialized = self.initialize(&places, held).await?;
        self.first_instances().await.map_err(Broken::because)?;
        if self.environment.is_none() {
            self.ask_which_ones_they_are();
        }
        self.ports = places.iter().map(|(name, place)| (name.clone(), numbers(place))).collect();
        Ok(self.setting(places, initialized))
    }

    /// What the machine is told of places and of what agents made ready.
    pub(super) fn setting(
        &self,
        places: BTreeMap<Name, local::Place>,
        initialized: BTreeMap<Name, Initialized>,
    ) -> Setting {
        let hosts = self.plan.network.iter().flat_map(|network| &network.addresses);
        let hosts = hosts.map(|(name, address)| (name.clone(), address.to_string())).collect();
        let mut setting = Setting { hosts, ..setting(places, initialized) };
        // who shares an agent reaches others through its tunnels
        for tunnel in &self.plan.tunnels {
            let Some(address) = setting.addresses.get(tunnel).cloned() else { continue };
            for guest in self.plan.guests(&tunnel.at) {
                let tunnel = Tunnel { at: guest.name.clone(), to: tunnel.to.clone() };
                setting.addresses.insert(tunnel, address.clone());
            }
        }
        setting
    }

    async fn allot(&mut self) -> Result<BTreeMap<Name, local::Place>, Broken> {
        let wishes = self.wishes();
        let environment = self.environment.as_mut().ok_or_else(|| Broken::because("there is no environment"))?;
        Ok(environment.allot(wishes).await?)
    }

    /// What each service wants of its place.
    pub(super) fn wishes(&self) -> BTreeMap<Name, Wishes> {
        let network = self.plan.network.as_ref();
        let wishes = self.plan.services.iter().map(|service| {
            let host = network.and_then(|network| network.addresses.get(&service.name)).copied();
            let is_contained = self.options.on.is_some() && !service.processes.is_empty();
            let ports = if host.is_some() || is_contained { own_ports(service) } else { ports(service) };
            let logs = service.logs.iter().map(|(log, file)| (log.clone(), file.into())).collect();
            (service.name.clone(), Wishes { ports, logs, host })
        });
        wishes.collect()
    }

    async fn initialize(
        &mut self,
        places: &BTreeMap<Name, local::Place>,
        held: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<Name, Initialized>, Broken> {
        let initialized = match self.options.wait {
            Some(within) => self.initialize_in_turn((places, held), within).await?,
            None => self.initialize_all(places, held).await?,
        };
        for (agent, ports) in &initialized {
            let order = self.initialize_order(agent, places, held);
            self.settings.insert(agent.clone(), (order, ports.clone()));
        }
        for agent in initialized.keys() {
            self.scribe.say_early(Happening::Initialized { agent: agent.clone() })?;
        }
        Ok(initialized)
    }

    async fn initialize_all(
        &self,
        places: &BTreeMap<Name, local::Place>,
        held: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<Name, Initialized>, Broken> {
        let calls = self.crew.callers().into_iter().map(|(name, caller)| {
            let order = self.initialize_order(&name, places, held);
            async move {
                let answer = turn::initialize(&caller, order).await;
                answer.map_err(|error| turn::refused(&name, &error)).map(|initialized| (name, initialized))
            }
        });
        // All have answered before it is over.
        join_all(calls.collect::<Vec<_>>()).await.into_iter().collect()
    }

    pub(super) fn initialize_order(
        &self,
        agent: &Name,
        places: &BTreeMap<Name, local::Place>,
        held: &BTreeMap<String, String>,
    ) -> Initialize {
        let scope = early_scope(&self.plan, &self.options.plan_dir.to_string_lossy());
        let stubs = self.plan.stubs.iter().filter(|stub| stub.at == *agent);
        let is_networked = self.plan.network.is_some();
        let tunnels = self.plan.tunnels.iter().filter(|_| !is_networked);
        let tunnels = tunnels.filter(|tunnel| tunnel.at == *agent && tunnel.to.service != *agent);
        let order = |tunnel: &Tunnel| TunnelOrder {
            to: tunnel.to.service.clone(),
            port: tunnel.to.port.clone(),
            transport: self.plan.transport(&tunnel.to),
        };
        let service = self.plan.services.iter().find(|service| service.name == *agent);
        Initialize {
            authority: self.authority.clone(),
            roster: self.crew.roster(),
            service: self.beside(agent, places),
            stubs: stubs.map(|stub| stub.resolved(&scope, held)).collect(),
            tunnels: tunnels.map(order).collect(),
            seed: self.options.seed,
            secrets: confided::to(agent, &self.plan, &self.confided),
            network: self.plan.network.as_ref().and_then(|network| network.seen_from(agent)).map(Box::new),
            api: service
                .and_then(|service| programs::api(&self.plan, service, (&self.authority.run, &scope)))
                .map(Box::new),
            certificates: confided::certificates(held),
            blobs: self.files.orders(&self.plan, agent),
            guests: programs::guests(&self.plan, agent, &scope),
            links: self.plan.links_of(agent).cloned().collect(),
        }
    }

    /// What is beside an agent: its service, and the logs of those who share it.
    fn beside(&self, agent: &Name, places: &BTreeMap<Name, local::Place>) -> ServicePlace {
        let place = |name| places.get(name).map(|place| place.service.clone()).unwrap_or_default();
        let service = self.plan.services.iter().find(|service| service.name == *agent);
        let own = place(agent);
        let guests = self.plan.guests(agent).flat_map(|guest| {
            let logs = place(&guest.name).logs.into_iter();
            logs.map(|(log, path)| (format!("{}.{log}", guest.name), path))
        });
        ServicePlace {
            listens: service.map(|service| service.listens.clone()).unwrap_or_default(),
            scrape: service.and_then(|service| service.scrape.clone()),
            datagrams: service.map(Service::datagram_ports).unwrap_or_default(),
            logs: own.logs.into_iter().chain(guests).collect(),
            ports: own.ports,
        }
    }
}

/// Does it until it is done or all of it is to stop.
async fn stopping<T>(forming: impl Future<Output = Result<T, Broken>>, stop: &CancellationToken) -> Result<T, Broken> {
    tokio::select! {
        formed = forming => formed,
        () = stop.cancelled() => Err(Broken::because("stopped")),
    }
}

/// How to join the mesh of a run on this machine.
pub(super) fn own_mesh(mesh: Name, token: Token, signaling: Vec<String>) -> Result<MeshConfig, Broken> {
    // where its signaling listens, agents find this process, too
    let addresses = signaling.iter().filter_map(|url| address(url)).collect();
    Ok(MeshConfig {
        mesh,
        name: local::ORCHESTRATOR.parse().map_err(|error| Broken::because(format!("{error}")))?,
        token,
        signaling,
        rtc: RtcConfig { addresses, ..RtcConfig::default() },
        proxies: Default::default(),
        authorities: Default::default(),
    })
}

/// The address in `ws://ADDRESS:PORT/mesh`.
fn address(url: &str) -> Option<IpAddr> {
    let authority = url.strip_prefix("ws://")?.split('/').next()?;
    Some(authority.parse::<SocketAddr>().ok()?.ip())
}

pub(super) fn join(config: MeshConfig) -> Result<(Mesh, mpsc::Receiver<MeshEvent>), Broken> {
    Mesh::join(config).map_err(|error| Broken::because(format!("cannot join the mesh: {error}")))
}

/// Ports on this machine, which everybody here shares.
fn ports(service: &Service) -> BTreeMap<String, PortWish> {
    let fixed = if service.processes.is_empty() { PortWish::Known } else { PortWish::Fixed };
    let wish = |port: &Port| match (port.number, port.transport) {
        (Some(number), Transport::Tcp) => fixed(number),
        // What keeps a port for a service is TCP's; this one is had or not when the service binds it.
        (Some(number), Transport::Udp) => PortWish::Known(number),
        (None, _) => PortWish::Dynamic,
    };
    service.ports.iter().map(|port| (port.name.clone(), wish(port))).collect()
}

/// Ports where all are the service's own: in its namespace, or its container.
fn own_ports(service: &Service) -> BTreeMap<String, PortWish> {
    let taken: BTreeSet<u16> = service.ports.iter().filter_map(|port| port.number).collect();
    let mut free = OWN_PORTS.filter(|port| !taken.contains(port));
    let mut wish = |port: &Port| port.number.or_else(|| free.next()).map_or(PortWish::Dynamic, PortWish::Known);
    service.ports.iter().map(|port| (port.name.clone(), wish(port))).collect()
}

/// The ports that a service was given.
fn numbers(place: &local::Place) -> BTreeMap<String, u16> {
    let number = |(name, address): (&String, &String)| Some((name.clone(), address.rsplit_once(':')?.1.parse().ok()?));
    place.service.ports.iter().filter_map(number).collect()
}

/// Puts together what environment and agents said.
fn setting(places: BTreeMap<Name, local::Place>, initialized: BTreeMap<Name, Initialized>) -> Setting {
    let mut setting = Setting::default();
    for (name, place) in places {
        let dir = place.dir.to_string_lossy().into_owned();
        setting.places.insert(name, Place { dir, ports: place.service.ports });
    }
    for (at, answer) in initialized {
        setting.stubs.extend(answer.stubs);
        setting.endpoints.insert(at.clone(), answer.endpoints);
        setting.apis.extend(answer.api.map(|api| (at.clone(), api)));
        setting.apis.extend(answer.guests);
        for (to, address) in answer.tunnels {
            let Some((service, port)) = to.split_once('.') else { continue };
            let Ok(service) = service.parse() else { continue };
            let to = Endpoint { service, port: port.to_owned() };
            setting.addresses.insert(Tunnel { at: at.clone(), to }, address);
        }
    }
    setting
}
