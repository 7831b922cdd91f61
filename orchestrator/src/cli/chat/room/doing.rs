//! What the lines of a chat do.

use futures::future::{BoxFuture, FutureExt as _, join_all};
use meshproof_proto::event::Steering;
use meshproof_proto::order::FaultOrder;
use meshproof_proto::rpc::{LogQuery, RoomNews};
use meshproof_proto::verdict::Exit;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::joined::Alone;
use super::{Allowed, Begun, Did, Ended, Next, Room};
use crate::chat::answers::{self, Answer};
use crate::chat::disturbance;
use crate::chat::filter::Filter;
use crate::chat::ground::{Ground, Settled, lease_ms};
use crate::chat::threads::ThreadId;
use crate::chat::verbs::{Logs, Verb};
use crate::cli::chat::ask::Agent;
use crate::cli::chat::child::{self, Output};
use crate::cli::chat::tree::{self, Asked, Here};
use crate::plan::compiled::{Does, FaultStep};

/// A line that cannot be done.
pub(super) type Refused = (String, Exit);

impl From<Alone> for Refused {
    fn from(alone: Alone) -> Self {
        (alone.why, alone.exit)
    }
}

/// An agent's answer that is waited for.
type Waiting = BoxFuture<'static, Answer>;

impl Room {
    pub(super) async fn command(&mut self, line: &str, words: Vec<String>) -> Begun {
        if let [show, what] = words.as_slice()
            && show == "show"
            && let Some(shown) = self.shown(what)
        {
            return shown;
        }
        match tree::command(words) {
            Asked::There(words) if self.allowed == Allowed::Looks && !tree::only_looks(&words) => {
                self.refuse(&"this console only looks; a command that does more takes an operator's", Exit::Usage)
            }
            Asked::There(words) => self.process(line, words),
            Asked::Here(here) => self.here(line, here).await,
            told @ Asked::Told { .. } => self.told(told),
        }
    }

    async fn here(&mut self, line: &str, here: Here) -> Begun {
        let begun = match here {
            Here::Fault { words } => self.fault(line, &words).await,
            Here::Heal { fault } => self.heal(line, fault).await,
            Here::Pause => self.steer(line, Steering::Pause).await,
            Here::Step => self.steer(line, Steering::Step).await,
            Here::Resume => self.steer(line, Steering::Resume).await,
            Here::State { agent } => {
                let agents = agent.strip_prefix('@').unwrap_or(&agent);
                self.asked(line, agents, |agent| agent.state().boxed()).await
            }
            Here::Filter { words } => {
                let filter = Filter::of(&words);
                self.voice.note(&filter.to_string());
                self.filter.send_replace(filter);
                return Begun::Next(Next::Came(Exit::Passed));
            }
            Here::Threads => {
                self.voice.result(&self.threads.text());
                return Begun::Next(Next::Came(Exit::Passed));
            }
            Here::Stop { thread } => return self.stop(&thread),
            Here::Save { .. } if self.allowed == Allowed::Looks => {
                return self.refuse(&"this console only looks; it writes no files", Exit::Usage);
            }
            Here::Save { file } => return self.save(&file),
            Here::Quit => return Begun::Next(Next::Over),
        };
        begun.unwrap_or_else(|(why, exit)| self.refuse(&why, exit))
    }

    /// A command of the command line, as a process of its own.
    fn process(&mut self, line: &str, mut words: Vec<String>) -> Begun {
        let takes_mesh = ["who", "links", "stubs", "bench"].contains(&words[0].as_str());
        if let (true, false, Some(mesh)) = (takes_mesh, words.iter().any(|word| word == "--mesh"), self.joined.wanted())
        {
            words.extend(["--mesh".to_owned(), mesh.to_owned()]);
        }
        if let Some(run) = self.joined.run().filter(|_| tree::names_no_run(&words)) {
            words.insert(1, run);
        }
        self.twin(&format!("meshproof {}", words.join(" ")));
        let thread = self.threads.begin(line);
        let stop = CancellationToken::new();
        self.stops.insert(thread, stop.clone());
        let output = match self.live {
            // of what goes on; what a command answers is all shown
            true if words[0] == "attach" => {
                Output::Lines(self.voice.clone(), thread.to_string(), self.filter.subscribe())
            }
            true => Output::Lines(self.voice.clone(), thread.to_string(), watch::Sender::default().subscribe()),
            false => Output::Ours,
        };
        let ended = async move {
            match child::run(words, output, stop).await {
                Ok(Exit::Passed) => Answer::of(Exit::Passed, "done"),
                Ok(exit) => Answer::of(exit, format!("exit code {}", exit.code())),
                Err(error) => Answer::of(Exit::MeshFailed, format!("cannot be started: {error}")),
            }
        };
        self.goes((thread, line), ended.boxed(), Did::Nothing)
    }

    /// Something for agents.
    pub(super) async fn to(&mut self, line: &str, agents: &str, verb: &Verb) -> Begun {
        let begun = match verb {
            Verb::Ping => self.asked(line, agents, |agent| agent.ping().boxed()).await,
            Verb::State => self.asked(line, agents, |agent| agent.state().boxed()).await,
            Verb::Logs(Logs { log, since, last }) => {
                let since_ms = since.map(meshproof_proto::order::millis);
                let query = LogQuery { log: log.clone(), since_ms, most: *last };
                self.asked(line, agents, move |agent| agent.logs(query.clone()).boxed()).await
            }
            Verb::Http(_) | Verb::Tcp(_) | Verb::Ws(_) | Verb::Grpc(_) | Verb::Exec(_) => {
                self.steps(line, agents, verb).await
            }
        };
        begun.unwrap_or_else(|(why, exit)| self.refuse(&why, exit))
    }

    /// Asks each for a look.
    async fn asked(&mut self, line: &str, agents: &str, ask: impl Fn(Agent) -> Waiting) -> Result<Begun, Refused> {
        let asking: Vec<Waiting> = self.meant(agents).await?.into_iter().map(ask).collect();
        self.twin_of(line);
        let thread = self.threads.begin(line);
        Ok(self.goes((thread, line), async { Answer::all(join_all(asking).await) }.boxed(), Did::Nothing))
    }

    /// Has each do a step beside the run.
    async fn steps(&mut self, line: &str, agents: &str, verb: &Verb) -> Result<Begun, Refused> {
        let meant = self.meant(agents).await?;
        let ground = self.joined.ground();
        let thread = self.threads.begin(line);
        let (mut asking, mut steps): (Vec<Waiting>, Vec<Value>) = (Vec::new(), Vec::new());
        for agent in meant {
            let Some(step) = verb.step(agent.name.as_str()) else { continue };
            let asked = self.act((&ground, &step), (thread, line)).await;
            match asked {
                Ok(answer) => asking.push(answer),
                Err((why, exit)) => {
                    self.threads.end(thread, "was not begun", "");
                    return Err((why, exit));
                }
            }
            steps.push(step);
        }
        self.twin_of(line);
        Ok(self.goes((thread, line), async { Answer::all(join_all(asking).await) }.boxed(), Did::Steps(steps)))
    }

    async fn act(
        &mut self,
        (ground, step): (&Ground, &Value),
        (thread, line): (ThreadId, &str),
    ) -> Result<Waiting, Refused> {
        let settled = ground.settle(step).map_err(|why| (why, Exit::Usage))?;
        let Does::Ask(ask) = &settled.step.does else { return Err(("no agent does this".to_owned(), Exit::Usage)) };
        let agent = self.one(ask.at.as_str()).await?;
        let console = self.joined.console().await?.name().to_string();
        let authority = agent.authority().await.map_err(|answer| (answer.status, answer.exit))?;
        let id = thread.to_string();
        let order = settled.order(ask, &authority, (&console, &id)).map_err(|missing| {
            (format!("{missing} to a chat; only what stands in the line is, and the plan's `params`"), Exit::Usage)
        })?;
        Ok(agent.act(order, line.to_owned()).boxed())
    }

    async fn fault(&mut self, line: &str, words: &[String]) -> Result<Begun, Refused> {
        let step = disturbance::step(words).map_err(|error| (error.to_string(), Exit::Usage))?;
        let console = self.joined.console().await?.name().to_string();
        let Settled { step: settled, .. } = self.joined.ground().settle(&step).map_err(|why| (why, Exit::Usage))?;
        let Does::Fault(fault) = &settled.does else { return Err(("this is no fault".to_owned(), Exit::Usage)) };
        let thread = self.threads.begin(line);
        let asked = self.disturb(fault, &format!("{console}.{thread}"), line).await;
        let asking = asked.inspect_err(|_| self.threads.end(thread, "was not begun", ""))?;
        self.twin_of(line);
        let did = Did::Steps(vec![step]);
        Ok(self.goes((thread, line), async { Answer::all(join_all(asking).await) }.boxed(), did))
    }

    async fn disturb(&mut self, fault: &FaultStep, name: &str, line: &str) -> Result<Vec<Waiting>, Refused> {
        let mut asking: Vec<Waiting> = Vec::new();
        for (at, target) in &fault.fault.parts {
            let agent = self.one(at.as_str()).await?;
            let authority = agent.authority().await.map_err(|answer| (answer.status, answer.exit))?;
            let order = FaultOrder {
                authority,
                fault: name.to_owned(),
                target: target.clone(),
                shape: fault.fault.shape.clone(),
                lease_ms: lease_ms(fault),
            };
            asking.push(agent.disturb(order, line.to_owned()).boxed());
        }
        Ok(asking)
    }

    async fn heal(&mut self, line: &str, fault: String) -> Result<Begun, Refused> {
        let meant = self.meant("all").await?;
        let console = self.joined.console().await?.name().to_string();
        let wanted = match ThreadId::parse(&fault) {
            Some(thread) => Some(format!("{console}.{thread}")),
            None => (fault != "all").then_some(fault),
        };
        let thread = self.threads.begin(line);
        self.twin_of(line);
        let line_of_it = line.to_owned();
        let ended = async move {
            let healing = meant.into_iter().map(|agent| agent.heal(wanted.clone(), line_of_it.clone()));
            match (join_all(healing).await.concat(), wanted) {
                (none, None) if none.is_empty() => Answer::of(Exit::Passed, "no fault is active"),
                (none, Some(wanted)) if none.is_empty() => {
                    Answer::of(Exit::Usage, format!("no fault `{wanted}` is active; `/state` says which are"))
                }
                (answers, _) => Answer::all(answers),
            }
        };
        let did = Did::Steps(vec![serde_json::json!({ "heal": "all" })]);
        Ok(self.goes((thread, line), ended.boxed(), did))
    }

    /// Holds the run, or lets it go on: all agents are told, for each may have been told of steps before their turn.
    async fn steer(&mut self, line: &str, how: Steering) -> Result<Begun, Refused> {
        let meant = self.meant("all").await?;
        let thread = self.threads.begin(line);
        self.twin_of(line);
        let steering = meant.into_iter().map(move |agent| agent.steer(how, thread.number()));
        let ended = async move { answers::steered(how, join_all(steering).await) };
        // nothing that a plan would do again
        Ok(self.goes((thread, line), ended.boxed(), Did::Steps(Vec::new())))
    }

    /// Tells the other people, and the run's journal.
    pub(super) async fn say(&mut self, text: String) -> Begun {
        let (console, agents) = match self.joined.console().await {
            Ok(console) => {
                console.settle().await;
                let agents = console.agents_named("all");
                (console, agents)
            }
            Err(Alone { why, exit }) => return self.refuse(&why, exit),
        };
        console.meet().await;
        let heard = console.tell(&RoomNews::Said(text.clone())).await;
        let mut kept = Err("no agent is there that would tell the run's journal".to_owned());
        for (name, client) in agents {
            let telling = Agent { name, client }.say(text.clone());
            match Box::pin(console.during(telling)).await {
                Ok(()) => {
                    kept = Ok(());
                    break;
                }
                Err(answer) => kept = Err(answer.status),
            }
        }
        let people = if heard == 1 { "1 person".to_owned() } else { format!("{heard} people") };
        let (exit, status) = match kept {
            Ok(()) => (Exit::Passed, format!("{people} heard it, and the run's journal has it")),
            Err(why) if heard > 0 => (Exit::Passed, format!("{people} heard it; the journal does not have it: {why}")),
            Err(why) => (Exit::MeshFailed, format!("nobody heard it: {why}")),
        };
        self.voice.note(&Answer::of(exit, status).status);
        Begun::Next(Next::Came(exit))
    }

    /// Goes on while other lines come.
    fn goes(&mut self, (thread, line): (ThreadId, &str), work: Waiting, did: Did) -> Begun {
        let line = line.trim().to_owned();
        self.going.spawn(async move { Ended { thread, line, answer: work.await, did } });
        Begun::Goes(thread)
    }

    fn stop(&mut self, thread: &str) -> Begun {
        match ThreadId::parse(thread).and_then(|thread| self.stops.remove(&thread)) {
            Some(stop) => {
                stop.cancel();
                Begun::Next(Next::Came(Exit::Passed))
            }
            None => {
                let going: Vec<String> = self.stops.keys().map(ToString::to_string).collect();
                let those = if going.is_empty() { "nothing goes on".to_owned() } else { going.join(", ") + " can be" };
                self.refuse(&format!("`{thread}` cannot be stopped: {those}"), Exit::Usage)
            }
        }
    }
}
