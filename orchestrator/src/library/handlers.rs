//! Functions of a test that answer for stubs of its plan.
//!
//! The agent that plays the stub asks for each call that no route takes, over loopback; so calls are counted, disturbed and told
//! like those that routes answer.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use meshproof_proto::codec::Codec;
use meshproof_proto::limits::RPC_FRAME_BYTES;
use meshproof_proto::order::Protocol;
use meshproof_proto::stub::{HandlerAnswer, HandlerCall};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::NotRun;
use crate::plan::Plan;

/// Calls of one stub that its handler answers at once; the next ones wait. A test's process has other things to do too.
pub const HANDLED_AT_ONCE: usize = 16;

/// A call to a stub.
#[derive(Debug, Clone)]
pub struct Call(HandlerCall);

/// What a handler answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    /// `POST`
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// Without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What stands behind the `?`, as it came.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.0.query.as_deref()
    }

    /// The first of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.0.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The host that it is for.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// The server name that the client asked for, over TLS.
    #[must_use]
    pub fn tls_name(&self) -> Option<&str> {
        self.0.tls_name.as_deref()
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body, if it is JSON; null otherwise.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.body).unwrap_or_default()
    }
}

impl Reply {
    /// Without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn json(self, json: &Value) -> Self {
        self.header("content-type", "application/json").body(json.to_string())
    }
}

/// A function behind one stub.
#[derive(Clone)]
pub(super) struct Handler(Arc<dyn Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync>);

impl Handler {
    pub(super) fn of<F, Answer>(handler: F) -> Self
    where
        F: Fn(Call) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Reply> + Send + 'static,
    {
        Self(Arc::new(move |call| handler(call).boxed()))
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a handler")
    }
}

/// Handlers that can be asked, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Open {
    _servers: Vec<AbortOnDropHandle<()>>,
    panics: Arc<Mutex<Vec<String>>>,
}

impl Open {
    /// What handlers panicked with, in order.
    pub(super) fn panics(&self) -> Vec<String> {
        // A text is pushed as a whole, so a holder that panicked left a good list.
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Lets the plan's stubs ask these.
pub(super) async fn open(handlers: &BTreeMap<String, Handler>, plan: &mut Plan) -> Result<Open, NotRun> {
    let mut open = Open::default();
    for (name, handler) in handlers {
        let known = || plan.stubs.iter().map(|stub| stub.order.name.clone()).collect();
        let Some(at) = plan.stubs.iter().position(|stub| stub.order.name == *name) else {
            return Err(NotRun::NoSuchStub { stub: name.clone(), known: known() });
        };
        let order = &mut plan.stubs[at].order;
        if order.protocol != Protocol::Http {
            return Err(NotRun::NoHttp { stub: name.clone() });
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(NotRun::Listen)?;
        order.handler = Some(listener.local_addr().map_err(NotRun::Listen)?.to_string());
        let server = serve(listener, name.clone(), handler.clone(), Arc::clone(&open.panics));
        open._servers.push(AbortOnDropHandle::new(tokio::spawn(server)));
    }
    Ok(open)
}

async fn serve(listener: TcpListener, stub: String, handler: Handler, panics: Arc<Mutex<Vec<String>>>) {
    let room = Arc::new(Semaphore::new(HANDLED_AT_ONCE));
    let mut calls = JoinSet::new();
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        // Who cannot take connections any more leaves the stub without answers, which fails the test.
        let Ok((stream, _)) = listener.accept().await else { return };
        while calls.try_join_next().is_some() {}
        let (stub, handler, panics) = (stub.clone(), handler.clone(), Arc::clone(&panics));
        calls.spawn(async move {
            if let Err(error) = answer(stream, &stub, (handler, panics)).await {
                tracing::warn!(stub, %error, "a call could not be handed to its handler");
            }
            drop(permit);
        });
    }
}

async fn answer(
    mut stream: TcpStream,
    stub: &str,
    (handler, panics): (Handler, Arc<Mutex<Vec<String>>>),
) -> anyhow::Result<()> {
    let mut asked = Vec::new();
    (&mut stream).take(RPC_FRAME_BYTES as u64 + 1).read_to_end(&mut asked).await?;
    let call = Call(Codec::Bincode.decode(&asked)?);
    // The function may panic before there is a future, too.
    let handled = AssertUnwindSafe(async move { (handler.0)(call).await }).catch_unwind().await;
    let answer = match handled {
        Ok(Reply { status, headers, body }) => HandlerAnswer::Reply { status, headers, body },
        Err(panic) => {
            let text = text(&*panic);
            let said = format!("the handler of stub `{stub}` panicked: {text}");
            panics.lock().unwrap_or_else(PoisonError::into_inner).push(said);
            HandlerAnswer::Panicked(text)
        }
    };
    stream.write_all(&Codec::Bincode.encode(&answer)?).await?;
    stream.shutdown().await?;
    Ok(())
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text").to_owned()
}
