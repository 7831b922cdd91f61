//! What every call and every stream takes.
//!
//! A verb takes its own capability, a verb around another one that of the inner verb, and what is done to processes takes `exec`.
//! To end something takes none: whoever may command may always stop. `ping` is not here: it gives a number back, as the
//! heartbeat of every link does.

use std::collections::BTreeSet;

use meshproof_proto::identity::Capability;
use meshproof_proto::order::Initialize;

use super::{Kind, Needed};
use crate::service::Call;
use crate::wire::StreamHeader;

impl Call {
    /// What it takes of whoever makes it.
    pub(crate) fn needs(&self) -> Needed {
        match self {
            Self::Initialize(order, _) => command("initialize", setting(order)),
            Self::BeginTest(..) => command("begin_test", []),
            Self::Start(order, _) => command("start", [order.action.capability()]),
            Self::Receive(order, _) => command("receive", [order.apply.capability(), Capability::Stream]),
            Self::Cancel(..) => command("cancel", []),
            Self::BeginFault(order, _) => command("begin_fault", [order.target.capability()]),
            Self::HealFault(..) => command("heal_fault", []),
            Self::Finish(..) => command("finish", []),
            Self::Status(_) => look("status"),
            Self::Links(_) => look("links"),
            Self::About(_) => look("about"),
            Self::BeginBench(..) => measure("begin_bench"),
            Self::Bench(_) => measure("bench"),
            Self::Stubs(_) => look("stubs"),
            Self::Observe(..) => command("observe", []),
            Self::Adopt(order, _) => command("adopt", setting(&order.setting)),
            Self::Reseat(..) => command("reseat", []),
            Self::StartAgain(order, _) => command("start_again", [order.action.capability()]),
            Self::PurgeStub(..) => tend("purge_stub", [Capability::Stub]),
            Self::Act(order, ..) => tend("act", [order.action.capability()]),
            Self::Disturb(order, ..) => tend("disturb", [order.target.capability()]),
            Self::Mend(..) => tend("mend", []),
            Self::ReadLog(..) => Needed { capabilities: [Capability::Logs].into(), ..look("read_log") },
            Self::Say(..) => tend("say", []),
            Self::Promise(..) => command("promise", []),
            Self::Remember(..) => command("remember", []),
            Self::Recall(..) => command("recall", []),
            Self::Place(_) => look("place"),
            Self::Holder(_) => look("holder"),
            Self::Steer(..) => tend("steer", []),
            Self::StartInTurn(order, ..) => command("start_in_turn", [order.action.capability()]),
            Self::StepOver(..) => between("step_over", []),
            Self::AnswerPrograms(..) => command("answer_programs", []),
            Self::Copy(..) => between("copy", []),
            Self::BeginFaultAgain(order, _) => command("begin_fault_again", [order.target.capability()]),
            Self::StandBy(..) => command("stand_by", []),
            Self::Mirror(..) => between("mirror", []),
        }
    }
}

/// What a stream takes of the agent that opens it.
pub(crate) fn for_stream(header: &StreamHeader) -> Needed {
    match header {
        StreamHeader::Tunnel { .. } => between("a tunnel", [Capability::Tunnel]),
        StreamHeader::Probe => between("a probe of a tunnel", [Capability::Tunnel]),
        StreamHeader::Records { .. } => between("a stream of records", [Capability::Stream]),
        StreamHeader::Bench => between("a bench", [Capability::Stream]),
        StreamHeader::Blob { .. } => between("a file of the run", [Capability::Stream]),
        StreamHeader::Journal => look("the journal of a run"),
    }
}

/// What datagrams between services take of the agent that sends them.
pub(crate) fn for_datagrams() -> Needed {
    between("datagrams of a tunnel", [Capability::Tunnel])
}

/// What packets of the data network take of it.
pub(crate) fn for_packets() -> Needed {
    between("packets of the data network", [Capability::Tun])
}

fn setting(order: &Initialize) -> BTreeSet<Capability> {
    let needs = [
        (!order.stubs.is_empty(), Capability::Stub),
        // also where a tunnel ends: the address is dialled for whoever comes through it
        (!order.tunnels.is_empty(), Capability::Tunnel),
        // they are read from now on
        (!order.service.logs.is_empty(), Capability::Logs),
        (order.service.scrape.is_some(), Capability::Http),
        (order.network.is_some(), Capability::Tun),
        // other agents get them from here
        (!order.blobs.is_empty(), Capability::Stream),
    ];
    needs.into_iter().filter_map(|(asked, capability)| asked.then_some(capability)).collect()
}

fn command(call: &'static str, capabilities: impl IntoIterator<Item = Capability>) -> Needed {
    Needed { call, kind: Kind::Command, capabilities: capabilities.into_iter().collect() }
}

fn look(call: &'static str) -> Needed {
    Needed { call, kind: Kind::Look, capabilities: BTreeSet::new() }
}

fn tend(call: &'static str, capabilities: impl IntoIterator<Item = Capability>) -> Needed {
    Needed { call, kind: Kind::Tend, capabilities: capabilities.into_iter().collect() }
}

fn between(call: &'static str, capabilities: impl IntoIterator<Item = Capability>) -> Needed {
    Needed { call, kind: Kind::Between, capabilities: capabilities.into_iter().collect() }
}

/// What is measured is streams.
fn measure(call: &'static str) -> Needed {
    Needed { call, kind: Kind::Measure, capabilities: [Capability::Stream].into() }
}
