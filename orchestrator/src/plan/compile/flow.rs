//! Flow: what runs side by side, what runs again and again, and the matrix. All of it is written out here, so that every result is
//! expected before the first step begins.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::code::Code;
use super::super::compiled::{Group, Step, Test};
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_STEPS;
use super::super::model::{self, Conduct, Document, Repeat, Verb};
use super::Compiler;
use super::lookups::Scope;
use super::steps::Place;

/// Where a sequence of steps stands.
#[derive(Debug, Clone)]
pub(super) struct Course<'c> {
    pub(super) test: &'c str,
    /// Of every step's key.
    prefix: String,
    group: Option<Group>,
    locals: Arc<Map<String, Value>>,
    /// Behind every step's title: `[i=3]`.
    label: String,
}

impl<'c> Course<'c> {
    fn of(test: &'c str, locals: Map<String, Value>) -> Self {
        Self { test, prefix: String::new(), group: None, locals: Arc::new(locals), label: String::new() }
    }

    /// The same for another part of the test.
    pub(super) fn at(&self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self.clone() }
    }

    /// The names of the matrix' axes.
    pub(super) fn axes(&self) -> Vec<String> {
        match self.locals.get("matrix") {
            Some(Value::Object(axes)) => axes.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn round(&self, place: usize, (round, repeat): (u64, &Repeat)) -> Self {
        let mut locals = (*self.locals).clone();
        let name = repeat.name.as_ref().map(|name| name.value.as_str());
        if let Some(name) = name {
            locals.insert(name.to_owned(), Value::from(round));
        }
        let label = format!("{} [{}={round}]", self.label, name.unwrap_or("round"));
        let prefix = format!("{}{place}.{round}.", self.prefix);
        Self { prefix, locals: Arc::new(locals), label, ..self.clone() }
    }
}

/// What a test sees for each combination of the matrix; one that is empty without any.
pub(super) fn combinations(document: &Document) -> Vec<Map<String, Value>> {
    let mut all: Vec<Map<String, Value>> = vec![Map::new()];
    for (axis, values) in &document.matrix {
        let with = |one: &Map<String, Value>, value: &Value| {
            let mut one = one.clone();
            one.insert(axis.value.clone(), value.clone());
            one
        };
        all = all.iter().flat_map(|one| values.iter().map(move |value| with(one, value))).collect();
    }
    if document.matrix.is_empty() {
        return all;
    }
    all.into_iter().map(|axes| Map::from_iter([("matrix".to_owned(), Value::Object(axes))])).collect()
}

/// `converges[loss=2%]`
fn named(id: &str, locals: &Map<String, Value>) -> String {
    let Some(Value::Object(axes)) = locals.get("matrix") else { return id.to_owned() };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let axes: Vec<String> = axes.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    format!("{id}[{}]", axes.join(","))
}

impl Compiler<'_> {
    /// Every test for every combination of the matrix.
    pub(super) fn tests(&mut self, document: &Document, combinations: Vec<Map<String, Value>>) -> Vec<Test> {
        let mut tests = Vec::new();
        for (number, locals) in combinations.into_iter().enumerate() {
            // What is wrong with the first is wrong with all of them.
            if number > 0 && !self.cx.is_clean() {
                break;
            }
            self.settled.set_locals(&locals);
            for test in &document.tests {
                let id = named(&test.id.value, &locals);
                tests.push(self.test(test, &Course::of(&id, locals.clone())));
            }
        }
        self.settled.set_locals(&Map::new());
        tests
    }

    /// Steps in order, those within steps written out.
    pub(super) fn sequence(&mut self, steps: &[model::Step], course: &Course<'_>, scope: &mut Scope<'_>) -> Vec<Step> {
        let mut compiled = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if self.steps > MAX_STEPS {
                break;
            }
            match &step.verb.value {
                Verb::Conduct(Conduct::Parallel(branches)) if course.group.is_none() => {
                    // Every group has steps, so no two have the same number.
                    compiled.extend(self.branches(branches, (course, at, self.steps), scope));
                }
                Verb::Conduct(Conduct::Parallel(_)) => {
                    let message = "steps that run side by side have no others beside them";
                    let problem = Diagnostic::new(Code::Choice, step.verb.span, message);
                    self.cx.report(problem.expected("the steps themselves, as branches of the outer `parallel`"));
                }
                Verb::Conduct(Conduct::Repeat(repeat)) => {
                    compiled.extend(self.rounds((step, repeat), (course, at), scope));
                }
                _ => compiled.extend(self.one(step, (course, at), scope)),
            }
        }
        compiled
    }

    fn one(&mut self, step: &model::Step, (course, at): (&Course<'_>, usize), scope: &mut Scope<'_>) -> Option<Step> {
        self.steps += 1;
        let place = Place {
            test: course.test,
            key: format!("{}{at}", course.prefix),
            beside: None,
            group: course.group,
            locals: Arc::clone(&course.locals),
        };
        let mut step = self.step(step, &place, scope)?;
        step.title += &course.label;
        Some(step)
    }

    /// What one branch saves, the others do not see; what comes after them sees all of it.
    fn branches(
        &mut self,
        branches: &[Vec<model::Step>],
        (course, at, number): (&Course<'_>, usize, usize),
        scope: &mut Scope<'_>,
    ) -> Vec<Step> {
        let before = scope.clone();
        let mut compiled = Vec::new();
        for (branch, steps) in branches.iter().enumerate() {
            let mut inside = before.clone();
            let prefix = format!("{}{at}.{branch}.", course.prefix);
            let course = Course { prefix, group: Some(Group { number, branch }), ..course.clone() };
            compiled.extend(self.sequence(steps, &course, &mut inside));
            match (&mut scope.saved, inside.saved) {
                (Some(saved), Some(more)) => Rc::make_mut(saved).extend(more.iter().cloned()),
                (saved, None) => *saved = None,
                (None, _) => {}
            }
        }
        compiled
    }

    fn rounds(
        &mut self,
        (step, repeat): (&model::Step, &Repeat),
        (course, at): (&Course<'_>, usize),
        scope: &mut Scope<'_>,
    ) -> Vec<Step> {
        let Some(times) = self.settled.count(&repeat.times) else { return Vec::new() };
        if times == 0 {
            let problem = Diagnostic::new(Code::OutOfRange, repeat.times.span, "steps that are never run say nothing");
            self.cx.report(problem.expected("a number from 1 on"));
        }
        if let (Some(saved), Some(name)) = (&mut scope.saved, &repeat.name) {
            Rc::make_mut(saved).insert(name.value.clone());
        }
        let mut compiled = Vec::new();
        for round in 0..times {
            if round > 0 && !self.cx.is_clean() {
                break;
            }
            let course = course.round(at, (round, repeat));
            self.settled.set_locals(&course.locals);
            compiled.extend(self.sequence(&repeat.steps, &course, scope));
            if self.steps > MAX_STEPS {
                let message = format!("written out, the plan has more than {MAX_STEPS} steps");
                let problem = Diagnostic::new(Code::TooLarge, step.verb.span, message);
                self.cx.report(problem.help("to send much data use `stream`"));
                break;
            }
        }
        self.settled.set_locals(&course.locals);
        if let (Some(saved), Some(name)) = (&mut scope.saved, &repeat.name) {
            Rc::make_mut(saved).remove(&name.value);
        }
        compiled
    }
}
