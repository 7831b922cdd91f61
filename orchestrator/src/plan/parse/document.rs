//! The top level of a plan.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{Command, Document};
use super::super::read::{self, Fields, Reading};
use super::super::source::{Span, Spanned};
use super::super::tree::{Kind, Node};
use super::{
    argv, commits, conduct, environment, faults, groups, network, no_shell, params, ports, secrets, services, stubs,
    suites, topology,
};

/// Reads a plan. `None` only when it is no plan at all; mistakes are in the sink either way.
pub fn document<'n>(root: &'n Node, cx: &'n Reading<'n>) -> Option<Document> {
    let mut fields = Fields::open(root, "a plan", cx)?;
    fields.required("meshproof", language);
    let name = fields.required("plan", read::name);
    let description = fields.optional("description", read::text);
    let params = fields.optional("params", params::params).unwrap_or_default();
    let secrets = fields.optional("secrets", secrets::secrets);
    let is_built = fields.has("build");
    let build = fields.optional("build", commands).unwrap_or_default();
    let services = fields.optional("services", services::services).unwrap_or_default();
    let groups = fields.optional("groups", groups::groups).unwrap_or_default();
    let members = fields.optional("members", groups::members);
    let stubs = fields.optional("stubs", stubs::stubs).unwrap_or_default();
    let network = fields.optional("network", network::network);
    let topology = fields.optional("topology", topology::topology);
    let faults = fields.optional("faults", faults::faults).unwrap_or_default();
    let matrix = fields.optional("matrix", conduct::matrix).unwrap_or_default();
    // A plan of commits has a check instead of tests.
    let tests = if fields.has("commits") {
        fields.optional("tests", suites::tests)
    } else {
        fields.required("tests", suites::tests)
    };
    let tests = tests.unwrap_or_default();
    let commits = commits::commits(&mut fields);
    match &network {
        None => ports::distinct(&services, &stubs, cx),
        // where each lives it is alone
        Some(_) => services.iter().for_each(|service| ports::distinct(std::slice::from_ref(service), &[], cx)),
    }
    let nameless = || Spanned::new(String::new(), fields.span());
    let name = name.unwrap_or_else(nameless);
    fields.finish();
    Some(Document {
        name,
        description,
        params,
        secrets,
        build,
        is_built,
        services,
        groups,
        members,
        stubs,
        network,
        topology,
        faults,
        matrix,
        tests,
        commits,
    })
}

fn language(node: &Node, cx: &Reading<'_>) -> Option<()> {
    let found = match &node.kind {
        Kind::Number(text) if text == "1" => return Some(()),
        Kind::Number(text) => quote(text),
        Kind::Text(text) => quote(&text.value),
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => node.what().to_owned(),
    };
    let mut problem =
        Diagnostic::new(Code::LanguageVersion, node.span, format!("{found} is not a version of the plan language"))
            .expected("1, the only one so far");
    if node.as_text() == Some("1") {
        problem.help = Some("a version is a number; leave the quotes out".to_owned());
    }
    cx.report(problem);
    None
}

/// One command or a list of them.
fn commands<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Command>> {
    match &node.kind {
        Kind::List(items) => Some(items.iter().filter_map(|item| command(item, cx)).collect()),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => Some(vec![command(node, cx)?]),
    }
}

fn command<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Command> {
    let mut fields = Fields::open(node, "a build command", cx)?;
    // A line for a shell is told as what it is, and no program is missing beside it.
    let argv = if fields.has("shell") { fields.optional("argv", argv) } else { fields.required("argv", argv) };
    let cwd = fields.optional("cwd", read::template);
    let env = fields.optional("env", environment).unwrap_or_default();
    no_shell(&mut fields);
    let span: Span = fields.whole();
    fields.finish();
    Some(Command { span, argv: argv?, cwd, env })
}
