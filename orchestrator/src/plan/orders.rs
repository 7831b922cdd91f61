//! Steps to orders for agents: the values that only the run knows are put in, and what is missing is named. What stays an
//! expression is what only the agent knows.

mod stubs;

use std::collections::BTreeMap;

use meshproof_proto::blob::RecordsFile;
use meshproof_proto::event::CheckFailure;
use meshproof_proto::expr::{Expr, Segment, Template, ValueTemplate};
use meshproof_proto::id::Digest;
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{
    self, Action, Authority, Body, DataSource, ExecAction, GrpcAction, HttpAction, LoadAction, ReceiveOrder,
    RecordStreamId, Share, StepKey, StepOrder, StreamAction, StubOrder, Target, TcpAction, WsAction, millis,
};
use meshproof_proto::trace::Traceparent;
use serde_json::Value;

use super::compiled::{Ask, Endpoint, Step, Stub, Tunnel};
use super::model::{Check, OF_EACH};

/// `host:port` of every port, as each agent reaches it: its own service's port, or its tunnel's listener.
pub type Addresses = BTreeMap<Tunnel, String>;

/// Files whose records are sent and that are too long for an order, by the names under which they are held.
pub type RecordsFiles = BTreeMap<String, RecordsFile>;

/// The circumstances of one order.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'r> {
    pub authority: &'r Authority,
    /// The test's id; empty for readiness.
    pub test: &'r str,
    /// 1 for the first execution.
    pub attempt: u32,
    /// For a stream, and for the parts of a load: its number in the run.
    pub stream: RecordStreamId,
    /// What expressions see, from the acting agent's side.
    pub scope: &'r Value,
    pub addresses: &'r Addresses,
    /// The texts behind what steps only name: [`order::Held`].
    pub held: &'r BTreeMap<String, String>,
    /// Those that are too long.
    pub files: &'r RecordsFiles,
}

/// Nothing is known under a name that the order needs; the step is skipped then, aloud.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not known")]
pub struct Missing(pub String);

impl Step {
    fn key(&self, occasion: &Occasion<'_>) -> StepKey {
        StepKey { test: occasion.test.to_owned(), step: self.key.clone(), attempt: occasion.attempt }
    }

    /// Whether `when` lets the step run: a value that is not there, false, 0 or empty says no.
    #[must_use]
    pub fn is_wanted(&self, scope: &Value) -> bool {
        let Some(when) = &self.when else { return true };
        match when.value.value(scope) {
            Ok(Value::Null) | Err(_) => false,
            Ok(Value::Bool(value)) => value,
            Ok(Value::Number(number)) => number.as_f64() != Some(0.0),
            Ok(Value::String(text)) => !matches!(text.as_str(), "" | "false" | "0"),
            Ok(Value::Array(items)) => !items.is_empty(),
            Ok(Value::Object(entries)) => !entries.is_empty(),
        }
    }
}

impl Ask {
    /// The order for the agent that acts. `Err` names what is not known: the step is skipped then.
    pub fn order(&self, step: &Step, occasion: &Occasion<'_>) -> Result<StepOrder, Missing> {
        let address = address(&self.at, self.target.as_ref(), occasion)?;
        let mut action = resolved(&self.action, &address, occasion.scope);
        if let Action::Stream(stream) = &mut action {
            stream.stream = occasion.stream;
            stream.key = self.key_of_records(step, occasion);
        }
        if let Action::Load(load) = &mut action {
            self.put_in_share(load, 0, occasion)?;
            let names = self.parts.iter().map(|part| part.at.clone());
            load.helpers = names.zip((occasion.stream.0..).map(RecordStreamId)).collect();
        }
        put_in(&mut action, occasion)?;
        complete(&action)?;
        Ok(StepOrder {
            authority: occasion.authority.clone(),
            key: step.key(occasion),
            action,
            checks: ordered_checks(&self.checks, occasion.scope)?,
            saves: self.saves.iter().map(|save| save.value.clone()).collect(),
            within_ms: millis(step.within),
            eventually_ms: step.eventually.as_ref().map(|eventually| millis(eventually.value)),
            after: None,
        })
    }

    /// The order for another agent's part of it, to be given before that of the agent that acts.
    pub fn part(&self, nth: usize, step: &Step, occasion: &Occasion<'_>) -> Result<ReceiveOrder, Missing> {
        let part = &self.parts[nth];
        let address = address(&part.at, part.target.as_ref(), occasion)?;
        let mut action = resolved(&part.action, &address, occasion.scope);
        if let Action::Load(load) = &mut action {
            self.put_in_share(load, nth + 1, occasion)?;
        }
        put_in(&mut action, occasion)?;
        complete(&action)?;
        let (authority, key) = (occasion.authority.clone(), self.key_of_records(step, occasion));
        // who has the part knows the stream, and not whose it is
        traced(&mut action, Traceparent::of(&authority.run, &step.key(occasion)));
        Ok(ReceiveOrder { authority, stream: occasion.stream, from: self.at.clone(), apply: action, key })
    }

    /// Whether it is a stream that goes on after a replacement: whoever applies its records can tell one that comes once more, or
    /// the step says that this does no harm.
    #[must_use]
    pub fn goes_on(&self, step: &Step) -> bool {
        let is_keyed = || self.parts.iter().flat_map(|part| looks(&part.action)).any(|look| is_key_of_record(&look));
        matches!(self.action, Action::Stream(_)) && (step.idempotent || is_keyed())
    }

    /// The same however often the step is ordered.
    fn key_of_records(&self, step: &Step, occasion: &Occasion<'_>) -> Option<String> {
        let of = || format!("{} {}", occasion.authority.run, step.key(occasion));
        self.goes_on(step).then(|| Digest::of(of().as_bytes()).to_string()[..16].to_owned())
    }

    /// Which share of a load this is, and what each answer must be.
    fn put_in_share(&self, load: &mut LoadAction, number: usize, occasion: &Occasion<'_>) -> Result<(), Missing> {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        load.share = Share { number: small(number), of: small(self.parts.len() + 1) };
        let of_each = |check: &&Check| check.field.starts_with(OF_EACH);
        load.each = ordered_checks(self.checks.iter().filter(of_each), occasion.scope)?;
        for check in &mut load.each {
            check.field = check.field[OF_EACH.len()..].to_owned();
        }
        Ok(())
    }
}

/// Whoever is called hears which span it is called for, unless the plan says another.
fn traced(action: &mut Action, parent: Traceparent) {
    if let Action::Load(load) = action {
        return traced(&mut load.call, parent);
    }
    let (entries, name) = match action {
        Action::Http(http) => (&mut http.headers, "traceparent"),
        Action::Grpc(grpc) => (&mut grpc.metadata, "traceparent"),
        Action::Ws(ws) => (&mut ws.headers, "traceparent"),
        Action::Exec(exec) => (&mut exec.env, "TRACEPARENT"),
        _ => return,
    };
    if !entries.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
        entries.push((name.to_owned(), Template::text(parent.to_string())));
    }
}

impl Stub {
    /// The order for the agent that plays it, with what the run knows, and the texts that the plan only names.
    #[must_use]
    pub fn resolved(&self, scope: &Value, held: &BTreeMap<String, String>) -> StubOrder {
        let mut order = self.order.clone();
        for wanted in order.held_mut() {
            wanted.text = held.get(&wanted.name).cloned().unwrap_or_default();
        }
        order.routes = self.order.routes.iter().map(|route| stubs::resolved(route, scope)).collect();
        order
    }
}

/// Checks as an agent gets them.
pub fn ordered_checks<'c>(
    checks: impl IntoIterator<Item = &'c Check>,
    scope: &Value,
) -> Result<Vec<order::Check>, Missing> {
    let check = |check: &Check| {
        let matcher = check.matcher.resolve(scope);
        first_unknown(matcher.exprs())?;
        Ok(order::Check { field: check.field.clone(), matcher })
    };
    checks.into_iter().map(check).collect()
}

/// Holds a value against checks, as `expect: { value: … }` does.
pub fn judge(value: &ValueTemplate, checks: &[Check], scope: &Value) -> Result<Vec<CheckFailure>, Missing> {
    let actual = Actual::Json(value.value(scope).map_err(|unset| Missing(unset.0))?);
    let mut failures = Vec::new();
    for (at, check) in checks.iter().enumerate() {
        let matcher = check.matcher.resolve(scope);
        first_unknown(matcher.exprs())?;
        if let Err(mismatch) = matcher.check(&actual, scope) {
            failures.push(CheckFailure { check: u32::try_from(at).unwrap_or(u32::MAX), mismatch });
        }
    }
    Ok(failures)
}

/// Holds what is known under each field against its checks. A field that is not there holds nothing.
pub fn judge_fields(
    checks: &[Check],
    scope: &Value,
    field: impl Fn(&str) -> Option<Actual>,
) -> Result<Vec<CheckFailure>, Missing> {
    let mut failures = Vec::new();
    for (at, check) in checks.iter().enumerate() {
        let matcher = check.matcher.resolve(scope);
        first_unknown(matcher.exprs())?;
        let held = match field(&check.field) {
            Some(actual) => matcher.check(&actual, scope),
            None => {
                let actual = format!("no `{}` yet", check.field);
                Err(Mismatch { at: String::new(), expected: matcher.describe(scope), actual })
            }
        };
        if let Err(mismatch) = held {
            failures.push(CheckFailure { check: u32::try_from(at).unwrap_or(u32::MAX), mismatch });
        }
    }
    Ok(failures)
}

fn address(
    at: &meshproof_proto::id::Name,
    target: Option<&Endpoint>,
    occasion: &Occasion<'_>,
) -> Result<String, Missing> {
    let Some(target) = target else { return Ok(String::new()) };
    let way = Tunnel { at: at.clone(), to: target.clone() };
    occasion.addresses.get(&way).cloned().ok_or_else(|| Missing(format!("address of {target} at {at}")))
}

fn resolved(action: &Action, address: &str, scope: &Value) -> Action {
    let target = |target: &Target| Target { address: address.to_owned(), ..target.clone() };
    let texts = |texts: &[(String, Template)]| -> Vec<(String, Template)> {
        texts.iter().map(|(name, text)| (name.clone(), text.resolve(scope))).collect()
    };
    match action {
        Action::Http(http) => Action::Http(HttpAction {
            target: target(&http.target),
            method: http.method.clone(),
            path: http.path.resolve(scope),
            headers: texts(&http.headers),
            body: resolved_body(&http.body, scope),
        }),
        Action::Tcp(tcp) => Action::Tcp(TcpAction { target: target(&tcp.target), send: tcp.send.resolve(scope) }),
        Action::Grpc(grpc) => Action::Grpc(GrpcAction {
            target: target(&grpc.target),
            metadata: texts(&grpc.metadata),
            json: grpc.json.resolve(scope),
            ..grpc.clone()
        }),
        Action::Ws(ws) => Action::Ws(WsAction {
            target: target(&ws.target),
            path: ws.path.resolve(scope),
            headers: texts(&ws.headers),
            send: ws.send.iter().map(|text| text.resolve(scope)).collect(),
        }),
        Action::Exec(exec) => Action::Exec(ExecAction {
            argv: exec.argv.iter().map(|argument| argument.resolve(scope)).collect(),
            env: texts(&exec.env),
            stdin: exec.stdin.as_ref().map(|stdin| stdin.resolve(scope)),
            cwd: exec.cwd.clone(),
            limits: exec.limits,
        }),
        Action::Stream(stream) => {
            let data = match &stream.data {
                DataSource::Generate { count, json } => {
                    DataSource::Generate { count: *count, json: json.resolve(scope) }
                }
                data @ (DataSource::Lines(_) | DataSource::Log { .. } | DataSource::File { .. }) => data.clone(),
            };
            Action::Stream(StreamAction { data, ..stream.clone() })
        }
        Action::Load(load) => Action::Load(Box::new(LoadAction {
            call: Box::new(resolved(&load.call, address, scope)),
            ..(**load).clone()
        })),
        Action::ExpectLog { .. }
        | Action::ExpectStub { .. }
        | Action::WatchLog { .. }
        | Action::WatchStub { .. }
        | Action::Settle { .. }
        | Action::ExpectLink { .. }
        | Action::CountLog { .. } => action.clone(),
        Action::ExpectMetric { metric, labels } => {
            let resolved = labels.iter().map(|(name, matcher)| (name.clone(), matcher.resolve(scope)));
            Action::ExpectMetric { metric: metric.clone(), labels: resolved.collect() }
        }
        Action::WatchMetric { metric, labels } => {
            let resolved = labels.iter().map(|(name, matcher)| (name.clone(), matcher.resolve(scope)));
            Action::WatchMetric { metric: metric.clone(), labels: resolved.collect() }
        }
        Action::ChangeStub { stub, change } => {
            Action::ChangeStub { stub: stub.clone(), change: stubs::changed(change, scope) }
        }
    }
}

/// Puts the texts in that the plan only names. What is too long the agent has from elsewhere.
fn put_in(action: &mut Action, occasion: &Occasion<'_>) -> Result<(), Missing> {
    if let Action::Stream(StreamAction { data, .. }) = action
        && let DataSource::Lines(lines) = &*data
        && let Some(file) = occasion.files.get(&lines.name)
    {
        let name = lines.path().unwrap_or(&lines.name).to_owned();
        *data = DataSource::File { name, digest: file.blob.digest, records: file.records };
    }
    for wanted in action.held_mut() {
        occasion.held.get(&wanted.name).ok_or_else(|| Missing(wanted.name.clone()))?.clone_into(&mut wanted.text);
    }
    Ok(())
}

fn resolved_body(body: &Body, scope: &Value) -> Body {
    match body {
        Body::Empty => Body::Empty,
        Body::Text(text) => Body::Text(text.resolve(scope)),
        Body::Json(json) => Body::Json(json.resolve(scope)),
    }
}

/// Whether nothing is missing but what the agent knows.
fn complete(action: &Action) -> Result<(), Missing> {
    first_unknown(&looks(action))
}

/// `record.key`
fn is_key_of_record(look: &Expr) -> bool {
    matches!(&look.path[..], [Segment::Key(record), Segment::Key(key)] if record == "record" && key == "key")
}

/// What it looks up.
fn looks(action: &Action) -> Vec<Expr> {
    match action {
        Action::Http(http) => http.exprs().cloned().collect(),
        Action::Tcp(tcp) => tcp.send.exprs().cloned().collect(),
        Action::Grpc(grpc) => {
            let metadata = grpc.metadata.iter().flat_map(|(_, value)| value.exprs());
            metadata.chain(grpc.json.exprs()).cloned().collect()
        }
        Action::Ws(ws) => {
            let texts = ws.send.iter().chain(ws.headers.iter().map(|(_, value)| value)).chain([&ws.path]);
            texts.flat_map(Template::exprs).cloned().collect()
        }
        Action::Exec(exec) => {
            let texts = exec.argv.iter().chain(exec.env.iter().map(|(_, value)| value)).chain(&exec.stdin);
            texts.flat_map(Template::exprs).cloned().collect()
        }
        Action::Stream(stream) => stream.data.template().into_iter().flat_map(ValueTemplate::exprs).cloned().collect(),
        Action::Load(load) => {
            let each = load.each.iter().flat_map(|check| check.matcher.exprs()).cloned();
            looks(&load.call).into_iter().chain(each).collect()
        }
        Action::ExpectLog { .. }
        | Action::ExpectStub { .. }
        | Action::WatchLog { .. }
        | Action::WatchStub { .. }
        | Action::Settle { .. }
        | Action::ExpectLink { .. }
        | Action::CountLog { .. } => Vec::new(),
        Action::ExpectMetric { labels, .. } | Action::WatchMetric { labels, .. } => {
            labels.iter().flat_map(|(_, matcher)| matcher.exprs()).cloned().collect()
        }
        Action::ChangeStub { change, .. } => stubs::looks(change),
    }
}

fn first_unknown<'e>(looks: impl IntoIterator<Item = &'e Expr>) -> Result<(), Missing> {
    match looks.into_iter().find(|look| !look.is_agents_own()) {
        Some(look) => Err(Missing(look.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
