//! Which cores a process may run on. The scheduler leaves two processes that call each other on one core or on two, for as long as
//! they live; on one of them a call wakes no other core, which is most of what a small call costs. So a bench says which it is.

use std::process::Command;

/// The cores that this process may use, as taskset writes them.
pub struct Cores {
    allowed: String,
    near: String,
    far: String,
}

impl Cores {
    /// The first and the last of those that this process may use. `None` where it has only one.
    pub fn two() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let allowed = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
        let mut numbers = allowed.split([',', '-']);
        let near = numbers.next()?.to_owned();
        let far = numbers.next_back()?.to_owned();
        Some(Self { allowed, near, far })
    }

    /// Moves every thread of this process and of the other: to one core, or to a core each.
    pub fn apart(&self, other: u32) {
        keep(std::process::id(), &self.near);
        keep(other, &self.far);
    }

    pub fn together(&self, other: u32) {
        keep(std::process::id(), &self.near);
        keep(other, &self.near);
    }
}

impl Drop for Cores {
    /// What else this process measures has all of its cores again.
    fn drop(&mut self) {
        keep(std::process::id(), &self.allowed);
    }
}

/// Threads that are started later stay where the thread is that starts them.
fn keep(process: u32, cores: &str) {
    let mut command = Command::new("taskset");
    let moved = command.args(["--all-tasks", "--cpu-list", "--pid", cores, &process.to_string()]).output();
    let moved = moved.expect("taskset of util-linux is installed");
    assert!(moved.status.success(), "taskset: {}", String::from_utf8_lossy(&moved.stderr));
}
