//! Takes processor time from whoever is as nice as this.

use crate::wire::{self, Event};

pub async fn play(threads: usize) -> std::io::Result<()> {
    // threads inherit it
    rustix::process::setpriority_process(None, super::NICE)?;
    for _ in 0..threads {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    wire::say(Event::Started);
    let mut commands = wire::commands();
    while commands.recv().await.is_some() {}
    Ok(())
}
