//! What the agent tells of itself and its links.

use std::time::Duration;

use meshproof_mesh::LinkInfo;
use meshproof_proto::limits::LINK_REASON_CHARS;
use meshproof_proto::links::LinkReport;
use meshproof_proto::rpc::About;
use meshproof_proto::stub::StubReport;
use meshproof_proto::version::PROTOCOL;

use super::Session;
use super::orders::reply;
use super::run::Run;
use crate::health::Figures;
use crate::service::Answer;

impl Session {
    pub(super) fn link_reports(&self) -> Vec<LinkReport> {
        self.mesh.links().into_iter().filter_map(report).collect()
    }

    /// Answered from a task of its own: a stub that is held does not hold the session.
    pub(super) fn stub_reports(&mut self, answer: Answer<Vec<StubReport>>) {
        let stubs = self.run.as_ref().map(Run::stubs).unwrap_or_default();
        self.echoes.spawn(async move {
            let mut reports = Vec::new();
            for stub in stubs {
                reports.push(stub.report().await);
            }
            reply(answer, Ok(reports));
        });
    }

    /// What machines are told of it.
    pub(super) fn figures(&self) -> Figures {
        let status = self.status();
        Figures {
            name: self.name.clone(),
            up: self.began.elapsed(),
            reached: self.reached.len(),
            away: self.away.len(),
            links: self.mesh.links(),
            in_run: self.run.as_ref().is_some_and(|run| !run.is_closed()),
            steps_running: status.steps_running,
            faults_active: status.faults_active.len(),
            events_unacked: status.events_unacked,
        }
    }

    pub(super) fn about(&self) -> About {
        About {
            name: self.name.clone(),
            up_ms: whole(self.began.elapsed().as_millis()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            run: self.run.as_ref().filter(|run| !run.is_closed()).map(|run| run.authority.run.clone()),
            labels: self.standing.labels.clone(),
        }
    }
}

/// `None` for a peer whose name is no name, which its checked chain rules out.
fn report(link: LinkInfo) -> Option<LinkReport> {
    Some(LinkReport {
        peer: link.peer,
        name: link.name.parse().ok()?,
        role: link.role,
        state: link.state.to_owned(),
        generation: link.generation,
        path: link.path.map(|selected| selected.kind),
        stripes: link.stripes as u64,
        rtt_us: link.rtt.map(|rtt: Duration| whole(rtt.as_micros())),
        bytes_sent: link.bytes_sent,
        bytes_received: link.bytes_received,
        sent_per_s: link.sent_per_s,
        received_per_s: link.received_per_s,
        streams: link.streams as u64,
        queued_bytes: link.queued,
        changed_ago_ms: whole(link.last_change.at.elapsed().as_millis()),
        changed_why: link.last_change.why.chars().take(LINK_REASON_CHARS).collect(),
    })
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
