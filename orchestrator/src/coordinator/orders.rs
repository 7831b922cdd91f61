//! Carries orders to agents and to the environment, and their answers back to the loop. Each is a task of its own, so that
//! nobody waits for the slowest.

use std::path::Path;

use meshproof_proto::id::Name;
use meshproof_proto::order::{Authority, FaultOrder, ReceiveOrder, StepKey, StepOrder, Turn, millis};

use super::crew::{CallError, Caller, Presence};
use super::driver::Driver;
use super::standing;
use crate::keeper::protocol::{File, StartService, StopSignal, StopWish};
use crate::local::Collect;
use crate::plan::model;
use crate::run::{Input, Launch, LaunchFile, Lease, OrdersTogether, Output};

impl Driver {
    /// Carries out one output of the run.
    pub(super) async fn order(&mut self, output: Output) {
        match output {
            Output::Launch(launch) => self.launch(*launch).await,
            Output::BeginTest { agent, test } => self.begin_test(agent, test),
            Output::Order { agent, order, turn } => {
                let key = order.key.clone();
                self.step(&agent, key, |caller| async move { start_in_turn(&caller, &order, &turn).await });
            }
            Output::OrderAgain { agent, order } => {
                let key = order.key.clone();
                self.step(&agent, key, |caller| async move { start_again(&caller, &order).await });
            }
            Output::Together(orders) => self.together(*orders),
            Output::Cancel { agent, key } => self.cancel(&agent, key),
            Output::BeginFault { agent, serial, order } => self.begin_fault(agent, serial, *order),
            Output::RenewFault { agent, order, of } => self.renew_fault(&agent, *order, of),
            Output::HealFault { agent, serial, fault } => self.heal_fault(agent, serial, fault),
            Output::Change { key, service, what } => self.change(key, service, what),
            Output::KillZone { key, zone } => self.kill_zone(key, zone),
            Output::Answer { agent, answers } => self.answer_programs(agent, answers).await,
            Output::Pause { key, text } => self.pause(key, text),
            Output::Collect { key, artefacts } => self.collect(key, &artefacts).await,
            Output::Record(_) | Output::TearDown | Output::Finished { .. } => {}
        }
    }

    /// Runs `ask` beside the loop; what comes of it, or what its failure means, goes into the inbox.
    fn answer<F, Answer>(&self, agent: &Name, failed: impl FnOnce(String) -> Option<Input> + Send + 'static, ask: F)
    where
        F: FnOnce(Caller) -> Answer,
        Answer: Future<Output = Result<Option<Input>, String>> + Send + 'static,
    {
        let inbox = self.inbox_in.clone();
        let asked = self.crew.caller(agent).map(ask);
        tokio::spawn(async move {
            let result = match asked {
                Some(asked) => asked.await,
                None => Err("the agent is gone".to_owned()),
            };
            if let Some(input) = result.unwrap_or_else(failed) {
                let _ = inbox.send(input).await;
            }
        });
    }

    /// Orders a step of the instance that is there now. The next one is not to get orders that were given before everything was known that
    /// this one had told, so while nobody is there, nobody is told.
    fn step<F, Answer>(&self, agent: &Name, key: StepKey, ask: F)
    where
        F: FnOnce(Caller) -> Answer,
        Answer: Future<Output = Result<Option<Input>, String>> + Send + 'static,
    {
        let instance = match self.crew.presence(agent) {
            Some(Presence::There(instance)) => Some(instance),
            Some(Presence::Awaited) => return,
            None => None,
        };
        self.answer(agent, refused(key), |caller| ask(caller.for_instance(instance)));
    }

    fn together(&self, orders: OrdersTogether) {
        let OrdersTogether { parts, leader, order, again } = orders;
        let callers = |(agent, part): (Name, ReceiveOrder)| (self.crew.caller(&agent), agent, part);
        let parts: Vec<_> = parts.into_iter().map(callers).collect();
        let key = order.key.clone();
        self.step(&leader, key, |caller| async move {
            for (agents_own, agent, part) in parts {
                let agents_own = agents_own.ok_or_else(|| format!("agent {agent} is gone"))?;
                receive_at(&agents_own, part).await.map_err(|reason| format!("agent {agent}: {reason}"))?;
            }
            if again { start_again(&caller, &order).await } else { start(&caller, &order).await }
        });
    }

    fn cancel(&self, agent: &Name, key: StepKey) {
        let authority = self.authority.clone();
        self.answer(
            agent,
            |_| None,
            |caller| async move {
                let cancelled = caller.call(|client, context| {
                    let (authority, key) = (authority.clone(), key.clone());
                    async move { client.cancel(context, authority, key).await }
                });
                cancelled.await.map(|()| None).map_err(|error| error.to_string())
            },
        );
    }

    fn begin_test(&self, agent: Name, test: String) {
        let authority = self.authority.clone();
        let refused = {
            let (agent, test) = (agent.clone(), test.clone());
            move |reason| Some(Input::TestRefused { agent, test, reason })
        };
        let who = agent.clone();
        self.answer(&agent, refused, |caller| async move {
            let begun = caller.call(|client, context| {
                let (authority, test) = (authority.clone(), test.clone());
                async move { client.begin_test(context, authority, test).await }
            });
            begun.await.map_err(|error| error.to_string())?;
            Ok(Some(Input::TestBegun { agent: who, test }))
        });
    }

    fn begin_fault(&self, agent: Name, serial: u64, order: FaultOrder) {
        let fault = order.fault.clone();
        let refused = {
            let (agent, fault) = (agent.clone(), fault.clone());
            move |reason| Some(Input::FaultRefused { agent, fault, serial, reason })
        };
        let active = Input::FaultActive { agent: agent.clone(), fault, serial };
        self.answer(&agent, refused, |caller| async move { begin(&caller, &order).await.map(|()| Some(active)) });
    }

    fn renew_fault(&self, agent: &Name, order: FaultOrder, of: Lease) {
        self.answer(
            agent,
            |_| None,
            |caller| async move {
                match of {
                    Lease::Same => begin(&caller, &order).await.map(|()| None),
                    Lease::Former => begin_again(&caller, &order).await.map(|()| None),
                }
            },
        );
    }

    fn heal_fault(&self, agent: Name, serial: u64, fault: String) {
        let authority = self.authority.clone();
        let refused = {
            let agent = agent.clone();
            move |reason| Some(Input::HealRefused { agent, serial, reason })
        };
        let who = agent.clone();
        self.answer(&agent, refused, |caller| async move {
            let healed = caller.call(|client, context| {
                let (authority, fault) = (authority.clone(), fault.clone());
                async move { client.heal_fault(context, authority, fault).await }
            });
            let report = healed.await.map_err(|error| error.to_string())?;
            Ok(Some(Input::FaultHealed { agent: who, serial, report }))
        });
    }

    /// The keeper answers at once, so the loop waits for it. The service counts as started once its agent knows its processes.
    async fn launch(&mut self, launch: Launch) {
        let service = launch.service.clone();
        let started = match (start_service(launch, &self.options.plan_dir), &self.environment) {
            (Ok(start), Some(environment)) => environment.start_service(start).await.map_err(|error| error.to_string()),
            (Ok(_), None) => Err("there is no environment".to_owned()),
            (Err(reason), _) => Err(reason),
        };
        match started {
            Ok(processes) => {
                self.processes.insert(service.clone(), processes.clone());
                self.observe(service, processes);
            }
            Err(reason) => self.pending.push_back(Input::ServiceNotStarted { service, reason }),
        }
    }

    /// The agent samples what these processes use. That one cannot be asked is told elsewhere.
    pub(super) fn observe(&self, service: Name, processes: Vec<i32>) {
        let authority = self.authority.clone();
        let started = Input::ServiceStarted { service: service.clone() };
        let started_all_the_same = started.clone();
        self.answer(
            &service,
            |_| Some(started_all_the_same),
            |caller| async move { observe(&caller, &authority, &processes).await.map(|()| Some(started)) },
        );
    }

    /// Copies what is there now; the end of the run copies everything once more.
    async fn collect(&mut self, key: StepKey, artefacts: &[model::Artefact]) {
        let mut files = Vec::new();
        if artefacts.contains(&model::Artefact::Journal) {
            files.push("events.jsonl".to_owned());
        }
        let mut collected = Ok(());
        if artefacts.contains(&model::Artefact::Logs) {
            files.push("logs/".to_owned());
            collected = match &self.environment {
                Some(environment) => {
                    let copied = environment.collect(&self.options.out, Collect::Logs, self.scribe.masker()).await;
                    copied.map_err(|error| error.to_string())
                }
                None => standing::collect(&self.crew.callers(), &self.options.out).await,
            };
        }
        self.pending.push_back(Input::Collected { key, files: collected.map(|()| files) });
    }
}

fn refused(key: StepKey) -> impl FnOnce(String) -> Option<Input> + Send + 'static {
    move |reason| Some(Input::StepRefused { key, reason })
}

/// What an instance was to do that is gone is ordered anew of the next one.
fn begun(started: Result<(), CallError>) -> Result<Option<Input>, String> {
    match started {
        Ok(()) | Err(CallError::Another) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

async fn start(caller: &Caller, order: &StepOrder) -> Result<Option<Input>, String> {
    let started = caller.call(|client, context| {
        let order = Box::new(order.clone());
        async move { client.start(context, order).await }
    });
    begun(started.await)
}

async fn start_in_turn(caller: &Caller, order: &StepOrder, turn: &Turn) -> Result<Option<Input>, String> {
    if turn.is_alone() {
        return start(caller, order).await;
    }
    let started = caller.call(|client, context| {
        let (order, turn) = (Box::new(order.clone()), turn.clone());
        async move { client.start_in_turn(context, order, turn).await }
    });
    begun(started.await)
}

async fn start_again(caller: &Caller, order: &StepOrder) -> Result<Option<Input>, String> {
    let started = caller.call(|client, context| {
        let order = Box::new(order.clone());
        async move { client.start_again(context, order).await }
    });
    begun(started.await)
}

/// Tells an agent which processes are those of its service.
pub(super) async fn observe(caller: &Caller, authority: &Authority, processes: &[i32]) -> Result<(), String> {
    let told = caller.call(|client, context| {
        let (authority, processes) = (authority.clone(), processes.to_vec());
        async move { client.observe(context, authority, processes).await }
    });
    told.await.map_err(|error| error.to_string())
}

async fn receive_at(caller: &Caller, order: ReceiveOrder) -> Result<(), String> {
    let ready = caller.call(|client, context| {
        let order = Box::new(order.clone());
        async move { client.receive(context, order).await }
    });
    ready.await.map_err(|error| error.to_string())
}

async fn begin(caller: &Caller, order: &FaultOrder) -> Result<(), String> {
    let began = caller.call(|client, context| {
        let order = Box::new(order.clone());
        async move { client.begin_fault(context, order).await }
    });
    began.await.map_err(|error| error.to_string())
}

async fn begin_again(caller: &Caller, order: &FaultOrder) -> Result<(), String> {
    let began = caller.call(|client, context| {
        let order = Box::new(order.clone());
        async move { client.begin_fault_again(context, order).await }
    });
    began.await.map_err(|error| error.to_string())
}

/// The keeper's order from the run's. A program whose path has a slash is looked for beside the plan.
pub(super) fn start_service(launch: Launch, plan_dir: &Path) -> Result<StartService, String> {
    let beside_plan = |mut argv: Vec<String>| {
        if let Some(program) = argv.first_mut().filter(|program| program.contains('/')) {
            *program = plan_dir.join(&*program).to_string_lossy().into_owned();
        }
        argv
    };
    let file = |(path, content): (String, LaunchFile)| match content {
        LaunchFile::Text(text) => Ok(File { path, content: text.into_bytes() }),
        LaunchFile::CopyOf(from) => {
            let from = plan_dir.join(from);
            let content = std::fs::read(&from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
            Ok(File { path, content })
        }
    };
    let signal = match launch.stop_signal {
        model::StopSignal::Term => StopSignal::Term,
        model::StopSignal::Int => StopSignal::Int,
        model::StopSignal::Quit => StopSignal::Quit,
        model::StopSignal::Hup => StopSignal::Hup,
        model::StopSignal::Kill => StopSignal::Kill,
    };
    let grace_ms = millis(launch.stop_grace);
    Ok(StartService {
        name: launch.service,
        processes: launch.processes.into_iter().map(beside_plan).map(|argv| launch.limits.around(argv)).collect(),
        env: launch.env.into_iter().collect(),
        files: launch.files.into_iter().map(file).collect::<Result<_, String>>()?,
        stop: StopWish { signal, grace_ms },
    })
}
