//! The APIs of all members that share this agent, or the one of the service beside it.
//!
//! Who asks is known from where it asked: each has a listener and a token of its own. Their requests have numbers in turn, so that the number of
//! an answer says whose it is.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use meshproof_proto::event::Fact;
use meshproof_proto::id::Name;
use meshproof_proto::order::{ApiOrder, Guest, Initialized};
use meshproof_proto::sync::Answer;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Api;
use super::requests::{Numbers, Requests};
use crate::network::Links;

/// What programs find here. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Apis {
    /// In the order of the members, the one beside whose service the agent stands first.
    all: Vec<(Option<Name>, Api)>,
    numbers: Numbers,
}

impl Apis {
    /// Programs see by which addresses this agent is reached, and by which its service. Listens where it did `before`, if it did.
    pub async fn open(
        (order, guests): (&ApiOrder, &[Guest]),
        (control, links): (Option<IpAddr>, Option<Arc<Links>>),
        before: &Initialized,
        facts: mpsc::Sender<Fact>,
    ) -> io::Result<Self> {
        let mut about: Value = serde_json::from_str(&order.about).map_err(io::Error::other)?;
        let data = links.as_ref().map(|links| links.own());
        about["addresses"] = serde_json::json!({ "control": control, "data": data });
        let own = about["name"].as_str().and_then(|name| name.parse().ok()).filter(|_| !guests.is_empty());
        let mut members = vec![(own, order.port, before.api.as_deref(), about.clone())];
        for Guest { name, about: its_own } in guests {
            let its_own = serde_json::from_str(its_own).map_err(io::Error::other)?;
            let before = before.guests.get(name).map(String::as_str);
            members.push((Some(name.clone()), None, before, with(about.clone(), its_own)));
        }
        let numbers = Numbers::fresh(members.len() as u64)?;
        let mut all = Vec::with_capacity(members.len());
        for (which, (name, port, before, about)) in (0..).zip(members) {
            let requests = Requests::new((facts.clone(), name.clone()), numbers.of(which));
            all.push((name, Api::open((about, port), (before, links.clone()), requests).await?));
        }
        Ok(Self { all, numbers })
    }

    /// The URL that programs of the service beside the agent need.
    pub fn url(&self) -> Option<String> {
        self.all.first().map(|(_, api)| api.url.clone())
    }

    /// The same of each member that shares the agent.
    pub fn guests(&self) -> BTreeMap<Name, String> {
        self.all.iter().skip(1).filter_map(|(name, api)| Some((name.clone()?, api.url.clone()))).collect()
    }

    /// The run answers programs.
    pub fn answer(&self, answers: Vec<Answer>) {
        for answer in answers {
            if let Some((_, api)) = self.numbers.whose(answer.number).and_then(|which| self.all.get(which)) {
                api.answer(answer);
            }
        }
    }

    /// A test begins.
    pub fn begin_test(&self, test: &str) {
        self.all.iter().for_each(|(_, api)| api.begin_test(test));
    }
}

/// The same but for what a member has of its own.
fn with(mut about: Value, its_own: Value) -> Value {
    if let (Some(about), Value::Object(its_own)) = (about.as_object_mut(), its_own) {
        about.extend(its_own);
    }
    about
}

#[cfg(test)]
mod tests {
    use meshproof_proto::sync::{Ask, MemberAsked, Told};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn signal(url: &str) -> TcpStream {
        let (host, token) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
        let mut stream = TcpStream::connect(host).await.expect("it listens");
        let text = format!("POST /{token}/signal/up HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        stream
    }

    async fn body(mut stream: TcpStream) -> String {
        let mut text = String::new();
        while !text.ends_with("}\n") {
            let mut bytes = [0; 512];
            let length = stream.read(&mut bytes).await.expect("an answer");
            assert!(length > 0, "{text}");
            text += &String::from_utf8_lossy(&bytes[..length]);
        }
        text.lines().last().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn members_that_share_an_agent_ask_in_their_own_names_and_are_answered_each() {
        let (facts, mut told) = mpsc::channel(8);
        let order = ApiOrder { about: r#"{"name": "nodes-1", "number": 1}"#.to_owned(), port: None };
        let guest = Guest { name: "nodes-2".parse().expect("a name"), about: r#"{"name": "nodes-2"}"#.to_owned() };
        let apis = Apis::open((&order, &[guest]), (None, None), &Initialized::default(), facts).await.expect("opened");
        let (own, guests) = (apis.url().expect("it is there"), apis.guests());
        let (_, url) = guests.first_key_value().expect("one");
        assert_ne!(*url, own);
        let mut streams = BTreeMap::new();
        for url in [&own, url] {
            let stream = signal(url).await;
            let Some(Fact::ProgramsAsked { asked }) = told.recv().await else { panic!("a request of a member") };
            let [MemberAsked { member, number, ask: Ask::Signal { .. } }] = &asked[..] else { panic!("{asked:?}") };
            streams.insert(member.to_string(), (*number, stream));
        }
        let counts: BTreeMap<String, u64> = [("nodes-1".to_owned(), 11), ("nodes-2".to_owned(), 12)].into();
        let answer = |(number, _): &(u64, _), count: &u64| Answer { number: *number, told: Told::Count(*count) };
        apis.answer(streams.iter().rev().map(|(name, asked)| answer(asked, &counts[name])).collect());
        for (name, (_, stream)) in streams {
            assert_eq!(body(stream).await, format!("{{\"seq\":{}}}", counts[&name]), "{name}");
        }
    }
}
