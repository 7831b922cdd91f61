//! Files beside the plan whose records steps send and that are too long for orders. They are looked at before anything starts; agents
//! that send them get them by what is in them (`meshproof_mesh::blobs`), the first one from here and the others from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshproof_mesh::ByteStream;
use meshproof_mesh::blobs::{HeldBlob, serve};
use meshproof_proto::blob::{BlobOrder, RecordsFile, Summing};
use meshproof_proto::id::{Digest, Name};
use meshproof_proto::limits::{BLOB_BYTES, RPC_FRAME_BYTES};
use meshproof_proto::order::{Action, DataSource, Held};
use serde::de::IgnoredAny;
use tokio::task::JoinSet;

use super::limits::{FILE_SOURCES, FILES_SERVED};
use super::outcome::Broken;
use crate::plan::compiled::{Does, Step};
use crate::plan::limits::MAX_BESIDE_BYTES;
use crate::plan::orders::RecordsFiles;
use crate::plan::{Plan, Spanned};

/// Those of a run, and whoever gets them from here.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) of: RecordsFiles,
    /// The folder of the plan.
    dir: PathBuf,
    opened: BTreeMap<Digest, Arc<HeldBlob>>,
    serving: JoinSet<()>,
}

impl Files {
    /// Reads those of a plan to their ends.
    pub(super) async fn look(plan: &Plan, dir: &Path) -> Result<Self, Broken> {
        let wanted = senders(plan);
        let long = plan.held_files.iter().filter(|file| {
            let path = dir.join(&file.value);
            wanted.contains_key(&Held::file(&file.value).name)
                && path.metadata().is_ok_and(|file| file.is_file() && file.len() > MAX_BESIDE_BYTES as u64)
        });
        let long: Vec<(Spanned<String>, PathBuf)> = long.map(|file| (file.clone(), dir.join(&file.value))).collect();
        let read = tokio::task::spawn_blocking(move || {
            let each = long.into_iter().map(|(file, path)| {
                let broken = |why: String| {
                    let why = format!("cannot send the records of `{}`: {why}", file.value);
                    Broken { at: Some(file.span), ..Broken::because(why) }
                };
                look(&path).map(|read| (Held::file(&file.value).name, read)).map_err(broken)
            });
            each.collect::<Result<RecordsFiles, Broken>>()
        });
        let of = read.await.map_err(|error| Broken::because(error.to_string()))??;
        Ok(Self::again(of, dir))
    }

    /// What another orchestrator of the run has read.
    pub(super) fn again(of: RecordsFiles, dir: &Path) -> Self {
        Self { of, dir: dir.to_owned(), ..Self::default() }
    }

    /// Those that an agent is to have, and who gets them beside it.
    pub(super) fn orders(&self, plan: &Plan, agent: &Name) -> Vec<BlobOrder> {
        let senders = senders(plan);
        let orders = self.of.iter().filter_map(|(name, file)| {
            let all: Vec<Name> = senders.get(name)?.iter().cloned().collect();
            let place = all.iter().position(|sender| sender == agent)?;
            let before = all[..place].iter().rev().take(FILE_SOURCES).cloned().collect();
            let after = all[place + 1..].iter().take(FILE_SOURCES).cloned().collect();
            let name = Held::named(name.clone()).path()?.to_owned();
            Some(BlobOrder { blob: file.blob.clone(), name, before, after })
        });
        orders.collect()
    }

    /// Gives chunks to an agent, as long as it asks for them.
    pub(super) fn serve(&mut self, digest: &Digest, stream: ByteStream) {
        while self.serving.try_join_next().is_some() {}
        let held = match self.held(digest) {
            Ok(held) if self.serving.len() < FILES_SERVED => held,
            Ok(_) => return stream.reset("too many get files from here at once"),
            Err(error) => return stream.reset(&format!("the file cannot be read here: {error}")),
        };
        self.serving.spawn(async move {
            if let Err(error) = serve(stream, &held).await {
                tracing::debug!(%error, "an agent that got a file broke off");
            }
        });
    }

    fn held(&mut self, digest: &Digest) -> io::Result<Arc<HeldBlob>> {
        if let Some(held) = self.opened.get(digest) {
            return Ok(Arc::clone(held));
        }
        let found = self.of.iter().find(|(_, file)| file.blob.digest == *digest);
        let (name, file) = found.ok_or_else(|| io::Error::other("the plan has no such file"))?;
        let path = Held::named(name.clone()).path().map(|path| self.dir.join(path)).unwrap_or_default();
        let held = Arc::new(HeldBlob::whole(file.blob.clone(), File::open(path)?));
        self.opened.insert(*digest, Arc::clone(&held));
        Ok(held)
    }
}

/// The agents that send each file's records.
fn senders(plan: &Plan) -> BTreeMap<String, BTreeSet<Name>> {
    let mut senders: BTreeMap<String, BTreeSet<Name>> = BTreeMap::new();
    for step in plan.tests.iter().flat_map(|test| test.all_steps()) {
        if let Some((name, at)) = sends(step) {
            senders.entry(name.to_owned()).or_default().insert(at.clone());
        }
    }
    senders
}

fn sends(step: &Step) -> Option<(&str, &Name)> {
    let Does::Ask(ask) = &step.does else { return None };
    let Action::Stream(stream) = &ask.action else { return None };
    let DataSource::Lines(lines) = &stream.data else { return None };
    Some((&lines.name, &ask.at))
}

/// One line after the other: the file may be larger than memory.
fn look(path: &Path) -> Result<RecordsFile, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut summing, mut line, mut number, mut records, mut bytes) = (Summing::default(), Vec::new(), 0_u64, 0, 0);
    loop {
        line.clear();
        let limit = RPC_FRAME_BYTES as u64 + 1;
        let read =
            io::Read::take(&mut reader, limit).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            break;
        }
        (number, bytes) = (number + 1, bytes + read as u64);
        if read as u64 == limit {
            return Err(format!("line {number} has more than {RPC_FRAME_BYTES} bytes"));
        }
        if bytes > BLOB_BYTES {
            return Err(format!("it has more than {BLOB_BYTES} bytes"));
        }
        summing.add(&line);
        let text = std::str::from_utf8(&line).map_err(|_| format!("line {number} is no text in UTF-8"))?;
        if !text.trim().is_empty() {
            let json = serde_json::from_str::<IgnoredAny>(text);
            json.map_err(|error| format!("line {number} is no JSON: {error}"))?;
            records += 1;
        }
    }
    Ok(RecordsFile { blob: summing.finish(), records })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    #[test]
    fn each_agent_asks_those_before_it_and_a_file_is_read_to_its_end() {
        let streams: String = ["a", "b", "c"]
            .map(|at| format!("      - {{ at: {at}, to: d, stream: {{ data: {{ file: x }}, apply: {{ exec: {{ argv: [x] }} }} }} }}\n"))
            .concat();
        let services = ["a", "b", "c", "d"].map(|name| format!("  {name}: {{ exec: {{ argv: [x] }} }}\n")).concat();
        let text = format!("meshproof: 1\nplan: p\nservices:\n{services}tests:\n  - id: t\n    steps:\n{streams}");
        let plan = check("plan.yaml", text.as_bytes(), &Inputs::default()).plan.expect("a good plan");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        std::fs::write(&path, "{\"n\": 1}\n\n2\n\"three\"").expect("there is room");
        let read = look(&path).expect("records");
        assert_eq!((read.records, read.blob.digest), (3, Digest::of(b"{\"n\": 1}\n\n2\n\"three\"")));
        let files = Files::again([("file x".to_owned(), read)].into(), folder.path());
        let name = |text: &str| text.parse::<Name>().expect("a name");
        let order = |agent: &str| files.orders(&plan, &name(agent)).pop().map(|order| (order.before, order.after));
        assert_eq!(order("a"), Some((vec![], vec![name("b"), name("c")])));
        assert_eq!(order("c"), Some((vec![name("b"), name("a")], vec![])));
        assert_eq!(order("d"), None, "it only receives");
        for (text, why) in [("1\n{", "line 2 is no JSON"), ("\"\u{e9}\"", "")] {
            std::fs::write(&path, text).expect("there is room");
            let told = look(&path).err().unwrap_or_default();
            assert!(told.starts_with(why), "{told}");
        }
        std::fs::write(&path, b"\"\xff\"").expect("there is room");
        assert!(look(&path).expect_err("no text").contains("UTF-8"));
    }
}
