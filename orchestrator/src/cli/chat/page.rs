//! A chat whose person sits at a page.

use std::sync::{Arc, PoisonError};

use futures::future::FutureExt as _;

use super::room::{Allowed, Next, Room};
use super::tree;
use super::voice::{PageVoice, Voice};
use crate::chat::complete::{Candidate, complete};
use crate::cli::mesh::{LocalAddresses, MeshArgs};
use crate::web::server::{Asked, ReadsLines, Seat};
use crate::web::wire::{ToPage, Word};

/// How lines of pages are read: as any chat's.
pub(in crate::cli) fn reads_lines(local: LocalAddresses) -> ReadsLines {
    Arc::new(move |seat| read(local.clone(), seat).boxed())
}

async fn read(local: LocalAddresses, seat: Seat) {
    let Seat { pass, mesh, mut asked, heard, to_page } = seat;
    let allowed = if pass.commands() { Allowed::Everything } else { Allowed::Looks };
    let args = MeshArgs { mesh: Some(pass.path.to_string_lossy().into_owned()), local };
    let mut room = Room::through(args, mesh, (heard, allowed));
    room.speak(Voice::Page(PageVoice::new(to_page.clone())));
    let (names, trees) = (room.names(), tree::trees());
    loop {
        let happened = tokio::select! {
            asked = asked.recv() => match asked {
                Some(Asked::Line(line)) => {
                    if let Next::Over = room.begin(&line).await {
                        room.say_goodbye();
                    }
                    continue;
                }
                Some(Asked::Complete { number, line }) => {
                    room.learn();
                    let known = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let found = complete(&line, &known, &trees);
                    if to_page.send(candidates(number, &line, found)).await.is_err() {
                        break;
                    }
                    continue;
                }
                None => break,
            },
            happened = room.next() => happened,
        };
        room.took(happened).await;
    }
    room.leave().await;
}

/// Where they stand is counted as scripts of a page count: in units of UTF-16.
fn candidates(number: u64, line: &str, found: Vec<Candidate>) -> ToPage {
    let from = found.first().map_or(line.len(), |first| first.from);
    let from = line.get(..from).unwrap_or(line).encode_utf16().count();
    let words = found.into_iter().map(|Candidate { word, about, .. }| Word { word, about }).collect();
    ToPage::Candidates { number, from, words }
}
