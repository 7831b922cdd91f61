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

/// Open sockets, of every kind.
pub fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}
