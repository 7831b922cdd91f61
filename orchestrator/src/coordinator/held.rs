//! The texts that steps only name: what the run's authority signs, and files beside the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use meshproof_proto::id::RunId;
use meshproof_proto::order::Held;

use super::authority;
use super::outcome::Broken;
use crate::beside;
use crate::plan::compiled::FileContent;
use crate::plan::limits::MAX_BESIDE_BYTES;
use crate::plan::orders::RecordsFiles;
use crate::plan::{Plan, Span, Spanned};

/// Stubs that stand for other hosts, and what their authorities are called.
fn proxies(plan: &Plan) -> Vec<(&str, &str)> {
    let orders = plan.stubs.iter().map(|stub| &stub.order);
    orders.filter_map(|order| Some((order.name.as_str(), order.upstreams.as_ref()?.subject.as_str()))).collect()
}

/// Everything that the plan's steps and services name, before anything starts. Files were looked at when the plan was checked; the
/// plan's build may have made some since then, and taken others away.
pub(super) fn texts(
    plan: &Plan,
    (run, too_long): (&RunId, &RecordsFiles),
    plan_dir: &Path,
) -> Result<BTreeMap<String, String>, Broken> {
    let mut texts = match &plan.authority {
        Some(names) => authority::texts(run, names, &proxies(plan))
            .map_err(|error| Broken::because(format!("no certificates could be made: {error}")))?,
        None => BTreeMap::new(),
    };
    let mut missing = Missing::default();
    for file in &plan.held_files {
        let name = Held::file(&file.value).name;
        if texts.contains_key(&name) || too_long.contains_key(&name) {
            continue;
        }
        match text(&plan_dir.join(&file.value)) {
            Ok(text) => drop(texts.insert(name, text)),
            Err(why) => missing.add(file, &why),
        }
    }
    for file in plan.services.iter().flat_map(|service| &service.files) {
        // It is copied when its service starts.
        if let FileContent::From(from) = &file.content
            && let Err(error) = beside::read(&plan_dir.join(&from.value))
        {
            missing.add(from, &error);
        }
    }
    missing.none().map(|()| texts)
}

fn text(path: &Path) -> io::Result<String> {
    let bytes = beside::read(path)?;
    if bytes.len() > MAX_BESIDE_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BESIDE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Files that cannot be had: all of them are told.
#[derive(Default)]
struct Missing {
    at: Option<Span>,
    why: BTreeSet<String>,
}

impl Missing {
    fn add(&mut self, file: &Spanned<String>, why: &io::Error) {
        self.at.get_or_insert(file.span);
        self.why.insert(format!("{}: {why}", file.value));
    }

    fn none(self) -> Result<(), Broken> {
        let Some(at) = self.at else { return Ok(()) };
        let why = self.why.into_iter().collect::<Vec<_>>().join("; ");
        Err(Broken { at: Some(at), ..Broken::because(format!("cannot read what the plan names beside it: {why}")) })
    }
}
