//! How and where a run was started, for its journal.

use crate::plan::Source;
use crate::record::{Happening, Invocation};

/// What is told right after the run has begun.
pub(super) fn invoked(source: &Source, arguments: &[String]) -> Happening {
    let (arguments, plan) = (arguments.to_vec(), source.text().to_owned());
    Happening::Invoked(Box::new(Invocation { arguments, plan, ..here() }))
}

/// This program and this machine. What the machine does not say is left empty: nothing depends on it.
pub(crate) fn here() -> Invocation {
    let directory = std::env::current_dir().map(|directory| directory.to_string_lossy().into_owned());
    Invocation {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        system: system(),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_bytes: std::fs::read_to_string("/proc/meminfo").map_or(0, |text| memory_bytes(&text)),
        directory: directory.unwrap_or_default(),
        ..Invocation::default()
    }
}

fn system() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (name, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{name} {}, {architecture}", kernel.trim())
}

/// Of the text of `/proc/meminfo`.
fn memory_bytes(text: &str) -> u64 {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|total| total.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_kernel_says() {
        assert_eq!(memory_bytes("MemTotal:       24689340 kB\nMemFree: 1 kB\n"), 24_689_340 * 1024);
        assert_eq!(memory_bytes("nothing of it"), 0);
    }
}
