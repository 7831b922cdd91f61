//! What Testground's SDKs ask of the network: `network.Config` of <https://github.com/testground/sdk-go>, as JSON.

use meshproof_proto::order::Egress;
use meshproof_proto::order::network::{Filter, Outward, Rule, Wanted};
use meshproof_proto::shaper::{DatagramShape, Shape};
use serde::Deserialize;
use serde_json::Value;

/// The only network there is.
const NETWORK: &str = "default";

/// What an SDK sends to its sidecar.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    network: String,
    #[serde(rename = "IPv4")]
    ipv4: Option<String>,
    #[serde(rename = "IPv6")]
    ipv6: Option<String>,
    enable: bool,
    #[serde(rename = "default")]
    shape: LinkShape,
    rules: Option<Vec<LinkRule>>,
    callback_state: String,
    routing_policy: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: NETWORK.to_owned(),
            ipv4: None,
            ipv6: None,
            enable: true,
            shape: LinkShape::default(),
            rules: None,
            callback_state: String::new(),
            routing_policy: String::new(),
        }
    }
}

/// Times are nanoseconds, a bandwidth is bits a second of which zero is no bound, and shares are per cent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LinkShape {
    latency: u64,
    jitter: u64,
    bandwidth: u64,
    filter: u8,
    loss: f64,
    corrupt: f64,
    corrupt_corr: f64,
    reorder: f64,
    reorder_corr: f64,
    duplicate: f64,
    duplicate_corr: f64,
}

#[derive(Debug, Deserialize)]
struct LinkRule {
    #[serde(flatten)]
    shape: LinkShape,
    subnet: String,
}

/// What it wants, and the state that is signalled once it is so. Whose own address it is at `own`.
pub(super) fn wanted(payload: &Value, own: &str) -> Result<(Wanted, Option<String>), String> {
    let Config { network, ipv4, ipv6, enable, shape, rules, callback_state, routing_policy } =
        Config::deserialize(payload).map_err(|error| format!("this is no network configuration: {error}"))?;
    if network != NETWORK {
        return Err(format!("there is no network `{network}`; there is `{NETWORK}`"));
    }
    if let Some(address) = ipv4.or(ipv6).filter(|address| address.split('/').next() != Some(own)) {
        return Err(format!("an instance keeps its address, {own}, which others know; `{address}` cannot be taken"));
    }
    let egress = match routing_policy.as_str() {
        // what the plan shuts stays shut
        "" | "allow_all" => Egress::Host,
        "deny_all" => Egress::Nowhere,
        other => return Err(format!("`{other}` is no routing policy; there are allow_all and deny_all")),
    };
    let rules = rules.unwrap_or_default().into_iter().map(LinkRule::rule).collect::<Result<_, _>>()?;
    let wanted = Wanted { cut: !enable, default: shape.outward()?, rules, egress };
    Ok((wanted, Some(callback_state).filter(|state| !state.is_empty())))
}

impl LinkRule {
    fn rule(self) -> Result<Rule, String> {
        let wrong = || format!("`{}` is no subnet, as 198.18.0.0/24 is", self.subnet);
        let (network, prefix) = self.subnet.split_once('/').ok_or_else(wrong)?;
        let (network, prefix) = (network.parse().map_err(|_| wrong())?, prefix.parse().map_err(|_| wrong())?);
        match prefix {
            0..=32 => Ok(Rule { network, prefix, outward: self.shape.outward()? }),
            _ => Err(wrong()),
        }
    }
}

impl LinkShape {
    fn outward(&self) -> Result<Outward, String> {
        let filter = match self.filter {
            0 => Filter::Accept,
            1 => Filter::Reject,
            2 => Filter::Drop,
            other => return Err(format!("{other} is no filter; there are 0 (accept), 1 (reject), 2 (drop)")),
        };
        if [self.corrupt_corr, self.reorder_corr, self.duplicate_corr].iter().any(|correlation| *correlation != 0.0) {
            return Err("what befalls a packet depends on no other one here: correlations are zero".to_owned());
        }
        let shares = [self.loss, self.corrupt, self.reorder, self.duplicate];
        if let Some(share) = shares.iter().find(|share| !(0.0..=100.0).contains(*share)) {
            return Err(format!("a share is 0 to 100 per cent, and not {share}"));
        }
        let datagrams = DatagramShape {
            duplicate_percent: self.duplicate,
            reorder_percent: self.reorder,
            corrupt_percent: self.corrupt,
        };
        let shape = Shape {
            latency_us: self.latency / 1_000,
            jitter_us: self.jitter / 1_000,
            bandwidth_bits_per_s: Some(self.bandwidth).filter(|bits| *bits > 0),
            loss_percent: self.loss,
            datagrams,
            ..Shape::default()
        };
        Ok(Outward { shape, filter })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    fn of(payload: &Value) -> Result<(Wanted, Option<String>), String> {
        wanted(payload, "198.18.0.7")
    }

    #[test]
    fn what_an_sdk_sends_is_taken() {
        // as the one in Rust writes it
        let shape = json!({
            "latency": 10_000_000, "jitter": 2_000_000, "bandwidth": 1_048_576, "filter": 0, "loss": 1.5, "corrupt": 2.0,
            "corrupt_corr": 0.0, "reorder": 3.0, "reorder_corr": 0.0, "duplicate": 4.0, "duplicate_corr": 0.0,
        });
        let mut rule = shape.clone();
        rule["filter"] = json!(1);
        rule["subnet"] = json!("198.18.0.2/32");
        let (wanted, state) = of(&json!({
            "network": "default", "IPv4": "198.18.0.7/15", "IPv6": null, "enable": true, "default": shape, "rules": [rule],
            "callback_state": "reduced", "routing_policy": "deny_all",
        }))
        .expect("a configuration");
        assert_eq!(state.as_deref(), Some("reduced"));
        assert_eq!((wanted.cut, wanted.egress), (false, Egress::Nowhere));
        let expected = Shape {
            latency_us: 10_000,
            jitter_us: 2_000,
            bandwidth_bits_per_s: Some(1_048_576),
            loss_percent: 1.5,
            datagrams: DatagramShape { duplicate_percent: 4.0, reorder_percent: 3.0, corrupt_percent: 2.0 },
            ..Shape::default()
        };
        assert_eq!(wanted.default, Outward { shape: expected, filter: Filter::Accept });
        assert_eq!(wanted.to(Ipv4Addr::new(198, 18, 0, 2)).filter, Filter::Reject);
        assert_eq!(wanted.to(Ipv4Addr::new(198, 18, 0, 3)).filter, Filter::Accept);
    }

    #[test]
    fn what_is_left_out_is_as_nothing_was_asked() {
        let (wanted, state) = of(&json!({ "enable": true })).expect("a configuration");
        assert_eq!((wanted, state), (Wanted::default(), None));
        assert!(of(&json!({ "enable": false })).expect("a configuration").0.cut);
    }

    #[test]
    fn what_cannot_be_is_refused_and_says_why() {
        for (payload, why) in [
            (json!({ "network": "other" }), "there is no network `other`"),
            (json!({ "IPv4": "16.0.1.1/24" }), "an instance keeps its address, 198.18.0.7"),
            (json!({ "routing_policy": "some" }), "`some` is no routing policy"),
            (json!({ "default": { "filter": 3 } }), "3 is no filter"),
            (json!({ "default": { "loss": 101.0 } }), "a share is 0 to 100"),
            (json!({ "default": { "corrupt_corr": 1.0 } }), "what befalls a packet depends on no other one"),
            (json!({ "rules": [{ "subnet": "here" }] }), "`here` is no subnet"),
            (json!({ "rules": [{ "subnet": "198.18.0.0/33" }] }), "`198.18.0.0/33` is no subnet"),
            (json!({ "default": { "latency": "1s" } }), "this is no network configuration"),
        ] {
            let said = of(&payload).expect_err("it cannot be");
            assert!(said.starts_with(why), "{payload}: {said}");
        }
    }
}
