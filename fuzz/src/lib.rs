//! What comes from elsewhere is read or refused: never a panic, never without an end. What was read survives being written again.
//!
//! `.ci/fuzz signals 60` looks for inputs that break this, for a minute; those that were found, and some of every kind, are in `corpus`.
//! The tests of the workspace put each of them, and thousands of changes to each, through the same functions: `orchestrator/tests/corpus.rs`.

use meshproof::journal;
use meshproof::plan::{Inputs, Look, check};
use meshproof_mesh::rpc::read_call;
use meshproof_proto::codec::Codec;
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::frame::{BulkFrame, ControlFrame, EventFrame};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Key, Signed, Token, UnixSeconds};
use meshproof_proto::matcher::{Actual, Matcher};
use meshproof_proto::rendezvous::{FromRelay, ToPeer, ToRelay, ToServer};
use meshproof_proto::rpc::{AgentRequest, AgentResponse};
use meshproof_proto::signal::Signal;
use meshproof_proto::trust::{RootNews, Trust};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tarpc::{ClientMessage, Response};

/// A kind of input, and what reads it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their folders in `corpus`.
pub const TARGETS: [Target; 8] = [
    ("signals", signals),
    ("grants", grants),
    ("frames", frames),
    ("rpc", rpc),
    ("journal", journal),
    ("plan", plan),
    ("expressions", expressions),
    ("matchers", matchers),
];

const CODECS: [Codec; 2] = [Codec::Bincode, Codec::Json];

/// What is read is written and read to the same.
fn survives<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    for codec in CODECS {
        let Ok(value) = codec.decode::<T>(bytes) else { continue };
        // what was short enough may be longer as we write it; then it is refused
        let Ok(written) = codec.encode(&value) else { continue };
        let Ok(read) = codec.decode::<T>(&written) else { panic!("its own bytes are refused: {written:?}") };
        assert_eq!(codec.encode(&read).expect("as long as before"), written);
    }
}

/// The input as whoever has this key would have signed it, so that what is signed is read.
fn signed(key: &Key, label: &'static str, bytes: &[u8]) -> Signed {
    let text = String::from_utf8_lossy(bytes).into_owned();
    Signed { signature: key.sign(label, text.as_bytes()), text }
}

/// What peers and signaling servers say to each other.
pub fn signals(bytes: &[u8]) {
    survives::<ToServer>(bytes);
    survives::<ToPeer>(bytes);
    survives::<ToRelay>(bytes);
    survives::<FromRelay>(bytes);
    survives::<Signal>(bytes);
    let key = Key::from_seed([1; 32]);
    let _ = Signal::open(&signed(&key, "signal", bytes), &key.public(), &PeerId([2; 32]), UnixSeconds(0));
}

/// Tokens, chains, and what root keys say.
pub fn grants(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(token) = Token::from_text(&text) {
        let _ = token.granted();
        assert_eq!(Token::from_text(&token.to_text()).expect("its own text").to_text(), token.to_text());
    }
    let root = Key::from_seed([1; 32]);
    let mut trust = Trust::new("dev".parse().expect("a good name"), root.public());
    let (grant, claim) = (signed(&root, "grant", bytes), signed(&root, "claim", bytes));
    let _ = trust.check(&Chain { grant, claim }, UnixSeconds(0));
    for codec in CODECS {
        if let Ok(chain) = codec.decode::<Chain>(bytes) {
            let _ = trust.check(&chain, UnixSeconds(0));
        }
        if let Ok(news) = codec.decode::<RootNews>(bytes) {
            let _ = trust.learn(&news);
        }
    }
}

/// What links carry.
pub fn frames(bytes: &[u8]) {
    survives::<ControlFrame>(bytes);
    survives::<BulkFrame>(bytes);
    survives::<EventFrame>(bytes);
}

/// Calls and replies, in tarpc's envelopes.
pub fn rpc(bytes: &[u8]) {
    for codec in CODECS {
        let _ = read_call::<ClientMessage<AgentRequest>>(codec, bytes);
        let _ = codec.decode::<Response<AgentResponse>>(bytes);
    }
}

/// A journal, as far as it was written.
pub fn journal(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = journal::records(text, "events.jsonl".as_ref());
    }
}

/// A plan file: a plan, or what is wrong with it, which can be shown.
pub fn plan(bytes: &[u8]) {
    let inputs = Inputs { dir: "/plans".to_owned(), ..Inputs::default() };
    let checked = check("plan.yaml", bytes, &inputs);
    match checked.plan {
        Ok(plan) => drop(plan.capabilities()),
        Err(mistakes) => {
            assert!(!mistakes.found.is_empty(), "no plan, and nothing wrong with it");
            assert!(mistakes.render(&checked.source, Look::Plain).contains("in plan.yaml"));
        }
    }
}

/// Templates, against some values.
pub fn expressions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    survives::<ValueTemplate>(bytes);
    let Ok(template) = Template::parse(text) else { return };
    let call = json!({ "number": 1, "json": { "a": [1, "b", null, { "c": 0.5 }] } });
    let scope = json!({ "call": call, "index": 7, "record": { "id": "x" } });
    for scope in [&scope, &Value::Null] {
        let _ = template.render(scope);
        let _ = template.value(scope);
        let _ = template.resolve(scope).render(scope);
    }
}

/// Matchers, against some values: the first line is the matcher, the rest is looked at.
pub fn matchers(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (matcher, rest) = bytes.split_at(at);
    survives::<Matcher>(matcher);
    let text = String::from_utf8_lossy(rest);
    for codec in CODECS {
        let Ok(matcher) = codec.decode::<Matcher>(matcher) else { continue };
        for actual in [Actual::Text(text.clone().into_owned()), Actual::Bytes(7), Actual::Missing] {
            let _ = matcher.check(&actual, &Value::Null);
        }
    }
}
