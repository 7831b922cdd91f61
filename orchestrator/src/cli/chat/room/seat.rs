//! A place in a mesh: this process's own, or a page's.

use meshproof_proto::id::Name;
use meshproof_proto::rpc::{AgentClient, RoomNews};

use crate::console::{Console, Silent};
use crate::mesh_file::MeshFile;
use crate::web::through::Through;

/// The place.
pub(super) enum Seat {
    Own(Box<Console>),
    Page(Box<Through>),
}

impl Seat {
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Own(console) => console.name(),
            Self::Page(page) => page.name(),
        }
    }

    pub(super) fn file(&self) -> &MeshFile {
        match self {
            Self::Own(console) => console.file(),
            Self::Page(page) => page.file(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Own(console) => console.names(),
            Self::Page(page) => page.names(),
        }
    }

    pub(super) fn agents_named(&self, wanted: &str) -> Vec<(Name, AgentClient)> {
        match self {
            Self::Own(console) => console.agents_named(wanted),
            Self::Page(page) => page.agents_named(wanted),
        }
    }

    pub(super) fn why_missing(&self, name: &str) -> Option<String> {
        match self {
            Self::Own(console) => console.why_missing(name),
            Self::Page(page) => page.why_missing(name),
        }
    }

    /// Agents that ought to be there and are not linked, each with the reason.
    pub(super) fn missing(&self) -> Vec<String> {
        let said = |silent: Silent| format!("{}: {}", silent.name, silent.why);
        match self {
            Self::Own(console) => console.missing().into_iter().map(said).collect(),
            Self::Page(page) => page.missing().into_iter().map(said).collect(),
        }
    }

    /// Waits for links to the agents that ought to be there, as long as they may take. A place of this process has them, or not.
    pub(super) async fn settle(&self) {
        match self {
            Self::Own(_) => {}
            Self::Page(page) => page.settle().await,
        }
    }

    /// Waits for links to the other people, a moment. A page has them, or not.
    pub(super) async fn meet(&mut self) {
        match self {
            Self::Own(console) => console.meet().await,
            Self::Page(_) => {}
        }
    }

    /// Tells the other people; gives how many heard it.
    pub(super) async fn tell(&mut self, news: &RoomNews) -> usize {
        match self {
            Self::Own(console) => console.tell(news).await,
            Self::Page(page) => page.tell(news).await,
        }
    }

    /// Does something, attending to the mesh meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        match self {
            Self::Own(console) => console.during(work).await,
            Self::Page(_) => work.await,
        }
    }

    pub(super) async fn leave(self) {
        match self {
            Self::Own(console) => console.leave().await,
            Self::Page(_) => {}
        }
    }
}
