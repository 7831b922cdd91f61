//! One tab: its socket, and what goes on for it while that is open.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures::future::BoxFuture;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use meshproof_proto::glob;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::trust::Trust;
use meshproof_proto::version::PROTOCOL;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Pass;
use super::limits::{ASKED, HELLO_WITHIN, PING_EVERY, SILENCE, WAITING};
use super::stand_in::{Page, StandIn};
use super::through::Through;
use super::wire::{FromPage, Place, ToPage, Trusted, Welcome, Wish};
use super::{feed, passage};
use crate::console::Heard;
use crate::console::limits::HEARD;
use crate::membership::name_of;

/// What a person at a page asks of whoever reads lines.
#[derive(Debug)]
pub enum Asked {
    Line(String),
    Complete { number: u64, line: String },
}

/// A person at a page, for whoever reads lines.
#[derive(Debug)]
pub struct Seat {
    pub pass: Pass,
    pub mesh: Through,
    pub asked: mpsc::Receiver<Asked>,
    /// What other people say and do.
    pub heard: mpsc::Receiver<Heard>,
    pub to_page: mpsc::Sender<ToPage>,
}

/// Reads the lines of a person until there are no more.
pub type ReadsLines = Arc<dyn Fn(Seat) -> BoxFuture<'static, ()> + Send + Sync>;

/// What all tabs share.
pub(super) struct House {
    pub passes: Vec<Pass>,
    pub person: String,
    pub addresses: Vec<IpAddr>,
    pub reads_lines: ReadsLines,
    pub readers: TaskTracker,
    pub stop: CancellationToken,
}

/// Serves a tab until its socket ends, or the process does.
pub(super) async fn serve(socket: WebSocket, house: Arc<House>) {
    let (mut sink, mut stream) = socket.split();
    let first = timeout(HELLO_WITHIN, word(&mut stream)).await;
    let Ok(Some(FromPage::Hello { token, instance, name, after })) = first else { return };
    let admitted = admit(&house, &token, name);
    let (pass, name) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => {
            let _ = say(&mut sink, &ToPage::Refused(why)).await;
            let _ = sink.close().await;
            return;
        }
    };
    let (to_page, outgoing) = mpsc::channel(WAITING);
    let mut tab = Tab::new((pass, name, instance), &house, to_page);
    let welcome = tab.welcome();
    // whatever goes on for the tab ends with this
    let mut tasks = JoinSet::new();
    let said = tab.begin(after, &mut tasks);
    let written = async {
        if say(&mut sink, &ToPage::Welcome(Box::new(welcome))).await.is_ok() {
            write(&mut sink, outgoing).await;
        }
    };
    tokio::select! {
        () = written => {}
        () = tab.read(&mut stream, said) => {}
        () = house.stop.cancelled() => {}
    }
    let _ = timeout(HELLO_WITHIN, sink.close()).await;
}

/// Who comes in with this token, and under which name.
fn admit(house: &House, token: &str, name: Option<Name>) -> Result<(Pass, Name), String> {
    let pass = house.passes.iter().find(|pass| pass.fits(token)).ok_or_else(|| {
        "this token is of no use here: it ends with the process that printed it; open the URL that `meshproof web` prints now"
            .to_owned()
    })?;
    let pattern = pass.file.token.granted().map_err(|error| error.to_string())?.names;
    // one that comes back is who it was
    let before = name.filter(|name| glob::matches(&pattern, name.as_str()));
    let name = match before {
        Some(before) => before,
        None => {
            name_of(&pattern, &house.person).parse().map_err(|error: meshproof_proto::id::BadName| error.to_string())?
        }
    };
    Ok((pass.clone(), name))
}

/// What is known of one tab.
struct Tab {
    pass: Pass,
    name: Name,
    instance: PeerId,
    house: Arc<House>,
    mesh: Through,
    trust: Trust,
    to_page: mpsc::Sender<ToPage>,
    stand_in: Option<StandIn>,
}

/// Where words of the page go.
struct Said {
    signaling: mpsc::Sender<String>,
    asked: mpsc::Sender<Asked>,
    heard: mpsc::Sender<Heard>,
}

impl Tab {
    fn new((pass, name, instance): (Pass, Name, PeerId), house: &Arc<House>, to_page: mpsc::Sender<ToPage>) -> Self {
        let mesh = Through::new(name.clone(), pass.file.clone(), to_page.clone());
        let mut trust = Trust::new(pass.file.mesh.clone(), pass.file.token.root);
        if let Err(error) = trust.learn(&pass.file.token.news) {
            tracing::warn!(%error, "the news of the token are refused");
        }
        Self { pass, name, instance, house: Arc::clone(house), mesh, trust, to_page, stand_in: None }
    }

    fn welcome(&self) -> Welcome {
        let file = &self.pass.file;
        Welcome {
            version: env!("CARGO_PKG_VERSION"),
            protocol: PROTOCOL,
            mesh: file.mesh.clone(),
            run: file.run.clone(),
            name: self.name.clone(),
            role: self.pass.role,
            chain: self.pass.claim(&self.name, self.instance),
            trust: self.trusted(),
            agents: file.agents.clone(),
        }
    }

    fn trusted(&self) -> Trusted {
        Trusted { roots: self.trust.line().to_vec(), revoked: self.trust.revoked().cloned().unwrap_or_default() }
    }

    /// Begins what goes on for the tab.
    fn begin(&self, after: Option<Place>, tasks: &mut JoinSet<()>) -> Said {
        let (signaling, to_signaling) = mpsc::channel(WAITING);
        let (asked, to_reader) = mpsc::channel(ASKED);
        let (heard, to_hear) = mpsc::channel(HEARD);
        let file = self.pass.file.clone();
        tasks.spawn(feed::tell(file.clone(), after, self.to_page.clone()));
        tasks.spawn(passage::carry(file, to_signaling, self.to_page.clone()));
        // whoever reads lines ends by itself when no more come, and has what was begun there end first
        self.house.readers.spawn((self.house.reads_lines)(Seat {
            pass: self.pass.clone(),
            mesh: self.mesh.clone(),
            asked: to_reader,
            heard: to_hear,
            to_page: self.to_page.clone(),
        }));
        Said { signaling, asked, heard }
    }

    /// Takes what the page says, until it says no more.
    async fn read(&mut self, stream: &mut SplitStream<WebSocket>, said: Said) {
        while let Some(word) = word(stream).await {
            match word {
                FromPage::Signaling(text) => drop(said.signaling.send(text).await),
                FromPage::StandIn(wish) => self.stand_in(wish, &said.heard).await,
                FromPage::Frame { peer, frame } => {
                    if let Some(stand_in) = &self.stand_in {
                        stand_in.frame(peer, frame).await;
                    }
                }
                FromPage::Linked { peer, name } => self.mesh.link(peer, name),
                FromPage::Unlinked { peer } => self.mesh.unlink(&peer),
                FromPage::Did { peer, call, reply } => self.mesh.did(&peer, call, reply),
                // who says more than can be shown is not heard
                FromPage::Heard { by, news } => drop(said.heard.try_send(Heard { by, news })),
                FromPage::Told { number, heard } => self.mesh.told(number, heard),
                FromPage::Line(line) => drop(said.asked.send(Asked::Line(line)).await),
                FromPage::Complete { number, line } => drop(said.asked.try_send(Asked::Complete { number, line })),
                FromPage::News(news) => self.learn(&news).await,
                FromPage::Hello { .. } => return,
            }
        }
    }

    async fn stand_in(&mut self, wish: Wish, heard: &mpsc::Sender<Heard>) {
        if wish == Wish::NotNeeded {
            self.stand_in = None;
            return;
        }
        if self.stand_in.is_some() {
            return;
        }
        let pattern = self.pass.file.token.granted().map(|grant| grant.names).unwrap_or_default();
        let name = name_of(&pattern, self.name.as_str().trim_start_matches("console-")).parse();
        let joined = name.map_err(|error: meshproof_proto::id::BadName| error.to_string()).and_then(|name| {
            let page = Page { peer: self.instance, to_page: self.to_page.clone(), heard: heard.clone() };
            StandIn::join((&self.pass.file, name), self.house.addresses.clone(), page)
        });
        match joined {
            Ok(stand_in) => self.stand_in = Some(stand_in),
            Err(why) => drop(self.to_page.send(ToPage::StandIn(Err(why))).await),
        }
    }

    async fn learn(&mut self, news: &meshproof_proto::trust::RootNews) {
        match self.trust.learn(news) {
            Ok(true) => drop(self.to_page.send(ToPage::Trust(self.trusted())).await),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "news of the root were refused"),
        }
    }
}

/// The next word of the page; none when it is gone, is silent, or says what cannot be read.
async fn word(stream: &mut SplitStream<WebSocket>) -> Option<FromPage> {
    loop {
        match timeout(SILENCE, stream.next()).await.ok()??.ok()? {
            Message::Text(text) => match serde_json::from_str(text.as_str()) {
                Ok(word) => return Some(word),
                Err(error) => {
                    tracing::warn!(%error, "a page says what cannot be read");
                    return None;
                }
            },
            Message::Binary(_) | Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

/// Writes what is for the page, and asks for signs of life.
async fn write(sink: &mut SplitSink<WebSocket, Message>, mut outgoing: mpsc::Receiver<ToPage>) {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            Some(word) = outgoing.recv() => say(sink, &word).await,
            _ = pings.tick() => sink.send(Message::Ping(Default::default())).await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn say(sink: &mut SplitSink<WebSocket, Message>, word: &ToPage) -> Result<(), axum::Error> {
    let text = serde_json::to_string(word).map_err(axum::Error::new)?;
    sink.send(Message::text(text)).await
}
