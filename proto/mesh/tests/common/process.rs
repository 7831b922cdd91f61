//! What this process holds, as the kernel counts it.
#![allow(dead_code, reason = "each test counts what it is about")]

/// Resident memory.
pub fn resident_bytes() -> usize {
    /// Linux counts in pages of this size on every platform that we build for.
    const PAGE_BYTES: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number is the resident pages") * PAGE_BYTES
}

/// Open descriptors, of every kind.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is there").count()
}

/// Open network sockets. Those within the machine are left out: each runtime has one of its own, and tests start theirs when
/// they like.
pub fn sockets() -> usize {
    let tables = ["udp", "udp6", "tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/self/net/{table}")));
    let rows = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let inodes: std::collections::BTreeSet<String> =
        rows.filter_map(|row| Some(format!("socket:[{}]", row.split_whitespace().nth(9)?))).collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| inodes.contains(&*target.to_string_lossy()))
        .count()
}
