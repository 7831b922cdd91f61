//! What goes on in the run of a room, told by its journal as it is written: the same that a page is read.

use meshproof_proto::id::RunId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::chat::news;
use crate::console::limits::TOLD;
use crate::mesh_file::MeshFile;
use crate::record::now_ms;
use crate::web::feed;
use crate::web::wire::{Shown, ToPage};

/// The journal of one run, or of whatever run comes in a mesh of one's own.
pub(super) struct Feed {
    of: (RunIdOrMesh, u64),
    told: mpsc::Receiver<ToPage>,
    /// Lines of a message that are not said yet.
    waiting: std::vec::IntoIter<String>,
    _reading: AbortOnDropHandle<()>,
}

/// Whose news it is.
type RunIdOrMesh = Result<RunId, String>;

fn of(file: &MeshFile) -> RunIdOrMesh {
    file.run.clone().ok_or_else(|| file.mesh.to_string())
}

impl Feed {
    /// From now on.
    pub(super) fn begin(file: &MeshFile) -> Self {
        let (to_room, told) = mpsc::channel(TOLD);
        let reading = tokio::spawn(feed::tell(file.clone(), None, to_room));
        let (of, waiting) = ((of(file), now_ms()), Vec::new().into_iter());
        Self { of, told, waiting, _reading: AbortOnDropHandle::new(reading) }
    }

    /// Whether it is of this mesh, and of this run of it.
    pub(super) fn is_of(&self, file: &MeshFile) -> bool {
        self.of.0 == of(file)
    }

    /// The next line, once there is one; none: there will be no more. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.waiting.next() {
                return Some(line);
            }
            match self.told.recv().await? {
                ToPage::Records(records) => {
                    let since = self.of.1;
                    let lines: Vec<String> = records.iter().filter_map(|shown| said(shown, since)).collect();
                    self.waiting = lines.into_iter();
                }
                ToPage::BrokeOff(why) => return Some(format!("     note {why}")),
                // that there is no journal to read on this machine is no news of the run
                _ => {}
            }
        }
    }
}

/// What had happened before somebody came is not said again.
fn said(Shown { record, said }: &Shown, since_ms: u64) -> Option<String> {
    let said = said.as_ref().filter(|_| record.entry.at_ms >= since_ms)?;
    news::line(&record.entry, (said.word, &said.text))
}
