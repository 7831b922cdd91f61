//! The beginning of a run at this agent.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use meshproof_mesh::Mesh;
use meshproof_proto::blob::BlobOrder;
use meshproof_proto::event::Fact;
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{
    ApiOrder, Becomes, DataNetwork, Guest, Initialize, Initialized, ServicePlace, StubOrder, Target, Transport,
    TunnelOrder,
};
use meshproof_proto::rpc::Refusal;
use serde_json::Value;
use tokio::sync::mpsc;

use super::ahead::Ahead;
use super::closing::LinkBytes;
use super::copying::Copying;
use super::faults::Faults;
use super::kept::KeptStubs;
use super::mirroring::Mirroring;
use super::pump::Pump;
use super::receiving::Receiving;
use super::run::{Run, Stage, Work};
use super::steps::Steps;
use super::tending::Tending;
use crate::action::Connections;
use crate::api::Apis;
use crate::blobs::{self, Blobs};
use crate::endpoints::Endpoints;
use crate::limits;
use crate::logs::LogStore;
use crate::metrics::Metrics;
use crate::namespace::Outside;
use crate::network::{self, Inlet, Links};
use crate::notes::Notes;
use crate::outbox::{KeptOutbox, Left, Outbox, OutboxFile, Recovered, Store, StubPast};
use crate::own_log;
use crate::permits::Permits;
use crate::rights::Rights;
use crate::standing::Standing;
use crate::steps::Beside;
use crate::stub::{Around, Before, StubServer};
use crate::tunnel::{Lets, Seat, Tunnels};

/// What a run finds at this agent.
pub(super) struct Surroundings<'s> {
    pub kept: &'s mut KeptStubs,
    pub rights: &'s Arc<Rights>,
    pub outside: Option<&'s Outside>,
    pub outboxes: Option<&'s Store>,
    pub standing: &'s Standing,
    pub former: Option<Former>,
}

/// What an instance before this one has left.
pub(super) struct Former {
    pub file: OutboxFile,
    pub recovered: Recovered,
    /// Where it listened.
    pub ports: Initialized,
}

/// Binds everything that the run needs here. On an error nothing stays bound.
pub(super) async fn run(
    mesh: &Mesh,
    orchestrator: PeerId,
    order: Initialize,
    Surroundings { kept, rights, outside, outboxes, standing, mut former }: Surroundings<'_>,
) -> Result<Run, Refusal> {
    let before = former.as_ref().map(|former| former.ports.clone()).unwrap_or_default();
    let mut left = former.as_mut().map(|former| std::mem::take(&mut former.recovered.left));
    let Initialize { authority, roster, service, mut stubs, seed, secrets, network, api, certificates, .. } = order;
    let permits = rights.permits();
    let masker = secrets.masker().map_err(|error| Refusal::Failed(error.to_string()))?;
    let (masker, confided, secrets) = (Arc::new(masker), secrets.clone(), secrets.scope());
    let (promised, memory) = left.as_ref().map(|left| (left.promised, left.memory)).unwrap_or_default();
    own_log::mask_with(Arc::clone(&masker));
    stubs.iter_mut().flat_map(|stub| &mut stub.routes).for_each(|route| route.put_in_secrets(&secrets));
    let ((tell, facts), (noting, notes)) = (mpsc::channel(limits::FACTS), mpsc::channel(limits::NOTES));
    let tunnels = Tunnels::new(mesh, &authority.run, &roster);
    let mut initialized =
        Initialized { tunnels: listen_all(&tunnels, order.tunnels, (&before, standing)).await?, ..before.clone() };
    let inlet = join((network.as_deref(), left.as_ref()), (&tunnels, seed), outside).await?;
    let links = inlet.as_ref().map(Inlet::links).cloned();
    tunnels.take_datagrams(&Lets { ports: datagram_ports(&service), rights: Arc::clone(rights), inlet });
    let endpoints;
    (endpoints, initialized.endpoints) = open_endpoints(&service, permits, &before).await?;
    for target in stubs.iter_mut().flat_map(targets) {
        target.address = address(&target.label, &initialized.tunnels, &service)?;
    }
    let api = open_api((api.as_deref(), &order.guests), (mesh, links), &mut initialized, tell.clone()).await?;
    let notes_to = Notes::to(noting);
    let around = Around {
        facts: tell.clone(),
        notes: notes_to.clone(),
        seed,
        masker: Arc::clone(&masker),
        permits: Arc::clone(permits),
    };
    stubs.iter_mut().for_each(|stub| stub.port = standing.port(&stub.name).unwrap_or(stub.port));
    let stubs = bind(stubs, &around, (kept, &before, left.as_mut())).await?;
    initialized.stubs = stubs.iter().map(|(name, stub)| (name.clone(), stub.address().to_string())).collect();
    let commander = commander(orchestrator);
    let blobs = get((order.blobs, outboxes), (&tunnels, &commander), tell.clone())?;
    let beside = Beside { blobs, ..beside((&service, permits), stubs, (tell.clone(), notes_to), masker) };
    let (tunnels, left) = ((tunnels, commander, network.is_some()), left.unwrap_or_default());
    let work = work((service, seed, secrets), (beside, (endpoints, api), tunnels), left);
    Ok(Run {
        outbox: outbox((mesh.me(), &authority.run), outboxes, former)?,
        authority,
        orchestrator,
        promised,
        memory,
        confided,
        certificates,
        roster,
        terms: BTreeMap::new(),
        initialized,
        adopted: None,
        pump: Some(Pump::new(mesh.clone(), orchestrator)),
        facts,
        notes,
        unwritten: VecDeque::new(),
        stalled: VecDeque::new(),
        stalled_at: None,
        write_at: None,
        tell,
        links_before: LinkBytes::of(mesh),
        held_until: None,
        taken: Vec::new(),
        stage: Stage::Working(Box::new(work)),
        orphaned_at: None,
        network: None,
        copies: Copying::default(),
        mirroring: Mirroring::default(),
    })
}

/// Where the service writes its logs: where it was before, if there was one before.
async fn open_endpoints(
    service: &ServicePlace,
    permits: &Permits,
    before: &Initialized,
) -> Result<(Endpoints, BTreeMap<String, String>), Refusal> {
    let bound = Endpoints::bind(service, &permits.logs, &before.endpoints).await;
    bound.map_err(|error| Refusal::Failed(format!("the endpoint of a log cannot be made: {error}")))
}

/// Begins to get the files of the run.
fn get(
    (orders, outboxes): (Vec<BlobOrder>, Option<&Store>),
    (tunnels, orchestrator): (&Tunnels, &Arc<Seat>),
    facts: mpsc::Sender<Fact>,
) -> Result<Blobs, Refusal> {
    let around = blobs::Around { place: outboxes.map(Store::blobs), tunnels, orchestrator, facts };
    Blobs::begin(orders, &around).map_err(Refusal::Failed)
}

/// What programs find here: where it was before, if an instance before this one had it.
async fn open_api(
    (order, guests): (Option<&ApiOrder>, &[Guest]),
    (mesh, links): (&Mesh, Option<Arc<Links>>),
    made: &mut Initialized,
    facts: mpsc::Sender<Fact>,
) -> Result<Option<Apis>, Refusal> {
    let Some(order) = order else { return Ok(None) };
    let opened = Apis::open((order, guests), (mesh.addresses().first().copied(), links), made, facts).await;
    let apis = opened.map_err(|error| {
        let port = order.port.map(|port| format!(" at port {port}")).unwrap_or_default();
        Refusal::Failed(format!("the API for the service's programs cannot be opened{port}: {error}"))
    })?;
    (made.api, made.guests) = (apis.url(), apis.guests());
    Ok(Some(apis))
}

/// What steps find here.
fn beside(
    (service, permits): (&ServicePlace, &Arc<Permits>),
    stubs: BTreeMap<String, StubServer>,
    (facts, notes): (mpsc::Sender<Fact>, Notes),
    masker: Arc<Masker>,
) -> Beside {
    Beside {
        logs: LogStore::open(&service.logs, &permits.logs),
        stubs,
        metrics: Metrics::open(service, facts.clone(), Arc::clone(permits)),
        facts,
        notes,
        permits: Arc::clone(permits),
        connections: Connections::default(),
        blobs: Blobs::default(),
        masker,
    }
}

/// What leads to other agents, who commands, and whether there is a data network.
type Ways = (Tunnels, Arc<Seat>, bool);

/// The place of whoever commands, which another one may take.
fn commander(orchestrator: PeerId) -> Arc<Seat> {
    Seat::new("orchestrator".parse().expect("a name"), orchestrator)
}

fn work(
    (service, seed, secrets): (ServicePlace, u64, Value),
    (beside, (endpoints, api), (tunnels, commander, networked)): (Beside, (Endpoints, Option<Apis>), Ways),
    left: Left,
) -> Work {
    let receives = Receiving::after(left.receives, &secrets);
    Work {
        service,
        seed,
        secrets,
        beside: Arc::new(beside),
        _endpoints: endpoints,
        api,
        tunnels,
        commander,
        networked,
        steps: Steps::after(left.steps),
        ahead: Ahead::default(),
        faults: Faults::after(left.leases),
        tending: Tending::default(),
        receives,
        sends: left.sends,
        tests: left.tests,
        marks: left.marks,
    }
}

fn datagram_ports(service: &ServicePlace) -> BTreeMap<String, String> {
    let of_datagrams = |(name, _): &(&String, &String)| service.datagrams.contains(*name);
    service.ports.iter().filter(of_datagrams).map(|(name, address)| (name.clone(), address.clone())).collect()
}

/// What an instance before this one has left, or an empty outbox, with its file where there is a place for one.
fn outbox(
    (me, run): (PeerId, &RunId),
    outboxes: Option<&Store>,
    former: Option<Former>,
) -> Result<KeptOutbox, Refusal> {
    if let Some(Former { file, recovered, .. }) = former {
        return Ok(KeptOutbox::new(Outbox::recovered(recovered), Some(file)));
    }
    let outbox = Outbox::new(me, run.clone());
    let file = match outboxes.map(|outboxes| outboxes.create(run, me)).transpose() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let why =
                format!("an instance before this one has taken part in run `{run}`, and its events are still here");
            return Err(Refusal::Failed(why));
        }
        Err(error) => return Err(Refusal::Failed(format!("the outbox of the run cannot be made: {error}"))),
    };
    Ok(KeptOutbox::new(outbox, file))
}

/// Joins the data network, if there is one. Elsewhere than in a namespace of its own the device would change where the whole machine's packets go.
async fn join(
    (network, left): (Option<&DataNetwork>, Option<&Left>),
    (tunnels, seed): (&Tunnels, u64),
    outside: Option<&Outside>,
) -> Result<Option<Inlet>, Refusal> {
    let Some(network) = network else { return Ok(None) };
    let Some(outside) = outside else {
        let what = "it acts in no network namespace of its own; --netns PATH names one";
        return Err(Refusal::Failed(format!("this agent cannot take part in a data network: {what}")));
    };
    let joined = network::open(network, (tunnels, seed), outside).await;
    let inlet = joined.map_err(|error| Refusal::Failed(format!("the data network cannot be joined: {error}")))?;
    if let Some(wanted) = left.and_then(|left| left.network.as_deref()) {
        inlet.links().make(Some(wanted));
    }
    Ok(Some(inlet))
}

/// Every tunnel's listener: where it was before, if there was one, or where the service expects it.
async fn listen_all(
    tunnels: &Tunnels,
    orders: Vec<TunnelOrder>,
    (before, standing): (&Initialized, &Standing),
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut listening = BTreeMap::new();
    for order in orders {
        let name = format!("{}.{}", order.to, order.port);
        let former = before.tunnels.get(&name).map(|address| socket_of(address)).transpose()?;
        let at = former.or_else(|| Some((Ipv4Addr::LOCALHOST, standing.port(&name)?).into()));
        let address = listen(tunnels, order, at).await.map_err(|why| {
            let place = at.map_or_else(|| "loopback".to_owned(), |at| at.to_string());
            Refusal::Failed(format!("tunnel `{name}` cannot listen on {place}: {why}"))
        })?;
        listening.insert(name, address.to_string());
    }
    Ok(listening)
}

async fn listen(
    tunnels: &Tunnels,
    TunnelOrder { to, port, transport }: TunnelOrder,
    at: Option<SocketAddr>,
) -> io::Result<SocketAddr> {
    let far = tunnels.far(&to).ok_or_else(|| io::Error::other(format!("service {to} is not in the run")))?;
    match transport {
        Transport::Tcp => tunnels.listen(far, port, at).await,
        Transport::Udp => tunnels.listen_for_datagrams(far, port, at).await,
    }
}

fn socket_of(address: &str) -> Result<SocketAddr, Refusal> {
    address.parse().map_err(|error| Refusal::Failed(format!("`{address}` is no address: {error}")))
}

/// Where the calls go that a stub passes on.
fn targets(stub: &mut StubOrder) -> impl Iterator<Item = &mut Target> {
    let hosts = stub.upstreams.iter_mut().flat_map(|upstreams| &mut upstreams.hosts);
    hosts.filter_map(|upstream| match &mut upstream.becomes {
        Becomes::Rewritten(target) => Some(&mut **target),
        Becomes::Intercepted | Becomes::Refused => None,
    })
}

/// The address of `ledger.http` from here: the tunnel that leads there, or the own service's port.
pub(super) fn address(
    label: &str,
    tunnels: &BTreeMap<String, String>,
    service: &ServicePlace,
) -> Result<String, Refusal> {
    let own = || service.ports.get(label.split_once('.')?.1);
    let unknown = || {
        let why = "a step of the plan that calls it from here, or the service's `dials`, makes one";
        Refusal::Failed(format!("this agent has no way to `{label}`: {why}"))
    };
    tunnels.get(label).or_else(own).cloned().ok_or_else(unknown)
}

async fn bind(
    orders: Vec<StubOrder>,
    around: &Around,
    (kept, before, mut left): (&mut KeptStubs, &Initialized, Option<&mut Left>),
) -> Result<BTreeMap<String, StubServer>, Refusal> {
    let mut stubs = BTreeMap::new();
    for mut order in orders {
        if let Some(address) = before.stubs.get(&order.name) {
            // services know it
            order.port = socket_of(address)?.port();
        }
        let mut past = Vec::new();
        if let Some(left) = &mut left {
            past = left.stubs.remove(&order.name).unwrap_or_default();
            if order.journal == 0 {
                past.push(StubPast::Untold(0));
            }
        }
        let before = Before { kept: kept.of(&order)?, past };
        let stub = StubServer::bind_with(order, around.clone(), before).await;
        let stub = stub.map_err(|error| Refusal::Failed(error.to_string()))?;
        kept.keep(&stub);
        stubs.insert(stub.name().to_owned(), stub);
    }
    Ok(stubs)
}
