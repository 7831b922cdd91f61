//! What machines ask of the process behind the pages: whether it lives, whether it takes tabs, and its figures.
//!
//! The loop that takes connections answers, between two of them; so one that hangs, or has no room for another, is not called well.
//! It takes tabs from its first moment on, so whether it lives and whether it is ready is one question.

use std::time::{Duration, Instant};

use meshproof_health::{Question, limits};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::{mpsc, oneshot};

use crate::figures::{gauge, seconds, text_with_process};

/// How it is.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) up: Duration,
    pub(super) tabs: usize,
    pub(super) connections: usize,
}

/// An answer that somebody waits for.
pub(super) type Asked = oneshot::Sender<Figures>;

/// Asks the loop.
#[derive(Clone, Debug)]
pub(super) struct Watched(mpsc::Sender<Asked>);

/// Whom to ask, and where the loop hears of it.
pub(super) fn watched() -> (Watched, mpsc::Receiver<Asked>) {
    let (asks, asked) = mpsc::channel(limits::ASKED);
    (Watched(asks), asked)
}

impl meshproof_health::Watched for Watched {
    async fn tell(&self, question: Question) -> Result<String, String> {
        let Some(figures) = meshproof_health::asked(&self.0, limits::WITHIN).await else {
            return Err(format!("the server of the page has not answered within {:?}", limits::WITHIN));
        };
        Ok(match question {
            Question::Lives | Question::Ready => "ok".to_owned(),
            Question::Figures => figures.text(),
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Figures {
    pub(super) fn now(began: Instant, (tabs, connections): (usize, usize)) -> Self {
        Self { up: began.elapsed(), tabs, connections }
    }

    fn text(&self) -> String {
        let mut registry = Registry::default();
        let info = Family::<Build, Gauge>::default();
        info.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("meshproof_web_info", "The version of who serves the page", info);
        registry.register_with_unit("meshproof_web_uptime", "Since it began", Unit::Seconds, seconds(self.up));
        for (name, help, count) in [
            ("meshproof_web_tabs", "Tabs that are open", self.tabs),
            ("meshproof_web_connections", "Connections of browsers, those of tabs among them", self.connections),
        ] {
            registry.register(name, help, gauge(u64::try_from(count).unwrap_or(u64::MAX)));
        }
        text_with_process(registry)
    }
}

#[cfg(test)]
mod tests {
    use meshproof_health::Watched as _;

    use super::*;

    #[tokio::test]
    async fn a_server_whose_loop_is_gone_is_not_well_and_one_that_answers_tells_its_figures() {
        let (watched, mut asked) = watched();
        let answering = async {
            let asker = asked.recv().await.expect("somebody asks");
            asker.send(Figures::now(Instant::now(), (2, 5))).expect("somebody waits");
            drop(asked);
        };
        let (figures, ()) = tokio::join!(watched.tell(Question::Figures), answering);
        let figures = figures.expect("it answered");
        assert!(
            figures.contains("meshproof_web_tabs 2\n") && figures.contains("meshproof_web_connections 5\n"),
            "{figures}"
        );
        let gone = watched.tell(Question::Lives).await.expect_err("nobody answers");
        assert!(gone.contains("has not answered"), "{gone}");
    }
}
