//! The texts that steps only name: what the run's authority signs, and files beside the plan.

use std::collections::BTreeMap;
use std::path::Path;

use meshproof_proto::id::RunId;
use meshproof_proto::order::Held;

use super::authority;
use super::outcome::Broken;
use crate::plan::Plan;
use crate::plan::compiled::FileContent;

/// A text that goes into orders, which are at most a megabyte; descriptions and certificates are far below.
const LONGEST: u64 = 768 * 1024;

/// Stubs that stand for other hosts, and what their authorities are called.
fn proxies(plan: &Plan) -> Vec<(&str, &str)> {
    let orders = plan.stubs.iter().map(|stub| &stub.order);
    orders.filter_map(|order| Some((order.name.as_str(), order.upstreams.as_ref()?.subject.as_str()))).collect()
}

/// Everything that the plan's steps and services name, before anything starts.
pub(super) fn texts(plan: &Plan, run: &RunId, plan_dir: &Path) -> Result<BTreeMap<String, String>, Broken> {
    let mut texts = match &plan.authority {
        Some(names) => authority::texts(run, names, &proxies(plan))
            .map_err(|error| Broken::because(format!("no certificates could be made: {error}")))?,
        None => BTreeMap::new(),
    };
    for file in &plan.held_files {
        let path = plan_dir.join(&file.value);
        let problem = |why: String| Broken {
            at: Some(file.span),
            ..Broken::because(format!("cannot read {}: {why}", path.display()))
        };
        let length = std::fs::metadata(&path).map_err(|error| problem(error.to_string()))?.len();
        if length > LONGEST {
            return Err(problem(format!("it has {length} bytes, and at most {LONGEST} are taken")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
        texts.insert(Held::file(&file.value).name, text);
    }
    Ok(texts)
}

/// What services are given from beside the plan is copied when they start; that it is missing is known before anything does.
pub(super) fn files_are_there(plan: &Plan, plan_dir: &Path) -> Result<(), Broken> {
    for file in plan.services.iter().flat_map(|service| &service.files) {
        let FileContent::From(from) = &file.content else { continue };
        let path = plan_dir.join(&from.value);
        let why = match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(about) if about.is_file() => continue,
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        let problem = format!("cannot read {}: {why}", path.display());
        return Err(Broken { at: Some(from.span), ..Broken::because(problem) });
    }
    Ok(())
}
