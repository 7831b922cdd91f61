//! The chat itself: who is asked, what goes on, what is shown of it.

mod doing;
mod feed;
mod joined;
mod seat;
mod shown;
mod whom;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use meshproof_mesh::MeshEvent;
use meshproof_proto::verdict::Exit;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::mesh::MeshArgs;
use super::terminal::Names;
use super::tree::{self, Asked};
use super::voice::Voice;
use crate::chat::answers::Answer;
use crate::chat::filter::Filter;
use crate::chat::line::{self, Line};
use crate::chat::notes::Notes;
use crate::chat::threads::{ThreadId, Threads};
use crate::console::{Heard, limits};
use crate::report::sanitise;
use crate::report::table::folded;
use crate::web::through::Through;
use feed::Feed;
use joined::{Joined, Waits};

/// Columns of the word of a line, and the gap behind it.
const BEHIND_THE_WORD: usize = 10;

/// Where a chat takes place.
pub(super) struct Room {
    joined: Joined,
    heard: mpsc::Receiver<Heard>,
    threads: Threads,
    notes: Notes,
    going: JoinSet<Ended>,
    stops: BTreeMap<ThreadId, CancellationToken>,
    voice: Voice,
    /// Which lines of what goes on are shown.
    filter: watch::Sender<Filter>,
    live: bool,
    /// What the run's journal tells a person at a terminal.
    feed: Option<Feed>,
    /// What is known by name, for whoever completes it.
    names: Names,
    allowed: Allowed,
}

/// What of this machine's commands may be done here. What agents do is for them to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Everything,
    /// Only those that look.
    Looks,
}

/// A thread has ended.
pub(super) struct Ended {
    thread: ThreadId,
    line: String,
    answer: Answer,
    did: Did,
}

/// What it was.
enum Did {
    /// A look, or a process that has shown itself.
    Nothing,
    /// Steps beside the run, in the plan language; with the expectation that somebody gave, or none.
    Steps(Vec<Value>),
}

/// What comes after a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Came(Exit),
    /// Somebody leaves.
    Over,
}

/// What a line has begun.
enum Begun {
    Next(Next),
    Goes(ThreadId),
}

/// What can happen while a person thinks.
pub(super) enum Happened {
    Mesh(Option<Box<MeshEvent>>),
    Heard(Heard),
    Ended(Box<Ended>),
    /// The run has come to something.
    News(Option<String>),
    /// It is time to look for a mesh.
    Looked,
}

impl Room {
    pub(super) fn new(mesh: MeshArgs, person: String) -> Self {
        let (ear, heard) = mpsc::channel(limits::HEARD);
        Self::of(Joined::new(mesh, person, ear), heard, Allowed::Everything)
    }

    /// Of a person at a page, who hears what the page hears.
    pub(super) fn through(mesh: MeshArgs, page: Through, (heard, allowed): (mpsc::Receiver<Heard>, Allowed)) -> Self {
        // nobody says anything here: this process is not in the mesh
        let (ear, _) = mpsc::channel(1);
        Self::of(Joined::through(mesh, page, ear), heard, allowed)
    }

    fn of(joined: Joined, heard: mpsc::Receiver<Heard>, allowed: Allowed) -> Self {
        Self {
            joined,
            heard,
            threads: Threads::default(),
            notes: Notes::default(),
            going: JoinSet::new(),
            stops: BTreeMap::new(),
            voice: Voice::Outputs,
            filter: watch::Sender::default(),
            live: false,
            feed: None,
            names: Names::default(),
            allowed,
        }
    }

    /// What is known by name, as it changes.
    pub(super) fn names(&self) -> Names {
        Arc::clone(&self.names)
    }

    /// A person sits here and is spoken to like this; goes on while lines come.
    pub(super) fn speak(&mut self, voice: Voice) {
        self.live = true;
        self.voice = voice;
    }

    /// A page is left by closing it.
    pub(super) fn say_goodbye(&self) {
        self.voice.note("close the tab to leave; the run goes on without it");
    }

    /// As [`speak`](Self::speak), and says who is there.
    pub(super) async fn greet(&mut self, voice: Voice) {
        self.speak(voice);
        let text = self.joined.greeting().await;
        self.voice.note(&text);
        if self.joined.here_mut().is_some() {
            // for completion: whoever asks again is told why there are none
            let _ = Box::pin(self.joined.labels()).await;
        }
        self.learn();
    }

    /// What goes on ends with the chat: answers of agents are in the journal; processes are interrupted, and waited for, as a run has to
    /// clean up behind itself.
    pub(super) async fn leave(mut self) {
        self.stops.values().for_each(CancellationToken::cancel);
        if !self.stops.is_empty() {
            let those: Vec<String> = self.stops.keys().map(ToString::to_string).collect();
            self.voice.note(&format!("waiting for {} to end", those.join(", ")));
        }
        while !self.stops.is_empty()
            && let Some(ended) = self.going.join_next().await
        {
            if let Ok(ended) = ended {
                self.stops.remove(&ended.thread);
            }
        }
        self.joined.leave().await;
    }

    /// A line, done to its end.
    pub(super) async fn whole(&mut self, line: &str) -> Next {
        let thread = match self.take(line).await {
            Begun::Next(next) => return next,
            Begun::Goes(thread) => thread,
        };
        loop {
            let happened = self.next().await;
            let exit = match &happened {
                Happened::Ended(ended) if ended.thread == thread => Some(ended.answer.exit),
                _ => None,
            };
            self.took(happened).await;
            if let Some(exit) = exit {
                return Next::Came(exit);
            }
        }
    }

    /// A line, begun; what it comes to is shown when it has.
    pub(super) async fn begin(&mut self, line: &str) -> Next {
        let begun = self.take(line).await;
        self.learn();
        match begun {
            Begun::Next(next) => next,
            Begun::Goes(_) => Next::Came(Exit::Passed),
        }
    }

    /// Names that may be written next.
    pub(super) fn learn(&mut self) {
        let known = self.joined.known();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = known;
        self.listen();
    }

    /// Has the run of the mesh that it is in told, to a person at a terminal. A page reads the journal itself.
    fn listen(&mut self) {
        let file = self.joined.here_mut().filter(|_| self.live).map(|seat| seat.file().clone());
        let Some(file) = file.filter(|_| !matches!(self.voice, Voice::Page(_))) else { return };
        if self.feed.as_ref().is_none_or(|feed| !feed.is_of(&file)) {
            self.feed = Some(Feed::begin(&file));
        }
    }

    /// Says what the run came to, but where a command shows all of it.
    fn news(&self, line: &str) {
        let shows_all =
            |line: &str| ["/attach", "/run", "/rerun"].iter().any(|command| line.trim_start().starts_with(command));
        let is_shown = self.threads.going().any(|(_, thread)| shows_all(&thread.line));
        if !is_shown && self.filter.borrow().shows(line) {
            let folded = |line: &str| folded(line, (self.voice.columns(), BEHIND_THE_WORD)) + "\n";
            self.voice.result(&line.lines().map(folded).collect::<String>());
        }
    }

    async fn take(&mut self, text: &str) -> Begun {
        match line::parse(text) {
            Ok(Line::Nothing) => Begun::Next(Next::Came(Exit::Passed)),
            Ok(Line::Words(words)) => Box::pin(self.say(words)).await,
            Ok(Line::Command(words)) => Box::pin(self.command(text, words)).await,
            Ok(Line::To { agents, words }) => match tree::verb(&words) {
                Ok(verb) => Box::pin(self.to(text, &agents, &verb)).await,
                Err(asked) => self.told(asked),
            },
            Ok(Line::Of { run, mut words }) => {
                let at = words.len().min(1);
                if words.is_empty() {
                    words.push("show".to_owned());
                }
                words.insert(at.max(1), run);
                Box::pin(self.command(text, words)).await
            }
            Err(error) => self.refuse(&error, Exit::Usage),
        }
    }

    fn told(&self, asked: Asked) -> Begun {
        let Asked::Told { text, exit } = asked else { return Begun::Next(Next::Came(Exit::Passed)) };
        match exit {
            Exit::Passed => self.voice.result(&text),
            _ => self.voice.note(text.trim_end()),
        }
        Begun::Next(Next::Came(exit))
    }

    /// Nothing was done, and why.
    fn refuse(&self, why: &dyn std::fmt::Display, exit: Exit) -> Begun {
        self.voice.note(&format!("meshproof: {}", sanitise::block(why.to_string().trim_end())));
        Begun::Next(Next::Came(exit))
    }

    /// The next thing that happens; can be given up.
    pub(super) async fn next(&mut self) -> Happened {
        let waits = if self.live { Waits::ForAMesh } else { Waits::ForNothing };
        let going = async {
            loop {
                match self.going.join_next().await {
                    None => std::future::pending().await,
                    Some(Ok(ended)) => return ended,
                    Some(Err(error)) => tracing::error!(%error, "a thread of the chat ended badly"),
                }
            }
        };
        let news = async {
            match &mut self.feed {
                Some(feed) => feed.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What was heard before an end comes before it.
            biased;
            Some(heard) = self.heard.recv() => Happened::Heard(heard),
            ended = going => Happened::Ended(Box::new(ended)),
            news = news => Happened::News(news),
            happened = self.joined.next(waits) => happened,
        }
    }

    /// Takes what has happened.
    pub(super) async fn took(&mut self, happened: Happened) {
        match happened {
            Happened::Mesh(event) => self.joined.took(event).await,
            Happened::Heard(heard) => self.hear(&heard),
            Happened::Ended(ended) => self.ended(*ended).await,
            Happened::News(Some(line)) => self.news(&line),
            // the journal cannot be read on; a line joins the next run, and listens to that
            Happened::News(None) => self.feed = None,
            Happened::Looked => {
                if let Some(text) = self.joined.look_again().await {
                    self.learn();
                    self.voice.note(&text);
                }
            }
        }
    }
}
