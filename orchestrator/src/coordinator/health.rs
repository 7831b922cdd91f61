//! What machines ask of a run over plain HTTP: whether its orchestrator lives (`/healthz`), whether the run goes on (`/readyz`), and its
//! figures (`/metrics`, in Prometheus' text format).
//!
//! While agents are commanded, the loop of the run answers, between two things that it does; so one that hangs is not called well.
//! Before and after, building and tearing down have bounds of their own. Nothing is changed by asking, and nothing of what is under test is
//! told but numbers.
//! One that stands by lives, and is not ready until it commands the run.

mod figures;

use std::net::SocketAddr;

use meshproof_health::{Question, limits};
use meshproof_mesh::Mesh;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::driver::Driver;
use crate::memory::Conducted;
pub(super) use figures::{Counts, Figures};

/// An answer that somebody waits for.
pub(super) type Asked = oneshot::Sender<Figures>;

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// What it needs is built and started.
    #[default]
    Preparing,
    /// Another orchestrator commands it.
    StandsBy,
    /// Its loop answers.
    GoesOn,
}

/// Answers until it is dropped.
pub(super) struct Health {
    pub(super) stage: watch::Sender<Stage>,
    pub(super) asked: mpsc::Receiver<Asked>,
    _serving: AbortOnDropHandle<()>,
}

/// Whom to ask.
#[derive(Clone)]
struct Asks {
    stage: watch::Receiver<Stage>,
    to_loop: mpsc::Sender<Asked>,
}

impl Health {
    /// Listens there.
    pub(super) fn at(address: SocketAddr, stage: Stage) -> anyhow::Result<Self> {
        let (stage, watched) = watch::channel(stage);
        let (to_loop, asked) = mpsc::channel(limits::ASKED);
        let serving = meshproof_health::serve(address, Asks { stage: watched, to_loop })?;
        Ok(Self { stage, asked, _serving: serving })
    }
}

impl Driver {
    /// From now on the loop answers, which is begun within what there is patience for.
    pub(super) fn goes_on(&self) {
        if let Some(health) = &self.health {
            health.stage.send_replace(Stage::GoesOn);
        }
    }

    pub(super) fn tell_figures(&self, asked: Asked, run: &Conducted) {
        let links = self.mesh.as_ref().map(Mesh::links).unwrap_or_default();
        let roster = self.crew.roster();
        let linked =
            roster.values().filter(|peer| links.iter().any(|link| link.peer == **peer && link.state == "up")).count();
        let figures = Figures {
            run: self.authority.run.to_string(),
            plan: self.plan.name.to_string(),
            up: run.began().elapsed(),
            term: self.authority.term.0,
            counts: self.scribe.counts(),
            linked,
            away: roster.len() - linked,
            signaling_away: self.away.len(),
            lines: self.scribe.lines(),
            on_disk: *self.on_disk.borrow(),
        };
        // whoever asked may be gone
        let _ = asked.send(figures);
    }
}

impl meshproof_health::Watched for Asks {
    async fn tell(&self, question: Question) -> Result<String, String> {
        let stage = *self.stage.borrow();
        match (stage, question) {
            (Stage::Preparing | Stage::StandsBy, Question::Lives) => return Ok("ok".to_owned()),
            (Stage::Preparing, Question::Ready | Question::Figures) => {
                return Err("the run has not begun: what it needs is made ready".to_owned());
            }
            (Stage::StandsBy, Question::Ready | Question::Figures) => {
                return Err("it stands by: another orchestrator commands the run".to_owned());
            }
            (Stage::GoesOn, _) => {}
        }
        let figures = meshproof_health::asked(&self.to_loop, limits::WITHIN).await;
        let silent = || format!("the orchestrator has not answered within {:?}", limits::WITHIN);
        figures.map(|figures| figures.text()).ok_or_else(silent)
    }
}
