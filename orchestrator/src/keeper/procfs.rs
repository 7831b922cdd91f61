//! Who is alive, as /proc tells it.

use std::fs;

/// One line of `/proc/<pid>/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// The program's short name.
    pub name: String,
    pub state: char,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
}

impl Process {
    /// Whether it still runs, or could: a zombie only waits for its parent.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Every process of this machine that we may see. One that ends while we look is left out.
pub fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<i32>().ok()?;
        parse(&fs::read_to_string(entry.path().join("stat")).ok()?)
    })
}

/// The process of that number.
pub fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether anybody lives in this process group of this session. A number alone could have been used again since by
/// somebody else, but never within a session of ours that still lives.
pub fn group_lives(group: i32, session: i32) -> bool {
    processes().any(|process| process.group == group && process.session == session && process.is_alive())
}

/// `pid (name) state parent group session …`; the name may hold anything, `)` included.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        state,
        parent: number()?,
        group: number()?,
        session: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read() {
        let process = parse("12 (a) Z (b)) S 1 34 56 0 -1").expect("a stat line");
        assert_eq!(process.name, "a) Z (b)");
        assert_eq!((process.pid, process.state), (12, 'S'));
        assert_eq!((process.parent, process.group, process.session), (1, 34, 56));
    }

    #[test]
    fn this_process_is_found() {
        let pid = i32::try_from(std::process::id()).expect("pids are small");
        let process = processes().find(|process| process.pid == pid).expect("we live");
        assert!(group_lives(process.group, process.session));
    }
}
