//! What the process holds at a quiet moment.

use std::time::Duration;

use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub tasks: usize,
    pub descriptors: usize,
    pub sockets: usize,
    pub resident: usize,
}

/// Closing goes on for a while after everybody left: as long as counts fall this often, it is not quiet.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const QUIET_LOOKS: u32 = 6;

impl Sample {
    fn now() -> Self {
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            descriptors: process::descriptors(),
            sockets: process::sockets(),
            resident: process::resident_bytes(),
        }
    }

    /// The counts once they have fallen as far as they do.
    pub async fn settled() -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let (mut least, mut quiet) = (Self::now(), 0);
        while quiet < QUIET_LOOKS {
            looks.tick().await;
            let next = Self::now();
            let fell = next.tasks < least.tasks || next.descriptors < least.descriptors;
            quiet = if fell { 0 } else { quiet + 1 };
            least = Self {
                tasks: next.tasks.min(least.tasks),
                descriptors: next.descriptors.min(least.descriptors),
                sockets: next.sockets.min(least.sockets),
                resident: next.resident,
            };
        }
        least
    }
}
