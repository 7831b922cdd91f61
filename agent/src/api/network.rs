//! `network` and `peers`: who else is there, and what a program wants of the network between them. In the words of plans.

use std::net::Ipv4Addr;

use meshproof_proto::order::Egress;
use meshproof_proto::order::network::{Filter, Outward, Rule, Wanted};
use meshproof_proto::shaper::Shape;
use meshproof_proto::units;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use crate::network::Links;

/// Conditions on the way to somebody.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Conditions {
    latency: Option<String>,
    jitter: Option<String>,
    bandwidth: Option<String>,
    loss: Option<String>,
    duplicate: Option<String>,
    reorder: Option<String>,
    corrupt: Option<String>,
    filter: Filter,
}

impl Shared {
    /// Everybody else who takes part, and where.
    pub(super) fn peers(&self) -> Value {
        let about = self.about.lock().map(|about| about.clone()).unwrap_or_default();
        let peers = members(&about).filter(|member| member["name"] != about["name"]).map(|member| {
            let address = match &self.links {
                Some(links) => member["name"].as_str().and_then(|name| links.address(name)),
                // without a data network all are at home on this machine
                None => Some(Ipv4Addr::LOCALHOST),
            };
            json!({ "name": member["name"], "group": member["group"], "address": address })
        });
        peers.collect()
    }

    /// Makes the network what a program wants it to be: conditions to everybody, and under `to` those to groups or members.
    pub(super) fn network(&self, mut wanted: Value) -> Result<Wanted, String> {
        let links = self.links()?;
        let about = self.about.lock().map(|about| about.clone()).unwrap_or_default();
        let asked =
            wanted.as_object_mut().ok_or("what is wanted of the network is an object, as {\"latency\": \"100ms\"}")?;
        let cut = match asked.remove("cut") {
            None => false,
            Some(cut) => cut.as_bool().ok_or("`cut` is true or false")?,
        };
        let egress = match asked.remove("egress").as_ref().map(Value::as_str) {
            None | Some(Some("host")) => Egress::Host,
            Some(Some("none")) => Egress::Nowhere,
            Some(_) => return Err("`egress` is host or none".to_owned()),
        };
        let mut rules = Vec::new();
        for (name, conditions) in apart(asked)? {
            let outward = outward(conditions)?;
            let addresses = addresses(links, &about, &name);
            if addresses.is_empty() {
                return Err(format!("there is no group, member or service `{name}` to send to"));
            }
            rules.extend(addresses.into_iter().map(|network| Rule { network, prefix: 32, outward: outward.clone() }));
        }
        let wanted = Wanted { cut, default: outward(wanted)?, rules, egress };
        links.make(Some(&wanted));
        Ok(wanted)
    }
}

fn members(about: &Value) -> impl Iterator<Item = &Value> {
    about["members"].as_array().into_iter().flatten()
}

/// Conditions to some alone.
fn apart(asked: &mut Map<String, Value>) -> Result<Map<String, Value>, String> {
    match asked.remove("to") {
        None => Ok(Map::new()),
        Some(Value::Object(to)) => Ok(to),
        Some(_) => Err("`to` has conditions for names, as {\"nodes-2\": {\"latency\": \"100ms\"}}".to_owned()),
    }
}

/// Of a service, or of the others in a group.
fn addresses(links: &Links, about: &Value, name: &str) -> Vec<Ipv4Addr> {
    let of_group = members(about).filter(|member| member["group"] == name);
    let names = of_group.filter_map(|member| member["name"].as_str()).chain([name]);
    names.filter_map(|name| links.address(name)).collect()
}

fn outward(conditions: Value) -> Result<Outward, String> {
    let Conditions { latency, jitter, bandwidth, loss, duplicate, reorder, corrupt, filter } =
        Conditions::deserialize(conditions).map_err(|error| error.to_string())?;
    let micros = |key: &str, text: Option<String>| match text {
        None => Ok(0),
        Some(text) => match units::duration(&text) {
            Ok(time) => Ok(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            Err(error) => Err(format!("`{key}` is a duration, as `100ms`: {error}")),
        },
    };
    let share = |key: &str, text: Option<String>| match text {
        None => Ok(0.0),
        Some(text) => match units::percent(&text) {
            Ok(share) => Ok(share.value()),
            Err(error) => Err(format!("`{key}` is a share, as `1%`: {error}")),
        },
    };
    let bandwidth = bandwidth.map(|text| units::bandwidth(&text)).transpose();
    let bandwidth = bandwidth.map_err(|error| format!("`bandwidth` is one, as `10mbit`: {error}"))?;
    let mut shape = Shape {
        latency_us: micros("latency", latency)?,
        jitter_us: micros("jitter", jitter)?,
        bandwidth_bits_per_s: bandwidth.map(|bandwidth| bandwidth.bits_per_second),
        loss_percent: share("loss", loss)?,
        ..Shape::default()
    };
    if shape.bandwidth_bits_per_s == Some(0) {
        return Err("through a bandwidth of nothing nothing passes; say `\"filter\": \"drop\"`".to_owned());
    }
    shape.datagrams.duplicate_percent = share("duplicate", duplicate)?;
    shape.datagrams.reorder_percent = share("reorder", reorder)?;
    shape.datagrams.corrupt_percent = share("corrupt", corrupt)?;
    Ok(Outward { shape, filter })
}
