//! From the model to a plan that can be run: names are resolved, parameters filled in, quantities settled, and every step
//! gets the agent that acts. Like the reading before, it reports every mistake and goes on.

mod beside;
mod calls;
mod commits;
mod conduct;
mod draws;
mod fault_paths;
mod faults;
mod flow;
mod groups;
mod load;
mod lookups;
pub(super) mod metrics;
mod names;
mod network;
mod secrets;
mod services;
mod settle;
mod shared;
mod spread;
mod steps;
mod stubs;
mod tls;
mod topology;
mod upstreams;
mod verbs;
mod watched;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use meshproof_proto::id::{Digest, Name};
use meshproof_proto::shaper::Shape;

use super::compiled::{self, Plan, Service, Step, Test, Tunnel};
use super::limits::DEFAULT_TEST_TIMEOUT;
use super::model::{self, Document, Word};
use super::read::Reading;
use super::secrets::SecretInputs;
use super::source::Span;
use beside::Beside;
use flow::Course;
use lookups::Scope;
use names::Names;
use settle::Settled;

pub use beside::ReadFile;

/// What a plan is given from outside of its file.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The absolute path of the plan's folder, `plan.dir` in expressions.
    pub dir: String,
    /// `--param name=value`.
    pub params: BTreeMap<String, String>,
    pub secrets: SecretInputs,
    /// How files beside the plan are read; none: nobody looks at them.
    pub read_file: Option<ReadFile>,
}

/// Everything that compiling one plan needs at hand.
struct Compiler<'d> {
    cx: &'d Reading<'d>,
    names: Names<'d>,
    settled: Settled<'d>,
    tunnels: BTreeSet<Tunnel>,
    /// Addresses of others that bypass the mesh.
    direct: BTreeSet<Span>,
    /// Whether the services live on a data network, and the regions that it names.
    networked: Option<Span>,
    regions: &'d [(Word, model::Region)],
    /// Every fault as it was compiled, to be held against the tunnels when all are known.
    shapes: RefCell<Vec<(model::Fault, Shape)>>,
    /// What must hold before a service counts as ready, for those that can be restarted.
    ready: BTreeMap<Name, Option<Step>>,
    /// Steps so far, each round of a `repeat` counted.
    steps: usize,
    /// Identities of the run's authority; none: the plan needs no authority.
    authority: Option<BTreeSet<String>>,
    /// Whose files stand in the folder of which service.
    identities_at: BTreeMap<Name, BTreeSet<String>>,
    /// Files beside the plan whose texts steps need.
    held_files: Vec<Word>,
    beside: Beside,
    /// Those that are mentioned, and where first.
    secrets: BTreeMap<String, Span>,
}

/// Compiles a plan. `None` after a report; but a plan may come back beside reports too, and is then not to be run.
pub fn compile(document: &Document, inputs: &Inputs, cx: &Reading<'_>) -> Option<Plan> {
    let settled = settle::params(document, inputs, cx);
    let document = &groups::with_members(document, &settled, cx);
    let names = Names::of(document, cx);
    let mut compiler = Compiler {
        cx,
        names,
        settled,
        tunnels: BTreeSet::new(),
        direct: BTreeSet::new(),
        networked: document.network.as_ref().map(|network| network.span),
        regions: document.network.as_ref().map_or(&[], |network| &network.regions),
        shapes: RefCell::default(),
        ready: BTreeMap::new(),
        steps: 0,
        authority: None,
        identities_at: BTreeMap::new(),
        held_files: Vec::new(),
        beside: Beside::default(),
        secrets: BTreeMap::new(),
    };
    let build = document.build.iter().filter_map(|command| compiler.settled.command(command)).collect();
    let network = compiler.network(document);
    let links = compiler.links(document);
    let mut services: Vec<Service> = document.services.iter().filter_map(|service| compiler.service(service)).collect();
    compiler.ready = services.iter().map(|service| (service.name.clone(), service.ready.clone())).collect();
    let stubs = document.stubs.iter().filter_map(|stub| compiler.stub(stub)).collect();
    let combinations = flow::combinations(document);
    compiler.settled.set_locals(&combinations[0]);
    for (name, fault) in &document.faults {
        // Compiled once for its mistakes: nobody may use it.
        let _unused = fault.as_ref().and_then(|fault| compiler.fault(&name.value, fault));
    }
    let tests = compiler.tests(document, combinations);
    compiler.traffic_has_paths(document);
    let commits = document.commits.as_ref().and_then(|commits| compiler.commits(commits)).map(Box::new);
    for service in &mut services {
        service.identities = compiler.identities_at.remove(&service.name).unwrap_or_default();
    }
    let secrets = compiler.settled_secrets(document, inputs);
    let left_to_build = compiler.look_beside(document, inputs);
    let params = compiler.settled.params();
    let mut digested = cx.source.text().as_bytes().to_vec();
    digested.extend(params.to_string().bytes());
    let mut plan = Plan {
        name: name(&document.name.value)?,
        description: document.description.as_ref().map(|description| description.value.clone()),
        digest: Digest::of(&digested),
        params,
        secret_names: compiler.secrets.into_keys().collect(),
        secrets,
        secret_variables: secrets::variables(document),
        build,
        services,
        stubs,
        tunnels: compiler.tunnels,
        direct: compiler.direct,
        network,
        links,
        tests,
        commits,
        authority: compiler.authority,
        held_files: compiler.held_files,
        left_to_build,
    };
    shared::settle(&mut plan, cx);
    Some(plan)
}

impl Compiler<'_> {
    fn test(&mut self, test: &super::model::Test, course: &Course<'_>) -> Test {
        let timeout = test.timeout.as_ref().and_then(|timeout| self.settled.duration(timeout));
        let mut scope = Scope { saved: Some(Rc::default()), matrix: course.axes(), ..Scope::default() };
        if !test.complete {
            // A step that could not be read may have saved anything.
            scope.saved = None;
        }
        let steady = self.sequence(&test.steady, &course.at("steady."), &mut scope);
        let steps = self.sequence(&test.steps, course, &mut scope);
        let after = self.sequence(&test.after, &course.at("after."), &mut scope);
        Test {
            id: course.test.to_owned(),
            of: course.test.to_owned(),
            span: test.id.span,
            timeout: timeout.unwrap_or(DEFAULT_TEST_TIMEOUT),
            may_end: conduct::expected_ends(&steps),
            passes: self.passes(test),
            steps,
            after,
            always: self.always(test),
            steady_after: watched::once_more(&steady),
            steady,
            settle: test.settle.as_ref().and_then(|settle| self.settle(settle)),
        }
    }
}

/// A name that the grammar has checked; empty where it has reported one.
fn name(text: &str) -> Option<Name> {
    text.parse().ok()
}
