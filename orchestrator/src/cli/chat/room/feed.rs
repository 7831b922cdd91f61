//! What goes on in the run of a room, told by its journal as it is written: the same that a page is read.

use meshproof_proto::id::RunId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::chat::news;
use crate::console::limits::TOLD;
use crate::mesh_file::MeshFile;
use crate::record::{Happening, now_ms};
use crate::report::sanitise;
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
    if record.entry.at_ms < since_ms {
        return None;
    }
    // somebody is waited for, and it may be whoever sits here
    if let Happening::StepBegan(step) = &record.entry.what {
        let text = sanitise::line(step.title.strip_prefix("pause: ")?);
        return Some(format!("    pause {text} (`/resume` lets the run go on)"));
    }
    let said = said.as_ref()?;
    news::line(&record.entry, (said.word, &said.text))
}

#[cfg(test)]
mod tests {
    use meshproof_proto::order::StepKey;

    use super::*;
    use crate::record::{Entry, Record, Section, StepInfo};
    use crate::report::telling;
    use crate::web::wire::SaidLine;

    fn shown(what: Happening) -> Shown {
        let entry = Entry::own(1_000, what);
        let said = telling::said(&entry).map(SaidLine::of);
        Shown { record: Record { n: 1, entry }, said }
    }

    #[test]
    fn a_room_hears_what_comes_after_it_was_entered_and_that_somebody_is_waited_for() {
        let half_way = shown(Happening::Said { text: "half way".to_owned() });
        assert_eq!(said(&half_way, 1_000).as_deref(), Some("      say half way"));
        assert_eq!(said(&half_way, 1_001), None);
        let begun = |title: &str| {
            let key = StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 };
            let (section, title) = (Section::Steps, title.to_owned());
            shown(Happening::StepBegan(StepInfo {
                key,
                section,
                number: 1,
                of: 1,
                id: None,
                title,
                agent: None,
                line: 1,
                optional: false,
            }))
        };
        let pause = said(&begun("pause: look around"), 0);
        assert_eq!(pause.as_deref(), Some("    pause look around (`/resume` lets the run go on)"));
        assert_eq!(said(&begun("GET / to shop"), 0), None);
    }
}
