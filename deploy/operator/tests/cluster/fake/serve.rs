//! Answers requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use meshproof_operator::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::request::{Asked, Refusal};
use super::store::{Id, Store, is_terminating, not_found, without_status};
use super::{apply, patch, rights, watching};

type Reply = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What all connections share.
pub struct Shared {
    pub store: Mutex<Store>,
    /// Told after each change.
    pub changed: watch::Sender<u64>,
    /// Whom it does not reach; everybody, if it is away.
    unreached: Mutex<BTreeSet<String>>,
    /// Lists of these take so long.
    slow: Mutex<BTreeMap<String, Duration>>,
    /// Verb and resource to calls, for each caller.
    calls: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    /// Callers that are service accounts, and the rights that they have used.
    accounts: Mutex<BTreeMap<String, (rights::Account, BTreeSet<rights::Right>)>>,
    clock: Clock,
}

impl Shared {
    pub fn is_away(&self) -> bool {
        self.reaches("").is_err()
    }

    fn takes(&self, verb: &str, asked: &Asked) -> Duration {
        let slow = self.slow.lock().expect("nobody panics with it");
        let time = slow.get(&asked.id.plural).filter(|_| verb == "list");
        time.copied().unwrap_or(Duration::from_millis(1))
    }

    fn reaches(&self, who: &str) -> Result<(), std::io::Error> {
        let unreached = self.unreached.lock().expect("nobody panics with it");
        match unreached.contains("*") || unreached.contains(who) {
            true => Err(std::io::ErrorKind::ConnectionRefused.into()),
            false => Ok(()),
        }
    }
}

/// The API server.
#[derive(Clone)]
pub struct Fake(Arc<Shared>);

impl Fake {
    pub fn start() -> Self {
        Self(Arc::new(Shared {
            store: Mutex::new(Store::with_a_past()),
            changed: watch::channel(0).0,
            unreached: Mutex::default(),
            slow: Mutex::default(),
            calls: Mutex::default(),
            accounts: Mutex::default(),
            clock: Clock::start(),
        }))
    }

    /// A client whose calls are counted under that name.
    pub fn client(&self, who: &str) -> Client {
        let (shared, who) = (Arc::clone(&self.0), who.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (shared, who) = (Arc::clone(&shared), who.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
                answer(shared, &who, (&head, &body)).await
            }
        });
        Client::new(service, "default")
    }

    /// Over TCP, for programs: until it is dropped.
    pub fn serve(&self, listener: TcpListener) -> AbortOnDropHandle<()> {
        let shared = Arc::clone(&self.0);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request: Request<Incoming>| {
                    let shared = Arc::clone(&shared);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                        answer(shared, "program", (&head, &body)).await
                    }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                open.spawn(async move { drop(connection.await) });
            }
        }))
    }

    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Nobody reaches it, and every watch breaks off.
    pub fn goes_away(&self) {
        self.unreached("*");
        self.0.changed.send_modify(|_| ());
    }

    pub fn comes_back(&self) {
        self.0.unreached.lock().expect("nobody panics with it").clear();
    }

    /// This one does not reach it any more.
    pub fn unreached(&self, who: &str) {
        self.0.unreached.lock().expect("nobody panics with it").insert(who.to_owned());
    }

    /// Lists of the kind take so long from now on.
    pub fn slow(&self, plural: &str, time: Duration) {
        self.0.slow.lock().expect("nobody panics with it").insert(plural.to_owned(), time);
    }

    /// What was changed until now is no longer told: watches that are behind have to list anew.
    pub fn forgets(&self) {
        self.with(|store| {
            store.forgotten = store.version();
            store.changes.clear();
        });
    }

    /// Verb and resource to calls.
    pub fn calls(&self, who: &str) -> BTreeMap<String, u64> {
        self.0.calls.lock().expect("nobody panics with it").get(who).cloned().unwrap_or_default()
    }

    /// This one may do from now on what the roles say that are bound to that account.
    pub fn is_account(&self, who: &str, namespace: &str, name: &str) {
        let account = (namespace.to_owned(), name.to_owned());
        let mut accounts = self.0.accounts.lock().expect("nobody panics with it");
        accounts.insert(who.to_owned(), (account, BTreeSet::new()));
    }

    /// What it has used of that.
    pub fn used(&self, who: &str) -> BTreeSet<rights::Right> {
        let accounts = self.0.accounts.lock().expect("nobody panics with it");
        accounts.get(who).map(|(_, used)| used.clone()).unwrap_or_default()
    }

    /// Refuses what the caller may not do.
    fn authorise(&self, who: &str, asked: (&Asked, &Method), body: &Value) -> Result<(), Refusal> {
        let mut accounts = self.0.accounts.lock().expect("nobody panics with it");
        let Some((account, used)) = accounts.get_mut(who) else { return Ok(()) };
        used.extend(self.with(|store| rights::check(store, account, asked, body))?);
        Ok(())
    }

    /// Looks into the store, or changes it as something inside of the cluster would.
    pub fn with<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let (done, version) = {
            let mut store = self.0.store.lock().expect("nobody panics with it");
            (change(&mut store), store.version())
        };
        self.0.changed.send_if_modified(|known| std::mem::replace(known, version) != version);
        done
    }

    pub fn get(&self, id: &Id) -> Option<Value> {
        self.with(|store| store.get(id).cloned())
    }

    /// Changes what is there.
    pub fn edit(&self, id: &Id, edit: impl FnOnce(&mut Value)) {
        self.with(|store| {
            let Some(mut object) = store.get(id).cloned() else { return };
            edit(&mut object);
            store.update(id, object);
        });
    }
}

async fn answer(shared: Arc<Shared>, who: &str, asked: (&Parts, &Bytes)) -> Result<Reply, std::io::Error> {
    let (head, body) = asked;
    let Some(asked) = Asked::read(&head.uri) else { return Ok(refused(&unknown(head.uri.path()))) };
    {
        let mut calls = shared.calls.lock().expect("nobody panics with it");
        let what = format!("{} {}", asked.verb(&head.method), asked.id.plural);
        *calls.entry(who.to_owned()).or_default().entry(what).or_default() += 1;
    }
    // a packet more, so that whoever asks in a circle does not stop the clock
    tokio::time::sleep(shared.takes(asked.verb(&head.method), &asked)).await;
    shared.reaches(who)?;
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? };
    let fake = Fake(Arc::clone(&shared));
    if let Err(refusal) = fake.authorise(who, (&asked, &head.method), &body) {
        return Ok(refused(&refusal));
    }
    if head.method == Method::GET && asked.is("watch") {
        let lines = watching::watch(shared, asked).map_ok(Frame::data);
        return Ok(Response::new(StreamBody::new(lines).boxed_unsync()));
    }
    let patch = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let done = fake.with(|store| Write { store, asked: &asked, now: fake.now() }.done(&head.method, &patch, body));
    Ok(match done {
        Ok(object) => Response::new(Full::from(object.to_string()).map_err(|never| match never {}).boxed_unsync()),
        Err(refusal) => refused(&refusal),
    })
}

fn unknown(path: &str) -> Refusal {
    Refusal::new(404, "NotFound", format!("the server could not find the requested resource: {path}"))
}

fn refused(refusal: &Refusal) -> Reply {
    let body = Full::from(refusal.body().to_string()).map_err(|never| match never {}).boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = hyper::StatusCode::from_u16(refusal.code).expect("a status code");
    reply
}

struct Write<'a> {
    store: &'a mut Store,
    asked: &'a Asked,
    now: Timestamp,
}

impl Write<'_> {
    fn done(mut self, method: &Method, patch: &str, body: Value) -> Result<Value, Refusal> {
        let id = self.asked.id.clone();
        match *method {
            Method::GET if id.name.is_empty() => Ok(self.list()),
            Method::GET => self.store.get(&id).cloned().ok_or_else(|| not_found(&id)),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let id = Id { name: name.to_owned(), ..id };
                let made = self.store.create(&id, body, self.now)?;
                self.owned(&id, &Value::Null, &made);
                Ok(made)
            }
            Method::PUT => self.replace(&id, body),
            Method::PATCH => self.patch(&id, patch, &body),
            _ => self.delete(&id, &body),
        }
    }

    /// Items of a list have no kind of their own, but those of custom kinds:
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#collections>
    fn list(&self) -> Value {
        let is_custom = self.asked.id.group.contains("meshproof");
        let found = self.store.all().filter(|(id, object)| self.asked.covers(id) && self.asked.selects(object));
        let mut kind = "List".to_owned();
        let items: Vec<Value> = found
            .map(|(_, object)| {
                let mut item = object.clone();
                kind = format!("{}List", object["kind"].as_str().unwrap_or_default());
                if !is_custom {
                    super::store::remove(&mut item, "kind");
                    super::store::remove(&mut item, "apiVersion");
                }
                item
            })
            .collect();
        let metadata = json!({ "resourceVersion": self.store.version().to_string() });
        json!({ "apiVersion": self.asked.api_version, "kind": kind, "metadata": metadata, "items": items })
    }

    /// Refused if it is no longer what was read:
    /// <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#concurrency-control-and-consistency>
    fn fresh(&self, id: &Id, written: &Value, there: &Value) -> Result<(), Refusal> {
        for field in ["resourceVersion", "uid"] {
            let (written, there) = (&written["metadata"][field], &there["metadata"][field]);
            if !written.is_null() && written != "" && written != there {
                let why = format!(
                    "Operation cannot be fulfilled on {} \"{}\": the object has been modified",
                    id.plural, id.name
                );
                return Err(Refusal::new(409, "Conflict", why));
            }
        }
        Ok(())
    }

    fn replace(&mut self, id: &Id, body: Value) -> Result<Value, Refusal> {
        let there = self.store.get(id).cloned().ok_or_else(|| not_found(id))?;
        self.fresh(id, &body, &there)?;
        Ok(self.write(id, &there, body))
    }

    /// Only the status, or all but the status.
    fn write(&mut self, id: &Id, there: &Value, mut body: Value) -> Value {
        if self.asked.is_status {
            let status = body["status"].take();
            body = there.clone();
            body["status"] = status;
        } else if id.has_status() {
            without_status(&mut body);
            body["status"] = there["status"].clone();
        }
        let made = self.store.update(id, body);
        self.owned(id, there, &made);
        made
    }

    fn manager(&self) -> String {
        let named = self.asked.parameter("fieldManager");
        // a manager's fields of the object and of its status are apart
        let of = if self.asked.is_status { "/status" } else { "" };
        format!("{}{of}", if named.is_empty() { "unknown" } else { named })
    }

    fn owned(&mut self, id: &Id, before: &Value, after: &Value) {
        let manager = format!("{} by writing", self.manager());
        if self.store.get(id).is_some() {
            apply::written(before, after, self.store.owners.entry(id.clone()).or_default(), &manager);
        }
    }

    fn patch(&mut self, id: &Id, kind: &str, body: &Value) -> Result<Value, Refusal> {
        let there = self.store.get(id).cloned();
        if kind.starts_with("application/apply-patch") {
            return self.apply(id, there, body);
        }
        let there = there.ok_or_else(|| not_found(id))?;
        let mut object = there.clone();
        if kind.starts_with("application/json-patch") {
            patch::json(&mut object, body)?;
        } else {
            self.fresh(id, body, &there)?;
            patch::merge(&mut object, body);
        }
        Ok(self.write(id, &there, object))
    }

    fn apply(&mut self, id: &Id, there: Option<Value>, body: &Value) -> Result<Value, Refusal> {
        let (manager, is_forced) = (self.manager(), self.asked.is("force"));
        let Some(there) = there else {
            if self.asked.is_status {
                return Err(not_found(id));
            }
            let made = self.store.create(id, body.clone(), self.now)?;
            let owners = self.store.owners.entry(id.clone()).or_default();
            apply::apply(made.clone(), body, owners, (&manager, is_forced))?;
            return Ok(made);
        };
        self.fresh(id, body, &there)?;
        let mut body = body.clone();
        if self.asked.is_status {
            body = json!({ "status": body["status"] });
        } else if id.has_status() {
            without_status(&mut body);
        }
        let mut owners = self.store.owners.remove(id).unwrap_or_default();
        let applied = apply::apply(there, &body, &mut owners, (&manager, is_forced));
        self.store.owners.insert(id.clone(), owners);
        Ok(self.store.update(id, applied?))
    }

    fn delete(&mut self, id: &Id, options: &Value) -> Result<Value, Refusal> {
        let there = self.store.get(id).ok_or_else(|| not_found(id))?;
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != there["metadata"]["uid"] {
            let why = format!("Precondition failed: UID in precondition: {uid}");
            return Err(Refusal::new(409, "Conflict", why));
        }
        let is_kept = is_terminating(there);
        let deleted = self.store.delete(id, self.now)?;
        match self.store.get(id).is_some() || is_kept {
            true => Ok(deleted),
            false => Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })),
        }
    }
}
