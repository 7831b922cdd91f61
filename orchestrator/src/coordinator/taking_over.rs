//! Goes on with a run that another orchestrator has begun.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::id::{Name, Term};
use meshproof_proto::memory::Promised;
use meshproof_proto::secrets::Secrets;
use meshproof_proto::verdict::Exit;

use super::claiming::Claimed;
use super::driver::Driver;
use super::files::Files;
use super::health::{Health, Stage};
use super::signals::Signals;
use super::succession::{NotTakenOver, Successor};
use super::{Options, confided, superseded};
use crate::attach::{self, AttachError, End, Watched};
use crate::journal;
use crate::local::{Cause, KeptMesh, LocalEnvironment, What};
use crate::memory::{
    Began, Conducted, Deeds, Hands, Late, Moment, Present, Ready, Rebuilt, Recollection, Told, Wish, rebuild,
};
use crate::plan::{self, Checked, Inputs, Look, Plan, SecretInputs, Source, Wanted};
use crate::progress::Mode;
use crate::record::{Entry, Happening, now_ms};
use crate::run::{Input, Output, ProcessOrder, Run, Setting};

/// How whoever commands a run from now on, or may have to, is seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub progress: Mode,
    /// Where machines ask how it is; none: nowhere.
    pub health: Option<SocketAddr>,
}

impl Seen {
    fn health(self, stage: Stage) -> Result<Option<Health>, NotTakenOver> {
        self.health.map(|address| Health::at(address, stage)).transpose().map_err(NotTakenOver::Address)
    }
}

/// Commands the run from now on, to its end.
///
/// # Errors
/// Not enough of its agents promise it, or it cannot be brought to where it was.
pub async fn take_over(kept: KeptMesh, seen: Seen) -> Result<Exit, NotTakenOver> {
    let health = seen.health(Stage::Preparing)?;
    let mut successor = Successor::join(kept)?;
    successor.gather().await;
    let detected = Instant::now();
    let claimed = successor.claim(Wish::Insists).await?;
    Box::pin(go_on(successor, claimed, Takes { mode: seen.progress, health, detected })).await
}

/// Waits until the run is over, or whoever commands it is gone; then commands it to its end. Of several who wait, one does.
///
/// # Errors
/// As [`take_over`]; or the run's journal cannot be read.
pub async fn stand_by(kept: KeptMesh, seen: Seen) -> Result<Exit, NotTakenOver> {
    let health = seen.health(Stage::StandsBy)?;
    let mut successor = Successor::join(kept)?;
    successor.gather().await;
    let run = successor.kept.run().clone();
    crate::say::note(format_args!("standing by for {run}"));
    loop {
        let before = successor.promised_at().await;
        let journal = successor.kept.reports().and_then(superseded::number);
        if let Some(exit) = successor.until_needed().await? {
            return Ok(exit);
        }
        let detected = Instant::now();
        let over = another_ends_it(successor.kept.reports().map(Path::to_owned), journal);
        let claimed = tokio::select! {
            claimed = successor.claim(Wish::Behind(before)) => claimed,
            exit = over => return Ok(exit),
        };
        match claimed {
            Ok(claimed) => {
                crate::say::note(format_args!("the orchestrator of {run} is gone; taking its place"));
                let takes = Takes { mode: seen.progress, health, detected };
                return Box::pin(go_on(successor, claimed, takes)).await;
            }
            Err(NotTakenOver::Promised { .. }) => successor.until_written(journal).await,
            // Another one was quicker, and has brought it to its end perhaps.
            Err(_) if successor.kept.reports().and_then(superseded::number) != journal => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the run has ended; its exit code. None: whoever commands it is gone, which is seen at once on the same machine.
async fn ended(reports: &Path) -> Result<Option<Exit>, AttachError> {
    if attach::watch(reports).await? == Watched::Left {
        return Ok(None);
    }
    Ok(match attach::follow(reports, Mode::Quiet).await? {
        End::Ended { exit } => Some(Exit::from_code(exit).unwrap_or(Exit::MeshFailed)),
        End::BrokeOff { .. } | End::Unread => None,
    })
}

/// Waits until another one, that writes another journal than this, has brought the run to its end.
async fn another_ends_it(reports: Option<PathBuf>, before: Option<u64>) -> Exit {
    let Some(reports) = reports else { return std::future::pending().await };
    superseded::written(&reports, before).await;
    match ended(&reports).await {
        Ok(Some(exit)) => exit,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

impl Successor {
    /// Waits until somebody has to take the place of whom the run obeys; or until it is over: then its exit code.
    async fn until_needed(&mut self) -> Result<Option<Exit>, NotTakenOver> {
        let reports = self.kept.reports().map(Path::to_owned);
        let ended = async {
            match reports {
                Some(reports) => ended(&reports).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What is on its way when a run ends is its end, and nobody has to take it over.
            ended = ended => ended.map_err(|error| NotTakenOver::Journal(error.into())),
            () = self.until_orphaned() => Ok(None),
        }
    }
}

/// Whoever takes the place of another.
struct Takes {
    mode: Mode,
    health: Option<Health>,
    /// When it was known that somebody has to.
    detected: Instant,
}

async fn go_on(mut successor: Successor, mut claimed: Claimed, takes: Takes) -> Result<Exit, NotTakenOver> {
    let Takes { mode, health, detected } = takes;
    let recollected = successor.recall(&mut claimed).await?;
    let decided_ms = detected.elapsed().as_secs_f64() * 1e3;
    let run = successor.kept.run().clone();
    let not = |why| NotTakenOver::NotRebuilt { run: run.clone(), why };
    let recollection = recollected.read().map_err(not)?;
    let mut driver = driver(successor, (&claimed, &recollection), mode).await?;
    driver.health = health;
    let setting = driver.setting_again(&recollection.ready);
    let make = |at| Run::new(Arc::clone(&driver.plan), Arc::clone(&driver.source), driver.setup(), at);
    let moment = Moment { now: Instant::now(), at_unix_ms: now_ms() };
    let rebuilt = rebuild(recollection, make, (setting, moment));
    let rebuilt = match rebuilt {
        Ok(rebuilt) => rebuilt,
        Err(why) => {
            // Somebody else may be able to.
            driver.release.release();
            return Err(not(why));
        }
    };
    let promised = claimed.promised();
    Ok(Box::pin(driver.resume(Resumed { rebuilt, promised, decided_ms, detected })).await)
}

/// What a driver goes on with.
struct Resumed {
    rebuilt: Rebuilt,
    promised: BTreeMap<Name, Promised>,
    decided_ms: f64,
    detected: Instant,
}

/// A driver with everything that the one before had.
async fn driver(
    successor: Successor,
    (claimed, recollection): (&Claimed, &Recollection),
    mode: Mode,
) -> Result<Driver, NotTakenOver> {
    let Successor { kept, mesh, events, crew, .. } = successor;
    let (run, term, began) = (kept.run().clone(), claimed.term, &recollection.began);
    let confided = secrets(claimed);
    let compiled = compiled(began, &confided, claimed);
    let (plan, source) = compiled.map_err(|why| NotTakenOver::Plan { run: run.clone(), why })?;
    let (environment, notices) = LocalEnvironment::take_over(&kept, term.0).await?;
    let options = Options {
        out: kept.reports().map(Path::to_owned).unwrap_or_default(),
        mode,
        seed: began.seed,
        flaky: began.flaky,
        first_failure: began.first_failure,
        deadline: began.deadline_ms.map(Duration::from_millis),
        arguments: began.arguments.clone(),
        given: Some(began.given.clone()),
        ..Options::new(run, began.plan_dir.clone())
    };
    set_aside(&options.out, term).map_err(|error| NotTakenOver::Journal(error.into()))?;
    let driver = Driver::new(Arc::new(plan), Arc::new(source), options).map_err(NotTakenOver::Journal)?;
    let mut driver = Driver { crew, mesh: Some(mesh), mesh_events: Some(events), notices: Some(notices), ..driver };
    driver.authority.term = term;
    driver.release = environment.releaser();
    driver.processes.clone_from(&environment.welcome().services);
    driver.environment = Some(environment);
    driver.confided = confided;
    let masker = driver.confided.masker().map_err(|error| NotTakenOver::Journal(error.into()))?;
    driver.scribe.mask_with(masker);
    for (name, promised) in claimed.promises() {
        driver.crew.began_with(name, promised.origin);
        driver.ended.insert(name.clone(), driver.crew.instances(name).saturating_sub(1));
    }
    Ok(driver)
}

/// Those of the plan, and private keys: every agent knows what it uses.
fn secrets(claimed: &Claimed) -> Secrets {
    let mut all = Secrets::default();
    let holding = claimed.promises().filter_map(|(_, promised)| promised.holding.as_ref());
    holding.flat_map(|holding| holding.secrets.iter()).for_each(|(name, value)| all.insert(name, value));
    all
}

/// The plan as the orchestrator before has compiled it.
fn compiled(began: &Began, confided: &Secrets, claimed: &Claimed) -> Result<(Plan, Source), String> {
    let given = confided.iter().filter(|(name, _)| !confided::is_key(name));
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let secrets = SecretInputs { given, wanted: Wanted::Values, ..SecretInputs::default() };
    let inputs = Inputs {
        dir: began.plan_dir.to_string_lossy().into_owned(),
        params: began.given.params.clone(),
        secrets,
        // They were looked at when the run began.
        read_file: None,
    };
    let Checked { source, plan } = plan::check(&began.file, began.text.as_bytes(), &inputs);
    let plan =
        plan.map_err(|mistakes| format!("its plan is invalid here:\n{}", mistakes.render(&source, Look::Plain)))?;
    let plan = plan.select(&began.given.selection).ok_or("nothing of its plan is selected")?;
    let others = claimed.promises().filter_map(|(_, promised)| promised.holding.as_ref());
    if let Some(other) = others.map(|holding| holding.plan).find(|digest| *digest != plan.digest) {
        return Err(format!("its agents hold plan {other:?}, and what they remember is plan {:?}", plan.digest));
    }
    Ok((plan, source))
}

/// The journal of the orchestrator before stays beside the one that is made anew: it may still be open there.
fn set_aside(out: &Path, term: Term) -> std::io::Result<()> {
    let journal = out.join(journal::FILE_NAME);
    match std::fs::rename(&journal, out.join(format!("events.before-term-{}.jsonl", term.0))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Driver {
    /// What the machine was told when it began.
    fn setting_again(&mut self, ready: &Ready) -> Setting {
        let longest_grace = self.plan.services.iter().map(|service| service.stop_grace).max().unwrap_or_default();
        let wishes = self.wishes();
        let environment = self.environment.as_mut();
        let places = environment.map(|environment| environment.places(&ready.ports, (wishes, longest_grace)));
        let places = places.unwrap_or_default();
        let mut held = ready.held.clone();
        let keys = self.confided.iter().filter(|(name, _)| confided::is_key(name));
        held.extend(keys.map(|(name, text)| (name.to_owned(), text.to_owned())));
        self.ports.clone_from(&ready.ports);
        self.files = Files::again(ready.files.clone(), &self.options.plan_dir);
        for (agent, initialized) in &ready.initialized {
            let order = self.initialize_order(agent, &places, &held);
            self.settings.insert(agent.clone(), (order, initialized.clone()));
        }
        Setting { held, files: ready.files.clone(), ..self.setting(places, ready.initialized.clone()) }
    }

    /// From what was told before to the exit code.
    async fn resume(mut self, resumed: Resumed) -> Exit {
        let result = self.live_on(resumed).await;
        self.leave(result).await
    }

    async fn live_on(&mut self, resumed: Resumed) -> anyhow::Result<Exit> {
        let Resumed { rebuilt, promised, decided_ms, detected } = resumed;
        let Rebuilt { mut conducted, told, outstanding, late, deeds, age } = rebuilt;
        self.goes_on();
        let deadline = self.options.deadline.map(|deadline| deadline.saturating_sub(age));
        let signals = Signals::listen(deadline)?;
        let lines = told.len();
        self.tell_again(told, &promised)?;
        let complete_ms = detected.elapsed().as_secs_f64() * 1e3;
        let term = self.authority.term;
        self.say(&mut conducted, Happening::TakenOver { term, lines, decided_ms, complete_ms })?;
        let run = &mut conducted;
        self.ask_again(outstanding, &deeds, run);
        for late in late {
            match late {
                Late::Fact { agent, seq, fact } => run.hear((&agent, seq), fact, Instant::now()),
                Late::Answer(input) => run.handle(input, Instant::now()),
            }
        }
        self.go_on_with_agents(&promised, run)?;
        // Each tells its events to whoever gave it the last order, and not every one is about to get one.
        for name in promised.keys() {
            self.answer_programs(name.clone(), Vec::new()).await;
        }
        self.go_on_with_services(&deeds, run);
        self.instances_anew();
        self.go_on(run, (signals, false)).await
    }

    /// The journal so far.
    fn tell_again(&mut self, told: Vec<Told>, promised: &BTreeMap<Name, Promised>) -> anyhow::Result<()> {
        for told in told {
            match told {
                Told::Own { at_unix_ms, what } => self.record(at_unix_ms, what)?,
                Told::Event { agent, event } => {
                    let Some(promised) = promised.get(&agent) else { continue };
                    self.scribe.write(Entry::event(&agent, promised.origin, event))?;
                }
            }
        }
        for promised in promised.values() {
            // What its agent sends next follows on this.
            let through = self.scribe.complete_through(promised.origin);
            self.windows.acknowledge(promised.origin, (through, Instant::now()));
        }
        Ok(())
    }

    /// What has no answer is asked for once more, unless the keeper has done it.
    fn ask_again(&mut self, outstanding: Vec<Output>, deeds: &Deeds, run: &mut Conducted) {
        let mut deeds = deeds.clone();
        for output in outstanding {
            match self.is_done(&output, &mut deeds) {
                Done::Not => run.again(output),
                Done::Started(service) => {
                    let processes = self.processes.get(&service).cloned().unwrap_or_default();
                    self.observe(service, processes);
                }
                Done::Changed(key) => run.handle(Input::ProcessesChanged { key, result: Ok(()) }, Instant::now()),
            }
        }
    }

    /// Whether the keeper has done what the orchestrator before did not live to hear of.
    fn is_done(&self, output: &Output, deeds: &mut Deeds) -> Done {
        let Some(welcome) = self.environment.as_ref().map(LocalEnvironment::welcome) else { return Done::Not };
        let more = |there: &BTreeMap<Name, u64>, known: &mut BTreeMap<Name, u64>, name: &Name| {
            let known = known.entry(name.clone()).or_default();
            let is_more = there.get(name).copied().unwrap_or_default() > *known;
            *known += u64::from(is_more);
            is_more
        };
        match output {
            Output::Launch(launch) if more(&welcome.starts, &mut deeds.starts, &launch.service) => {
                Done::Started(launch.service.clone())
            }
            Output::Change { key, service, what: ProcessOrder::Restart(_) }
                if more(&welcome.starts, &mut deeds.starts, service) =>
            {
                Done::Changed(key.clone())
            }
            Output::Change { key, service, what: ProcessOrder::KillAgent }
                if more(&welcome.kills, &mut deeds.kills, service) =>
            {
                Done::Changed(key.clone())
            }
            _ => Done::Not,
        }
    }

    /// Those that are not there are lost; those that are another instance by now take over, or have done so already.
    fn go_on_with_agents(&mut self, promised: &BTreeMap<Name, Promised>, run: &mut Conducted) -> anyhow::Result<()> {
        let names: Vec<Name> = self.plan.agents().cloned().collect();
        for name in names {
            let (Some(promised), Some(instance)) = (promised.get(&name), self.crew.holder(&name)) else {
                self.lost(name, "it did not promise the run to the orchestrator that took it over", run);
                continue;
            };
            if let Some(damage) = promised.holding.as_ref().and_then(|holding| holding.damage.as_ref()) {
                self.lost(name, &format!("{damage}; what it saw is not all known"), run);
                continue;
            }
            let present = Present { origin: promised.origin, instance, holds: promised.holding.is_some() };
            let hands = run.hands(&name, present);
            if hands != Hands::Vacant && promised.origin != instance {
                self.tell_who_holds(&name, instance);
            }
            match hands {
                Hands::Known => {}
                Hands::Vacant => self.orphaned(&name, instance, run)?,
                Hands::Awaited | Hands::Unheard => self.found_back((&name, instance), hands, run)?,
            }
        }
        Ok(())
    }

    /// Services that ended while nobody listened.
    fn go_on_with_services(&mut self, deeds: &Deeds, run: &mut Conducted) {
        let exits =
            self.environment.as_ref().map(|environment| environment.welcome().exits.clone()).unwrap_or_default();
        let mut known = deeds.exits.clone();
        for exited in exits {
            let What::Service { name, process } = exited.what else { continue };
            if exited.cause != Cause::Itself {
                continue;
            }
            let known = known.entry(name.clone()).or_default();
            if *known > 0 {
                *known -= 1;
                continue;
            }
            self.service_left((name, process), exited.exit, run);
        }
    }
}

/// What became of something that was asked for.
enum Done {
    Not,
    Started(Name),
    Changed(meshproof_proto::order::StepKey),
}
