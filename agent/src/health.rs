//! What machines ask of an agent over plain HTTP: whether it lives, whether it can be used, and its figures.
//!
//! The session answers, between two things that it does; so an agent that hangs is not called well. Nothing here changes anything, and
//! nothing of a run is told but numbers.

mod figures;

use meshproof_health::{Question, limits};
use tokio::sync::{mpsc, oneshot};

pub(crate) use figures::Figures;

/// Asks the session how it is.
pub(crate) type Asks = mpsc::Sender<oneshot::Sender<Figures>>;

/// An agent that is watched over.
#[derive(Clone)]
pub(crate) struct Watched(pub(crate) Asks);

impl meshproof_health::Watched for Watched {
    async fn tell(&self, question: Question) -> Result<String, String> {
        let Some(figures) = meshproof_health::asked(&self.0, limits::WITHIN).await else {
            return Err(format!("the agent has not answered within {:?}", limits::WITHIN));
        };
        match question {
            Question::Ready if !figures.is_ready() => {
                Err("no signaling server is reached and no link is up".to_owned())
            }
            Question::Lives | Question::Ready => Ok("ok".to_owned()),
            Question::Figures => Ok(figures.text()),
        }
    }
}
