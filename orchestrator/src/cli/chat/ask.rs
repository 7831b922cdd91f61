//! What is asked of one agent, and its answer. Each is a task of its own: whoever answers late holds nobody up.

use std::time::{Duration, Instant};

use meshproof_proto::event::Steering;
use meshproof_proto::id::Name;
use meshproof_proto::labels::Labels;
use meshproof_proto::order::{Authority, FaultOrder, StepOrder};
use meshproof_proto::rpc::{AgentClient, LogQuery, MendOrder, Refusal, SteerOrder};
use meshproof_proto::verdict::Exit;
use tarpc::client::RpcError;
use tarpc::context::{self, Context};
use tokio::time::timeout;

use crate::chat::answers::{self, Answer};
use crate::console::limits::ANSWER_WITHIN;

/// Round trips of a ping, of which the shortest counts.
const PINGS: u64 = 5;

/// What a call takes beside what it is given.
const SLACK: Duration = Duration::from_secs(5);

/// One agent.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) name: Name,
    pub(super) client: AgentClient,
}

impl Agent {
    fn failed(&self, why: impl std::fmt::Display) -> Answer {
        Answer::of(Exit::MeshFailed, format!("{}: {why}", self.name))
    }

    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Result<T, Refusal>, RpcError>>,
        within: Duration,
    ) -> Result<T, Answer> {
        match timeout(within, call).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(refusal))) => Err(self.failed(refusal)),
            Ok(Err(error)) => Err(self.failed(format!("the call broke, and what came of it is not known: {error}"))),
            Err(_) => Err(self.failed(format!("no answer within {within:?}"))),
        }
    }

    /// The run that it takes part in, in whose name it is asked.
    pub(super) async fn authority(&self) -> Result<Authority, Answer> {
        let status = self.answer(self.client.status(context::current()), ANSWER_WITHIN).await?;
        let none = || self.failed("no run goes on here, so there is nothing to do it beside");
        status.run.map(|(authority, _)| authority).ok_or_else(none)
    }

    /// What it is labelled with.
    pub(super) async fn labels(self) -> Result<(Name, Labels, AgentClient), Answer> {
        let about = self.answer(self.client.about(context::current()), ANSWER_WITHIN).await?;
        Ok((self.name, about.labels, self.client))
    }

    pub(super) async fn ping(self) -> Answer {
        let mut shortest = Duration::MAX;
        for number in 0..PINGS {
            let began = Instant::now();
            let answered = timeout(ANSWER_WITHIN, self.client.ping(context::current(), number)).await;
            match answered {
                Ok(Ok(back)) if back == number => shortest = shortest.min(began.elapsed()),
                Ok(Ok(_)) => return self.failed("another number came back"),
                Ok(Err(error)) => return self.failed(error),
                Err(_) => return self.failed(format!("no answer within {ANSWER_WITHIN:?}")),
            }
        }
        Answer::of(Exit::Passed, format!("{}: pong in {:.2} ms", self.name, shortest.as_secs_f64() * 1e3))
    }

    pub(super) async fn act(self, order: StepOrder, line: String) -> Answer {
        let within =
            Duration::from_millis(order.within_ms.saturating_add(order.eventually_ms.unwrap_or_default())) + SLACK;
        let fields: Vec<String> = order.checks.iter().map(|check| check.field.clone()).collect();
        let call = self.client.act(until(within), Box::new(order), line);
        match self.answer(call, within).await {
            Ok(result) => answers::step(self.name.as_str(), &result, &fields),
            Err(failed) => failed,
        }
    }

    pub(super) async fn disturb(self, order: FaultOrder, line: String) -> Answer {
        let said =
            format!("{} is active as `{}`, for {:.0} s at most", order.shape, order.fault, order.lease_ms as f64 / 1e3);
        match self.answer(self.client.disturb(context::current(), Box::new(order), line), ANSWER_WITHIN).await {
            Ok(()) => Answer::of(Exit::Passed, format!("{}: {said}", self.name)),
            Err(failed) => failed,
        }
    }

    /// Ends these faults, or all that are active here; one of the run's own is told and left alone.
    pub(super) async fn heal(self, wanted: Option<String>, line: String) -> Vec<Answer> {
        let status = match self.answer(self.client.status(context::current()), ANSWER_WITHIN).await {
            Ok(status) => status,
            Err(failed) => return vec![failed],
        };
        let Some((authority, _)) = status.run else { return Vec::new() };
        let mut answers = Vec::new();
        for fault in status.faults_active {
            if wanted.as_ref().is_some_and(|wanted| *wanted != fault) {
                continue;
            }
            let call =
                self.client.mend(until(SLACK), MendOrder { authority: authority.clone(), fault, line: line.clone() });
            answers.push(match timeout(SLACK, call).await {
                Ok(Ok(Ok(report))) => answers::healed(self.name.as_str(), &report),
                // of all faults, those of the run are not meant
                Ok(Ok(Err(refusal))) if wanted.is_none() => {
                    Answer::of(Exit::Passed, format!("{}: {refusal}", self.name))
                }
                Ok(Ok(Err(refusal))) => self.failed(refusal),
                Ok(Err(error)) => self.failed(error),
                Err(_) => self.failed(format!("no answer within {SLACK:?}")),
            });
        }
        answers
    }

    pub(super) async fn logs(self, query: LogQuery) -> Answer {
        match self.answer(self.client.read_log(context::current(), query), ANSWER_WITHIN).await {
            Ok(lines) => answers::log(self.name.as_str(), &lines),
            Err(failed) => failed,
        }
    }

    pub(super) async fn state(self) -> Answer {
        let asked = async {
            let status = self.answer(self.client.status(context::current()), ANSWER_WITHIN).await?;
            let stubs = self.answer(self.client.stubs(context::current()), ANSWER_WITHIN).await?;
            Ok((status, stubs))
        };
        match asked.await {
            Ok((status, stubs)) => answers::state(&status, &stubs),
            Err(failed) => failed,
        }
    }

    /// Tells it what is wanted of its run.
    pub(super) async fn steer(self, how: Steering, number: u64) -> Result<(), Answer> {
        let order = SteerOrder { authority: self.authority().await?, how, number };
        self.answer(self.client.steer(context::current(), order), ANSWER_WITHIN).await
    }

    pub(super) async fn say(self, text: String) -> Result<(), Answer> {
        self.answer(self.client.say(context::current(), text), ANSWER_WITHIN).await
    }
}

/// A call that may take so long.
fn until(within: Duration) -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + within;
    context
}
