//! Byte streams: what a peer opened, and what a step opens.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use meshproof_mesh::ByteStream;
use meshproof_proto::event::StepResult;
use meshproof_proto::id::Name;
use meshproof_proto::identity::Identity;
use meshproof_proto::order::{Action, RecordStreamId, StepOrder, StreamAction};
use meshproof_proto::rpc::Refusal;
use meshproof_proto::trace::Traceparent;

use super::Session;
use super::receiving::Came;
use super::run::{Run, Stage, Work};
use crate::limits;
use crate::load::{self, Helper, Under};
use crate::records::{self, Answers};
use crate::rights::for_stream;
use crate::steps::{Beside, Near, look_at_link};
use crate::traffic::echo;
use crate::tunnel::{Far, Tunnels};
use crate::wire::StreamHeader;

impl Session {
    /// A peer opened a stream; one that is for nothing here is reset with the reason.
    pub(super) fn opened(&mut self, peer: &Identity, header: &[u8], stream: ByteStream) {
        let header = match StreamHeader::decode(header) {
            Ok(header) => header,
            Err(error) => return refuse(stream, &format!("the stream's header cannot be read: {error}")),
        };
        if let Err(refusal) = self.rights.allow(peer, &for_stream(&header)) {
            return refuse(stream, &refusal.to_string());
        }
        match header {
            StreamHeader::Probe => return self.echo(stream),
            StreamHeader::Bench => return self.take_bench(peer, stream),
            StreamHeader::Journal => return refuse(stream, "an agent has no journal; whoever commands a run has"),
            StreamHeader::Tunnel { .. } | StreamHeader::Records { .. } | StreamHeader::Blob { .. } => {}
        }
        match working(self.run.as_mut(), peer, &header) {
            Ok((work, from)) => work.opened(&from, header, stream),
            Err(reason) => refuse(stream, &reason),
        }
    }

    /// Probes are answered with or without a run: the other agent may still make sure that its fault is over.
    fn echo(&mut self, stream: ByteStream) {
        while self.echoes.try_join_next().is_some() {}
        if self.echoes.len() >= limits::ECHOES {
            return refuse(stream, "too many probes at once");
        }
        self.echoes.spawn(async move {
            if let Err(error) = echo(stream).await {
                tracing::debug!(%error, "a probe broke");
            }
        });
    }
}

pub(super) fn refuse(stream: ByteStream, reason: &str) {
    tracing::debug!(reason, "a stream is refused");
    stream.reset(reason);
}

fn working<'r>(
    run: Option<&'r mut Run>,
    peer: &Identity,
    header: &StreamHeader,
) -> Result<(&'r mut Work, Name), String> {
    let wanted = header.run().ok_or("the stream is of no run")?;
    let none = || format!("no run `{wanted}` here");
    let run = run.filter(|run| run.authority.run == *wanted).ok_or_else(none)?;
    let from = run.name(peer.peer).ok_or_else(|| format!("`{}` does not take part in the run", peer.name))?;
    match &mut run.stage {
        Stage::Working(work) => Ok((work, from)),
        Stage::Closing { .. } | Stage::Closed(_) => Err(format!("run `{wanted}` is finished here")),
    }
}

impl Work {
    fn opened(&mut self, from: &Name, header: StreamHeader, stream: ByteStream) {
        let Some(far) = self.tunnels.far(from) else { return refuse(stream, "there is no path to that service") };
        match header {
            StreamHeader::Tunnel { port, .. } if self.service.datagrams.contains(&port) => {
                refuse(stream, &format!("the port `{port}` of the service here takes datagrams, not connections"));
            }
            StreamHeader::Tunnel { port, .. } => match self.service.ports.get(&port) {
                Some(address) => self.tunnels.dial(far, (address.clone(), &self.beside.permits), stream),
                None => refuse(stream, &format!("the service here has no port `{port}`")),
            },
            StreamHeader::Probe | StreamHeader::Bench | StreamHeader::Journal => {
                refuse(stream, "such a stream is of no run")
            }
            StreamHeader::Records { stream: id, .. } => self.receive(from, id, stream),
            StreamHeader::Blob { digest, .. } => {
                if let Err((stream, reason)) = self.beside.blobs.serve(&digest, stream, &self.tunnels) {
                    refuse(stream, &reason);
                }
            }
        }
    }

    fn receive(&mut self, from: &Name, id: RecordStreamId, mut stream: ByteStream) {
        let Some(Came { order, stop, turn, done }) = self.receives.came(from, id) else {
            return refuse(stream, &format!("nobody ordered record stream {} from `{from}` here", id.0));
        };
        let beside = Arc::clone(&self.beside);
        if let Action::Load(load) = order.apply {
            let under = under(&self.beside, None);
            return self.tunnels.spawn(async move {
                if let Err(error) = load::help(*load, under, stream).await {
                    tracing::warn!(stream = id.0, %error, "a part of a load ended without its leader");
                }
            });
        }
        self.tunnels.spawn(async move {
            // what applied them before has ended
            let _turn = turn.lock().await;
            let receiving = records::receive(&order, &beside.permits, &mut stream, &beside.masker);
            match stop.run_until_cancelled(receiving).await {
                None => stream.reset("it goes on elsewhere"),
                Some(Ok(records)) => {
                    tracing::debug!(stream = id.0, records, "a record stream ended");
                    done.cancel();
                }
                Some(Err(error)) => {
                    tracing::warn!(stream = id.0, %error, "a record stream broke");
                    stream.reset(&error.to_string());
                }
            }
        });
    }
}

/// The work of a step that is not this agent's alone: one that sends records, makes a load, or looks at a link. `None` for any other
/// step.
pub(super) fn between(
    (order, past): (&StepOrder, Option<Answers>),
    tunnels: &Tunnels,
    beside: &Arc<Beside>,
) -> Result<Option<BoxFuture<'static, StepResult>>, Refusal> {
    let far = |to: &Name| {
        let unknown = || Refusal::Unknown { what: "service in this run".to_owned(), name: to.to_string() };
        tunnels.far(to).cloned().ok_or_else(unknown)
    };
    let own = || (order.clone(), Arc::clone(&beside.masker));
    Ok(match &order.action {
        Action::Stream(action) => {
            let past = past.unwrap_or_default();
            Some(send((far(&action.to)?, past), action.clone(), (order.clone(), Arc::clone(beside))).boxed())
        }
        Action::ExpectLink { to } => {
            let Far { mesh, seat, .. } = far(to)?;
            let near = Near { mesh, seat };
            let (order, masker) = own();
            Some(async move { look_at_link(&order, &near, &masker).await }.boxed())
        }
        Action::Load(load) => {
            let helper = |(name, stream): &(Name, RecordStreamId)| {
                Ok(Helper { name: name.clone(), far: far(name)?, stream: *stream })
            };
            let helpers = load.helpers.iter().map(helper).collect::<Result<Vec<_>, Refusal>>()?;
            let under = under(beside, Some(Traceparent::of(&order.authority.run, &order.key)));
            let (order, load) = (order.clone(), (**load).clone());
            Some(async move { load::lead(&order, load, helpers, under).await }.boxed())
        }
        _ => None,
    })
}

/// What the calls of a load are made under here.
fn under(beside: &Beside, parent: Option<Traceparent>) -> Under {
    Under { permits: Arc::clone(&beside.permits), masker: Arc::clone(&beside.masker), parent }
}

async fn send(
    (far, past): (Far, Answers),
    action: StreamAction,
    (order, beside): (StepOrder, Arc<Beside>),
) -> StepResult {
    let header = StreamHeader::Records { run: far.run.clone(), stream: action.stream };
    let open = || {
        let (far, header) = (far.clone(), header.clone());
        async move { far.open(header).await }
    };
    let stores = records::Stores { logs: &beside.logs, blobs: &beside.blobs };
    records::send((&order, &action), (past, open), (stores, &beside.notes), &beside.masker).await
}
