//! Services.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::super::compiled::{File, FileContent, Port, Service};
use super::super::limits::DEFAULT_STOP_GRACE;
use super::super::model;
use super::Compiler;
use super::lookups::Scope;
use super::steps::Place;

impl<'d> Compiler<'d> {
    pub(super) fn service(&mut self, service: &'d model::Service) -> Option<Service> {
        let name = super::name(&service.name.value)?;
        if service.tls {
            self.identity_at(name.clone(), &service.name.value);
        }
        let scope =
            Scope { own: Some(service), at: Some(name.clone()), saved: Some(Rc::default()), ..Scope::default() };
        for argument in service.processes.iter().flatten() {
            self.look_text(&argument.value, argument.span, &scope);
        }
        for (_, value) in &service.env {
            self.look_text(&value.value, value.span, &scope);
        }
        let place = Place {
            test: "",
            key: format!("ready.{name}"),
            beside: Some(&service.name),
            group: None,
            locals: Arc::default(),
        };
        let ready = service.ready.as_ref().and_then(|step| self.step(step, &place, &mut scope.clone()));
        let files = service.files.iter().map(|file| self.file(file, &scope)).collect();
        let grace = service.stop.grace.as_ref().and_then(|grace| self.settled.duration(grace));
        let port =
            |port: &model::Port| Port { name: port.name.value.clone(), number: port.number, transport: port.transport };
        Some(Service {
            span: service.name.span,
            processes: service
                .processes
                .iter()
                .map(|argv| argv.iter().map(|argument| argument.value.clone()).collect())
                .collect(),
            image: service.image.clone(),
            ports: service.ports.iter().map(port).collect(),
            env: service.env.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
            files,
            ready,
            needs: service.needs.iter().filter_map(|need| super::name(&need.value)).collect(),
            logs: service.logs.iter().map(|log| (log.name.value.clone(), log.file.value.clone())).collect(),
            stop_signal: service.stop.signal,
            stop_grace: grace.unwrap_or(DEFAULT_STOP_GRACE),
            listens: service.logs.iter().filter_map(|log| Some((log.name.value.clone(), log.listen?))).collect(),
            limits: self.settled.bounds(&service.limits),
            scrape: service.metrics.as_ref().and_then(|metrics| self.scrape(service, metrics)),
            member: self.membership(service),
            instances: instances(service),
            // Steps may mention others still.
            identities: BTreeSet::new(),
            name,
        })
    }

    fn file(&mut self, file: &model::File, scope: &Scope<'_>) -> File {
        let content = match &file.content {
            model::FileContent::Text(text) => {
                self.look_text(&text.value, text.span, scope);
                FileContent::Text(text.value.clone())
            }
            model::FileContent::From(path) => {
                self.copied_file(path);
                FileContent::From(path.clone())
            }
        };
        File { path: file.path.value.clone(), content }
    }
}

/// They take their turns in the zones.
fn instances(service: &model::Service) -> Vec<Option<String>> {
    let zones = service.zones.iter().map(|zone| Some(zone.value.clone()));
    let zones: Vec<_> = if service.zones.is_empty() { vec![None] } else { zones.collect() };
    let count = usize::try_from(service.replicas).unwrap_or(1);
    zones.into_iter().cycle().take(count).collect()
}
