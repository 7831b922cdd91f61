//! Tells the addresses of its namespace, now and each time they change.

use meshproof_mesh::addresses::{AddressWatcher, Scope};

use crate::wire::{self, Event};

pub async fn play() -> std::io::Result<()> {
    let (watcher, mut addresses) = AddressWatcher::open(Scope::Network)?;
    let watching = tokio::spawn(watcher.run());
    let mut commands = wire::commands();
    wire::say(Event::Started);
    loop {
        let now = addresses.borrow_and_update().iter().copied().collect();
        wire::say(Event::Addresses { addresses: now });
        tokio::select! {
            changed = addresses.changed() => if changed.is_err() { break },
            None = commands.recv() => return Ok(()),
        }
    }
    watching.await.expect("the watcher does not panic")
}
