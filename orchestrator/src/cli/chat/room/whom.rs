//! Which agents a line is for.

use meshproof_proto::labels::Selector;
use meshproof_proto::verdict::Exit;

use super::Room;
use super::doing::Refused;
use super::joined::Labelled;
use crate::cli::chat::ask::Agent;
use crate::console::meant::{holders, labelled};
use crate::plan::nearest;

impl Room {
    /// The agents that are meant, or who may have been.
    pub(super) async fn meant(&mut self, wanted: &str) -> Result<Vec<Agent>, Refused> {
        if let Some(selector) = Selector::parse(wanted) {
            let selector = selector.map_err(|error| (error.to_string(), Exit::Usage))?;
            return self.labelled(wanted, &selector).await;
        }
        let console = self.joined.console().await?;
        console.settle().await;
        let meant = console.agents_named(wanted);
        if !meant.is_empty() {
            return Ok(meant.into_iter().map(|(name, client)| Agent { name, client }).collect());
        }
        if let Some(why) = console.why_missing(wanted) {
            return Err((format!("agent {wanted} does not answer: {why}"), Exit::MeshFailed));
        }
        let names = console.names();
        let near = nearest(wanted, names.iter().map(String::as_str).chain(["all"]));
        let near = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean `@{near}`?"));
        let there =
            if names.is_empty() { "There is none".to_owned() } else { format!("There are: {}", names.join(", ")) };
        Err((format!("no agent is named `{wanted}` here{near} {there}"), Exit::Usage))
    }

    /// Agents are asked for their labels: whoever does not answer may be meant, and is named.
    async fn labelled(&mut self, wanted: &str, selector: &Selector) -> Result<Vec<Agent>, Refused> {
        let Labelled { known, silent } = self.joined.labels().await?;
        let there = match holders(known.iter().map(|(name, labels, _)| (name, labels))) {
            none if none.is_empty() => "no agent has any; `MESHPROOF_LABELS=zone=eu` gives one to an agent".to_owned(),
            held => format!("there are: {held}"),
        };
        let chosen = labelled(selector, known);
        if !silent.is_empty() {
            self.voice.note(&format!("labels that nobody knows: {}", silent.join("; ")));
        }
        match chosen.is_empty() {
            true if !silent.is_empty() => {
                Err((format!("no agent that answers is labelled `{wanted}`"), Exit::MeshFailed))
            }
            true => Err((format!("no agent is labelled `{wanted}` here; {there}"), Exit::Usage)),
            false => Ok(chosen.into_iter().map(|(name, client)| Agent { name, client }).collect()),
        }
    }

    pub(super) async fn one(&mut self, name: &str) -> Result<Agent, Refused> {
        let meant = self.meant(name).await?;
        meant.into_iter().next().ok_or_else(|| (format!("agent {name} is gone"), Exit::MeshFailed))
    }
}
