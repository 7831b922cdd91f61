//! What a program may use.

use serde::{Deserialize, Serialize};

/// Bounds of a process and of each that it starts; none: no bound but the machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Address space.
    pub memory_bytes: Option<u64>,
    /// Processor time; the program is killed when it is used up.
    pub cpu_s: Option<u64>,
    /// Open files and sockets.
    pub descriptors: Option<u64>,
}

impl Bounds {
    /// The narrower of both, one by one.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let narrower = |mine: Option<u64>, other: Option<u64>| mine.into_iter().chain(other).min();
        Self {
            memory_bytes: narrower(self.memory_bytes, other.memory_bytes),
            cpu_s: narrower(self.cpu_s, other.cpu_s),
            descriptors: narrower(self.descriptors, other.descriptors),
        }
    }

    /// The command line that sets the bounds and then becomes the program: the bounds are there before its first instruction,
    /// and its process id is the one that was started.
    #[must_use]
    pub fn around(&self, argv: Vec<String>) -> Vec<String> {
        let kib = self.memory_bytes.map(|bytes| bytes.div_ceil(1024));
        let bounds = [("-v", kib), ("-t", self.cpu_s), ("-n", self.descriptors)];
        let set: String =
            bounds.iter().filter_map(|(flag, most)| Some(format!("ulimit {flag} {} && ", (*most)?))).collect();
        if set.is_empty() {
            return argv;
        }
        let script = format!("{set}exec \"$@\"");
        let shell = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned);
        shell.into_iter().chain(argv).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_bounds_is_started_as_it_is_and_one_with_bounds_becomes_itself() {
        let argv = || vec!["sort".to_owned(), "$HOME".to_owned()];
        assert_eq!(Bounds::default().around(argv()), argv());
        let bounds = Bounds { memory_bytes: Some(2048), descriptors: Some(9), ..Bounds::default() };
        let script = "ulimit -v 2 && ulimit -n 9 && exec \"$@\"";
        assert_eq!(bounds.around(argv()), ["/bin/sh", "-c", script, "sh", "sort", "$HOME"]);
    }

    #[test]
    fn of_two_bounds_the_narrower_holds_whoever_set_it() {
        let asked = Bounds { memory_bytes: Some(2048), cpu_s: Some(9), descriptors: None };
        let owner = Bounds { memory_bytes: Some(1024), cpu_s: Some(10), descriptors: Some(64) };
        let narrower = Bounds { memory_bytes: Some(1024), cpu_s: Some(9), descriptors: Some(64) };
        assert_eq!((asked.within(owner), owner.within(asked)), (narrower, narrower));
        assert_eq!(asked.within(Bounds::default()), asked);
    }
}
