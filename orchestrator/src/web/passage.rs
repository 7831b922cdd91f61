//! A page's way to the signaling servers of its mesh: to the first that answers, and to one again when that is gone.

use meshproof_mesh::Passage;
use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::tls::Authorities;
use tokio::sync::mpsc;

use super::limits::SIGNALING_AGAIN;
use super::wire::{Signaling, ToPage};
use crate::mesh_file::MeshFile;

/// Carries what is said until the page is gone. `said` is what the page says.
pub(super) async fn carry(file: MeshFile, mut said: mpsc::Receiver<String>, to_page: mpsc::Sender<ToPage>) {
    let proxies = Proxies::default();
    let authorities = match Authorities::named(file.ca.as_deref()) {
        Ok(authorities) => authorities,
        Err(error) => {
            let _ = to_page.send(ToPage::Signaling(Signaling::Down(error.to_string()))).await;
            return;
        }
    };
    loop {
        let mut why = String::new();
        for url in &file.signaling {
            match Passage::to(url, &proxies, &authorities).await {
                Ok(passage) => {
                    // what was meant for the socket before this one
                    while said.try_recv().is_ok() {}
                    match pass(passage, &mut said, &to_page).await {
                        Some(ended) => why = ended,
                        None => return,
                    }
                    break;
                }
                Err(error) => why = error,
            }
        }
        if to_page.send(ToPage::Signaling(Signaling::Down(why))).await.is_err() {
            return;
        }
        tokio::time::sleep(SIGNALING_AGAIN).await;
    }
}

/// Gives why the socket ended; none: the page is gone.
async fn pass(
    mut passage: Passage,
    said: &mut mpsc::Receiver<String>,
    to_page: &mpsc::Sender<ToPage>,
) -> Option<String> {
    to_page.send(ToPage::Signaling(Signaling::Up)).await.ok()?;
    loop {
        tokio::select! {
            heard = passage.heard() => match heard {
                Ok(text) => to_page.send(ToPage::Signaling(Signaling::Heard(text))).await.ok()?,
                Err(ended) => return Some(ended),
            },
            text = said.recv() => match passage.say(text?).await {
                Ok(()) => {}
                Err(ended) => return Some(ended),
            },
        }
    }
}
