//! What expressions see in a run.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::expr::{OWN_VALUE, Template};
use meshproof_proto::id::{Name, RunId};
use serde_json::{Map, Value, json};

use super::api::{Launch, LaunchFile, Place, Setting};
use super::certificates;
use super::environment::{KEEP, OUTPUTS, Part};
use crate::plan::Plan;
use crate::plan::compiled::{Endpoint, FileContent, Service, Step, Tunnel};
use crate::plan::orders::{Addresses, Missing, RecordsFiles};

/// A service's address on the data network, unless one of its ports has that name.
const HOST: &str = "host";

/// Everything that the run knows under a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    fixed: Map<String, Value>,
    places: BTreeMap<Name, Place>,
    addresses: Addresses,
    saved: BTreeMap<String, Value>,
    /// Identities of the run's authority; none: there is no authority.
    identities: Option<BTreeSet<String>>,
    held: BTreeMap<String, String>,
    files: RecordsFiles,
    /// Stubs that are spoken to over TLS.
    encrypted: BTreeSet<String>,
    endpoints: BTreeMap<Name, BTreeMap<String, String>>,
    hosts: BTreeMap<Name, String>,
    apis: BTreeMap<Name, String>,
    run: String,
    /// Of all groups.
    members: usize,
}

/// What expressions see before anything is made ready, as those in stubs do: `params` and `plan`.
#[must_use]
pub fn early_scope(plan: &Plan, plan_dir: &str) -> Value {
    json!({"params": plan.params, "plan": {"dir": plan_dir, "name": plan.name.as_str()}})
}

/// What each service of a plan is started with, where all that it needs to know is settled beforehand.
///
/// # Errors
/// A service that needs to know something else, and what.
pub fn launches(
    plan: &Plan,
    (plan_dir, run): (&str, &RunId),
    setting: Setting,
) -> Result<Vec<Launch>, (Name, Missing)> {
    let mut scope = Scope::new(plan, plan_dir, &run.0);
    scope.begin(setting);
    let launch = |service: &Service| scope.launch(service).map_err(|missing| (service.name.clone(), missing));
    plan.services.iter().map(launch).collect()
}

impl Scope {
    pub(super) fn new(plan: &Plan, plan_dir: &str, run: &str) -> Self {
        let known = [early_scope(plan, plan_dir), plan.secrets.scope()];
        let fixed = known.into_iter().filter_map(|known| match known {
            Value::Object(known) => Some(known),
            _ => None,
        });
        let fixed = fixed.flatten().collect();
        let encrypted = plan.stubs.iter().filter(|stub| stub.order.tls.is_some());
        let encrypted = encrypted.map(|stub| stub.order.name.clone()).collect();
        let members = plan.services.iter().filter(|service| service.member.is_some()).count();
        let run = run.to_owned();
        Self { fixed, identities: plan.authority.clone(), encrypted, run, members, ..Self::default() }
    }

    /// The environment is ready.
    pub(super) fn begin(&mut self, setting: Setting) {
        let stubs = setting.stubs.iter().map(|(name, address)| {
            let scheme = if self.encrypted.contains(name) { "https" } else { "http" };
            let mut value = server(scheme, address);
            value["proxy"] = Value::from(format!("http://{address}"));
            (name.clone(), value)
        });
        let stubs = stubs.collect();
        self.fixed.insert("stubs".to_owned(), Value::Object(stubs));
        self.addresses = setting.addresses;
        for (service, place) in &setting.places {
            for (port, address) in &place.ports {
                let to = Endpoint { service: service.clone(), port: port.clone() };
                self.addresses.insert(Tunnel { at: service.clone(), to }, address.clone());
            }
        }
        // on the data network everybody reaches everybody under the same address
        for at in setting.hosts.keys() {
            for (service, place) in setting.places.iter().filter(|(service, _)| setting.hosts.contains_key(*service)) {
                for (port, address) in &place.ports {
                    let to = Endpoint { service: service.clone(), port: port.clone() };
                    self.addresses.insert(Tunnel { at: at.clone(), to }, address.clone());
                }
            }
        }
        self.places = setting.places;
        self.hosts = setting.hosts;
        self.apis = setting.apis;
        self.held = setting.held;
        self.files = setting.files;
        self.endpoints = setting.endpoints;
    }

    /// The texts behind what steps only name.
    pub(super) fn held(&self) -> &BTreeMap<String, String> {
        &self.held
    }

    /// Files that are too long to be among those.
    pub(super) fn files(&self) -> &RecordsFiles {
        &self.files
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Names that steps save hold until their test ends, so that no test needs another one.
    pub(super) fn forget_saved(&mut self) {
        self.saved.clear();
    }

    pub(super) fn save(&mut self, name: &str, value: Value) {
        self.saved.insert(name.to_owned(), value);
    }

    /// As seen from beside that service; the orchestrator sees direct addresses.
    pub(super) fn seen_from(&self, at: Option<&Name>) -> Value {
        let mut scope: Map<String, Value> =
            self.saved.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        scope.extend(self.fixed.clone());
        let services = self.places.iter().map(|(service, place)| {
            let ports = place.ports.iter().map(|(port, direct)| {
                let to = Endpoint { service: service.clone(), port: port.clone() };
                let here = match at {
                    Some(at) => self.addresses.get(&Tunnel { at: at.clone(), to }),
                    None => Some(direct),
                };
                (port.clone(), endpoint(here, direct))
            });
            let host = self.hosts.get(service).map(|host| (HOST.to_owned(), Value::from(host.as_str())));
            (service.to_string(), Value::Object(host.into_iter().chain(ports).collect()))
        });
        scope.insert("services".to_owned(), Value::Object(services.collect()));
        scope.extend(at.and_then(|at| self.identities_at(at)).map(|paths| ("tls".to_owned(), paths)));
        Value::Object(scope)
    }

    /// Where the run's identities are for that service, if it has any.
    fn identities_at(&self, service: &Name) -> Option<Value> {
        Some(certificates::paths(self.identities.as_ref()?, &self.places.get(service)?.dir))
    }

    /// What a step sees, from beside that service: its own round and combination too, and `self` where it is a service's.
    pub(super) fn seen_from_step(&self, step: &Step, at: Option<&Name>) -> Value {
        let mut scope = self.seen_from(at);
        if let Value::Object(names) = &mut scope {
            names.extend(step.locals.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        if let Some(own) = &step.own {
            scope["self"] = self.own(own);
        }
        scope
    }

    /// `self` of a service.
    fn own(&self, service: &Name) -> Value {
        let place = self.places.get(service).cloned().unwrap_or_default();
        let mut own: Map<String, Value> =
            place.ports.iter().map(|(port, address)| (port.clone(), address_parts(address))).collect();
        if let Some(host) = self.hosts.get(service).filter(|_| !own.contains_key(HOST)) {
            own.insert(HOST.to_owned(), Value::from(host.as_str()));
        }
        own.insert("dir".to_owned(), Value::from(place.dir.as_str()));
        own.insert("name".to_owned(), Value::from(service.as_str()));
        own.insert("tls".to_owned(), self.identities_at(service).unwrap_or_default()[service.as_str()].clone());
        let endpoints = self.endpoints.get(service).into_iter().flatten();
        let endpoints = endpoints.map(|(log, address)| (log.clone(), server("http", address)));
        own.insert("logs".to_owned(), Value::Object(endpoints.collect()));
        Value::Object(own)
    }

    /// What a service is started with.
    pub(super) fn launch(&self, service: &Service) -> Result<Launch, Missing> {
        self.launch_for(service, "")
    }

    /// What a member of a group is started with for that test.
    pub(super) fn launch_for(&self, service: &Service, test: &str) -> Result<Launch, Missing> {
        let place = self.places.get(&service.name).cloned().unwrap_or_default();
        let mut scope = self.seen_from(Some(&service.name));
        scope["self"] = self.own(&service.name);
        let line = |argv: &Vec<Template>| argv.iter().map(|part| text(part, &scope)).collect::<Result<Vec<_>, _>>();
        let part = Part {
            run: &self.run,
            plan: self.fixed["plan"]["name"].as_str().unwrap_or_default(),
            test,
            name: service.name.as_str(),
            dir: &place.dir,
            members: self.members,
            api: self.apis.get(&service.name).map(String::as_str),
            is_networked: self.hosts.contains_key(&service.name),
        };
        let member = service.member.as_ref().map(|member| part.testground(member, &scope)).transpose()?;
        let found = part.own().into_iter().chain(member.into_iter().flatten());
        // what the plan gives stands instead
        let given = service.env.iter().map(|(name, value)| Ok((name.clone(), text(value, &scope)?)));
        let env = found.map(Ok).chain(given);
        let outputs = service.member.as_ref().map(|_| (format!("{OUTPUTS}/{KEEP}"), LaunchFile::Text(String::new())));
        let files = service.files.iter().map(|file| Ok((file.path.clone(), content(&file.content, &scope)?)));
        let certificates = self.identities.as_ref().map(|_| certificates::files(&service.identities, &self.held));
        Ok(Launch {
            service: service.name.clone(),
            dir: place.dir,
            processes: service.processes.iter().map(line).collect::<Result<_, _>>()?,
            env: env.collect::<Result<BTreeMap<_, _>, Missing>>()?.into_iter().collect(),
            files: files
                .chain(outputs.map(Ok))
                .chain(certificates.unwrap_or_default())
                .collect::<Result<_, Missing>>()?,
            stop_signal: service.stop_signal,
            stop_grace: service.stop_grace,
            limits: service.limits,
        })
    }
}

/// The text, every expression in it known.
pub(super) fn text(template: &Template, scope: &Value) -> Result<String, Missing> {
    template.render(scope).map_err(|unset| Missing(unset.0))
}

fn content(content: &FileContent, scope: &Value) -> Result<LaunchFile, Missing> {
    match content {
        FileContent::Text(template) => text(template, scope).map(LaunchFile::Text),
        FileContent::From(path) => Ok(LaunchFile::CopyOf(path.value.clone())),
    }
}

fn address_parts(address: &str) -> Value {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let port = port.parse::<u16>().map_or(Value::Null, Value::from);
    json!({OWN_VALUE: address, "host": host, "port": port})
}

/// A port without a way that leads there from here has only its direct address, so that what needs the way is unset.
fn endpoint(here: Option<&String>, direct: &str) -> Value {
    let mut value = here.map_or_else(|| json!({}), |address| address_parts(address));
    value["direct"] = Value::from(direct);
    value
}

fn server(scheme: &str, address: &str) -> Value {
    let mut value = address_parts(address);
    value["address"] = Value::from(address);
    value["url"] = Value::from(format!("{scheme}://{address}"));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_reached_by_the_viewers_own_way_and_directly_only_when_asked() {
        let name = |text: &str| text.parse::<Name>().expect("a name");
        let place = |port: &str, address: &str| Place {
            dir: "/run/x".to_owned(),
            ports: BTreeMap::from([(port.to_owned(), address.to_owned())]),
        };
        let way = Tunnel { at: name("shop"), to: Endpoint { service: name("ledger"), port: "tcp".to_owned() } };
        let mut scope = Scope::default();
        scope.begin(Setting {
            places: BTreeMap::from([
                (name("shop"), place("http", "127.0.0.1:1")),
                (name("ledger"), place("tcp", "127.0.0.1:2")),
            ]),
            addresses: BTreeMap::from([(way, "127.0.0.1:3".to_owned())]),
            stubs: BTreeMap::from([("payments".to_owned(), "127.0.0.1:4".to_owned())]),
            held: BTreeMap::new(),
            files: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            apis: BTreeMap::new(),
            hosts: BTreeMap::new(),
        });
        let seen = |template: &str, at: &str| {
            text(&Template::parse(template).expect("parses"), &scope.seen_from(Some(&name(at))))
        };
        assert_eq!(seen("${{ services.ledger.tcp }}", "shop"), Ok("127.0.0.1:3".to_owned()));
        assert_eq!(seen("${{ services.ledger.tcp }}", "ledger"), Ok("127.0.0.1:2".to_owned()));
        assert_eq!(seen("${{ services.ledger.tcp.direct }}", "shop"), Ok("127.0.0.1:2".to_owned()));
        assert_eq!(seen("${{ services.shop.http.port }}", "shop"), Ok("1".to_owned()));
        assert_eq!(seen("${{ stubs.payments.url }}", "shop"), Ok("http://127.0.0.1:4".to_owned()));
        assert_eq!(
            seen("${{ services.shop.http.port }}", "ledger"),
            Err(Missing("services.shop.http.port".to_owned()))
        );
    }
}
