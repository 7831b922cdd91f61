//! The processes of a service, as /proc tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use meshproof_proto::event::Usage;

use super::usage::Sample;

/// The kernel tells processor time in hundredths of a second to every program (USER_HZ), whatever its own clock is.
const TICKS_PER_S: u64 = 100;

/// Process groups, and who was in them when it was looked last.
#[derive(Debug, Default)]
pub(super) struct Processes {
    groups: BTreeSet<i32>,
    members: Vec<i32>,
    strangers: Strangers,
}

/// Processes of the machine that are in none of the groups: with a hundred agents there are a thousand, and each agent would read of each
/// of them at each look otherwise.
#[derive(Debug, Default)]
struct Strangers {
    /// In how many looks each was one: a process that was just forked may change its group yet.
    seen: BTreeMap<i32, u8>,
    /// Looks since everybody was looked at.
    looks: u8,
}

impl Strangers {
    /// From then on nothing is read of one.
    const KNOWN_AFTER: u8 = 2;
    /// A number may be given to somebody else, so now and then nobody is known.
    const FORGOTTEN_AFTER: u8 = 12;

    fn begin_look(&mut self) -> BTreeMap<i32, u8> {
        self.looks = (self.looks + 1) % Self::FORGOTTEN_AFTER;
        let seen = std::mem::take(&mut self.seen);
        if self.looks == 0 { BTreeMap::new() } else { seen }
    }
}

impl Processes {
    pub fn led_by(leaders: Vec<i32>) -> Self {
        let mut processes = Self { groups: leaders.into_iter().collect(), ..Self::default() };
        processes.search();
        processes
    }

    /// Looks for the members of the groups.
    pub fn search(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let known = self.strangers.begin_look();
        self.members.clear();
        for pid in all {
            let looks = known.get(&pid).copied().unwrap_or_default();
            if looks < Strangers::KNOWN_AFTER && stat(pid).is_some_and(|stat| self.groups.contains(&stat.group)) {
                self.members.push(pid);
            } else {
                self.strangers.seen.insert(pid, looks.saturating_add(1));
            }
        }
    }

    /// What they use together; `None` when there is nobody.
    pub fn sample(&mut self) -> Option<Sample> {
        let groups = &self.groups;
        let mut sum: Option<Sample> = None;
        self.members.retain(|pid| {
            // A number may have been given to somebody else since.
            let Some(stat) = stat(*pid).filter(|stat| groups.contains(&stat.group)) else { return false };
            let sum = sum.get_or_insert_default();
            sum.cpu_ms += stat.ticks * 1_000 / TICKS_PER_S;
            sum.memory_bytes += memory(*pid);
            sum.descriptors += descriptors(*pid);
            true
        });
        sum
    }
}

/// What this process uses itself.
pub(crate) fn own() -> Option<Sample> {
    let pid = i32::try_from(std::process::id()).ok()?;
    let stat = stat(pid)?;
    Some(Sample { cpu_ms: stat.ticks * 1_000 / TICKS_PER_S, memory_bytes: memory(pid), descriptors: descriptors(pid) })
}

/// What this process has used since it started. Of descriptors only those of now are known.
pub(crate) fn own_since_start() -> Option<Usage> {
    let Sample { cpu_ms, memory_bytes, descriptors } = own()?;
    let most = status(i32::try_from(std::process::id()).ok()?, "VmHWM:");
    let memory_most_bytes = most.max(memory_bytes);
    Some(Usage { samples: 1, cpu_ms, memory_bytes, memory_most_bytes, descriptors, descriptors_most: descriptors })
}

/// What is wanted of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    group: i32,
    /// Processor time, of children that ended and were waited for too.
    ticks: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state parent group …`; the name may hold anything, `)` included. Times are fields 14 to 17.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let group = fields.nth(2)?.parse().ok()?;
    let ticks = fields.skip(8).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { group, ticks })
}

/// Resident memory; one that is ending has none.
fn memory(pid: i32) -> u64 {
    status(pid, "VmRSS:")
}

/// Bytes that `/proc/<pid>/status` tells behind this key.
fn status(pid: i32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn descriptors(pid: i32) -> u64 {
    let open = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"));
    open.map_or(0, |open| u64::try_from(open.count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_times_are_read_whatever_the_name_is() {
        let line = "12 (a) Z (b)) S 1 34 56 0 -1 4194304 1 2 3 4 70 20 5 6 20 0 1 0 100 0 0";
        assert_eq!(parse(line), Some(Stat { group: 34, ticks: 101 }));
    }

    #[test]
    fn this_process_is_sampled_with_a_file_that_it_opens() {
        let me = i32::try_from(std::process::id()).expect("pids are small");
        let group = stat(me).expect("we live").group;
        // Only this one: others of the group come and go.
        let mut processes = Processes { groups: [group].into(), members: vec![me], ..Processes::default() };
        let before = processes.sample().expect("we live");
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<_> = (0..50).map(|at| fs::File::create(folder.path().join(at.to_string()))).collect();
        let after = processes.sample().expect("we live");
        assert!(before.memory_bytes > 1024 * 1024, "{before:?}");
        // Other tests of this process open and close some too.
        assert!(after.descriptors >= before.descriptors + 30, "{before:?} {after:?}");
        drop(files);
    }

    #[test]
    fn a_member_is_found_however_often_others_were_looked_at() {
        let start = |group: i32| {
            let mut command = std::process::Command::new("sleep");
            std::os::unix::process::CommandExt::process_group(&mut command, group);
            command.arg("600").spawn().expect("a program")
        };
        let leader = start(0);
        let pid = i32::try_from(leader.id()).expect("pids are small");
        let mut processes = Processes::led_by(vec![pid]);
        for _ in 0..2 * Strangers::FORGOTTEN_AFTER {
            assert_eq!(processes.members, [pid]);
            processes.search();
        }
        let other = start(pid);
        processes.search();
        let mut members = [pid, i32::try_from(other.id()).expect("pids are small")];
        members.sort_unstable();
        processes.members.sort_unstable();
        assert_eq!(processes.members, members);
        for mut child in [leader, other] {
            child.kill().and_then(|()| child.wait()).expect("it ends");
        }
    }

    #[test]
    fn who_has_gone_is_left_out() {
        let mut child = std::process::Command::new("true").spawn().expect("a program");
        let pid = i32::try_from(child.id()).expect("pids are small");
        child.wait().expect("it ends");
        assert_eq!(Processes { groups: [pid].into(), members: vec![pid], ..Processes::default() }.sample(), None);
        assert_eq!(Processes::default().sample(), None);
    }
}
