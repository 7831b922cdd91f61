//! The peers of a mesh.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Role, UnixSeconds};
use meshproof_proto::labels::Labels;
use serde::Serialize;
use serde_json::{Value, json};

use super::links;
use super::look::Look;
use crate::report::table::{short, span, table};

/// Characters of a name in the table; `--json` has all of it.
const NAME_CHARS: usize = 20;

/// One peer; a name without an instance is one that should be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    pub name: Name,
    pub role: Role,
    pub instance: Option<PeerId>,
    /// How long this instance lives, if it says so.
    pub up_ms: Option<u64>,
    /// Peers that it has a working link to, consoles like this one left out.
    pub links: usize,
    pub expires: Option<UnixSeconds>,
    pub capabilities: BTreeSet<Capability>,
    pub labels: Labels,
    pub version: Option<String>,
    pub protocol: Option<String>,
    /// That it does not answer or is gone, and why.
    pub silent: Option<String>,
}

/// Everybody but this console, by role and name.
#[must_use]
pub fn peers(look: &Look) -> Vec<Peer> {
    let up: Vec<links::Row> = links::rows(look).into_iter().filter(|row| row.state == "up").collect();
    let silent =
        |name: &Name| look.silent.iter().find(|silent| silent.name == *name).map(|silent| unanswered(&silent.why));
    let mut peers: Vec<Peer> = Vec::new();
    for identity in &look.roster {
        let about = look.answers.get(&identity.peer).map(|answered| &answered.about);
        peers.push(Peer {
            name: identity.name.clone(),
            role: identity.role,
            instance: Some(identity.peer),
            up_ms: about.map(|about| about.up_ms),
            links: up.iter().filter(|row| [row.left.instance, row.right.instance].contains(&identity.peer)).count(),
            expires: Some(identity.issued.not_after),
            capabilities: identity.capabilities.clone(),
            labels: about.map(|about| about.labels.clone()).unwrap_or_default(),
            version: about.map(|about| about.version.clone()),
            protocol: about.map(|about| about.protocol.to_string()),
            silent: silent(&identity.name).filter(|_| about.is_none()),
        });
    }
    for silent in &look.silent {
        if peers.iter().any(|peer| peer.name == silent.name) {
            continue;
        }
        peers.push(unheard(silent.name.clone(), unanswered(&silent.why)));
    }
    peers.extend(lost(look, &peers));
    peers.sort_by(|left, right| (left.role, &left.name, left.instance).cmp(&(right.role, &right.name, right.instance)));
    peers
}

/// Agents that others were linked to and that are gone, their names too.
fn lost(look: &Look, known: &[Peer]) -> Vec<Peer> {
    let mut lost: Vec<Peer> = Vec::new();
    for row in links::rows(look).into_iter().filter(|row| row.state == "lost") {
        for end in [row.left, row.right] {
            let is_known =
                look.answers.contains_key(&end.instance) || known.iter().chain(&lost).any(|peer| peer.name == end.name);
            if end.role == Role::Agent && !is_known {
                let why = format!("lost {} ago: {}", span(row.changed_ago_ms), row.changed_why);
                lost.push(Peer { instance: Some(end.instance), ..unheard(end.name, why) });
            }
        }
    }
    lost
}

/// An agent that should be there and says nothing.
fn unheard(name: Name, why: String) -> Peer {
    Peer {
        name,
        role: Role::Agent,
        instance: None,
        up_ms: None,
        links: 0,
        expires: None,
        capabilities: BTreeSet::new(),
        labels: Labels::default(),
        version: None,
        protocol: None,
        silent: Some(why),
    }
}

/// The table.
#[must_use]
pub fn text(look: &Look) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let dash = || "-".to_owned();
    let peers = peers(look);
    let are_labelled = peers.iter().any(|peer| !peer.labels.is_empty());
    let rows = peers.into_iter().map(|peer| {
        [
            short(peer.name.as_str(), NAME_CHARS),
            peer.role.to_string(),
            peer.instance.map_or_else(dash, |instance| instance.short()),
            peer.up_ms.map_or_else(dash, |up_ms| format!("{} ago", span(up_ms))),
            if peer.links == 0 { "no".to_owned() } else { format!("to {}", peer.links) },
            peer.expires.map_or_else(dash, |expires| expiry(expires, now)),
            peer.silent.unwrap_or_else(|| capabilities(&peer.capabilities)),
            peer.labels.to_string(),
        ]
    });
    let heading = ["NAME", "ROLE", "INSTANCE", "SINCE", "LINKED", "GRANT ENDS", "MAY", "LABELS"];
    if are_labelled {
        return table(heading, &rows.collect::<Vec<_>>());
    }
    // most meshes have none
    let [heading @ .., _] = heading;
    table(heading, &rows.map(|[row @ .., _]: [String; 8]| row).collect::<Vec<[String; 7]>>())
}

/// One document.
#[must_use]
pub fn json(look: &Look) -> Value {
    json!({ "run": look.run, "mesh": look.mesh, "peers": peers(look) })
}

fn unanswered(why: &str) -> String {
    format!("does not answer: {why}")
}

fn expiry(at: UnixSeconds, now: u64) -> String {
    match at.0.checked_sub(now) {
        Some(left) => format!("in {}", span(left.saturating_mul(1_000))),
        None => "has ended".to_owned(),
    }
}

fn capabilities(granted: &BTreeSet<Capability>) -> String {
    if Capability::ALL.iter().all(|capability| granted.contains(capability)) {
        return "everything".to_owned();
    }
    if granted.is_empty() {
        return "nothing".to_owned();
    }
    let words: Vec<String> = granted.iter().map(|capability| format!("{capability:?}").to_lowercase()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::{link, look};
    use super::*;

    #[test]
    fn agents_that_are_gone_are_listed_once_with_the_reason() {
        let gone = || vec![link(8, "stock", "lost"), link(3, "orchestrator", "up")];
        let peers = peers(&look(gone(), gone()));
        let said: Vec<_> = peers.iter().map(|peer| (peer.name.as_str(), peer.silent.as_deref())).collect();
        let why = "lost 12 s ago: connection 1 opened, or came back";
        assert_eq!(said, [("audit", Some("does not answer: no answer within 2s")), ("stock", Some(why))]);
    }

    #[test]
    fn grants_are_told_in_words() {
        assert_eq!(expiry(UnixSeconds(1_000), 400), "in 10 min");
        assert_eq!(expiry(UnixSeconds(1_000), 1_001), "has ended");
        assert_eq!(capabilities(&Capability::ALL.into()), "everything");
        assert_eq!(capabilities(&BTreeSet::from([Capability::Http, Capability::Exec])), "exec http");
        assert_eq!(capabilities(&BTreeSet::new()), "nothing");
    }
}
