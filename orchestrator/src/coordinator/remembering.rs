//! Has agents remember what the run has come to, so that another orchestrator can go on with it.

use std::time::Instant;

use meshproof_proto::id::Name;
use meshproof_proto::memory::Remember;
use meshproof_proto::order::{Initialized, millis};

use super::confided;
use super::crew::{CallError, Caller};
use super::driver::Driver;
use crate::memory::{Began, Conducted, Log, Ready};
use crate::record::now_ms;
use crate::run::Setting;

/// How many pieces an agent has now, or why that is not known.
pub(super) type Stored = (Name, Result<u64, CallError>);

impl Driver {
    /// The environment is ready.
    pub(super) fn begin(&mut self, setting: Setting, run: &mut Conducted) {
        let now = Instant::now();
        let early = self.scribe.take_early();
        let remembered = self.options.given.clone().map(|given| {
            let log = Log::new(self.authority.term, self.crew.roster().into_keys());
            let began = Began {
                at_unix_ms: now_ms().saturating_sub(millis(now.saturating_duration_since(run.began()))),
                file: self.source.path().to_owned(),
                text: self.source.text().to_owned(),
                plan_dir: self.options.plan_dir.clone(),
                given,
                seed: self.options.seed,
                flaky: self.options.flaky,
                first_failure: self.options.first_failure,
                deadline_ms: self.options.deadline.map(millis),
                arguments: self.options.arguments.clone(),
            };
            (log, began, self.ready(&setting))
        });
        run.begin((setting, now), (remembered, early));
    }

    fn ready(&self, setting: &Setting) -> Ready {
        let initialized = |(name, (_, initialized)): (&Name, &(_, Initialized))| (name.clone(), initialized.clone());
        let held = setting.held.iter().filter(|(name, _)| !confided::is_key(name));
        Ready {
            ports: self.ports.clone(),
            initialized: self.settings.iter().map(initialized).collect(),
            held: held.map(|(name, text)| (name.clone(), text.clone())).collect(),
            files: setting.files.clone(),
        }
    }

    /// Sends every agent what it is to store now; gives when there may be more.
    pub(super) fn remember(&mut self, run: &mut Conducted) -> Option<Instant> {
        let log = run.log_mut()?;
        let now = Instant::now();
        for name in log.names() {
            let Some((from, pieces)) = log.next_for(&name, now) else { continue };
            let Some(caller) = self.crew.caller(&name) else {
                log.failed(&name, now);
                continue;
            };
            let order = Remember { authority: self.authority.clone(), from, pieces };
            self.storing.spawn(async move {
                let stored = remember(&caller, &order).await;
                (name, stored)
            });
        }
        log.poll_timeout()
    }
}

/// An agent has answered, or not.
pub(super) fn stored_by((name, stored): Stored, run: &mut Conducted) {
    let Some(log) = run.log_mut() else { return };
    match stored {
        Ok(through) => log.stored(&name, through),
        Err(error) => {
            tracing::warn!(agent = %name, %error, "what is to be remembered was not stored");
            log.failed(&name, Instant::now());
        }
    }
}

async fn remember(caller: &Caller, order: &Remember) -> Result<u64, CallError> {
    caller
        .call(|client, context| {
            let order = Box::new(order.clone());
            async move { client.remember(context, order).await }
        })
        .await
}
