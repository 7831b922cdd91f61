//! What the figures were measured on.

use std::fs;

/// Cores, socket buffers, kernel and load, on one line.
pub fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let buffers = first_word("/proc/sys/net/core/rmem_max");
    let kernel = first_word("/proc/sys/kernel/osrelease");
    format!("{cores} cores, Linux {kernel}, largest socket buffer {buffers} bytes; {}", load())
}

/// The load averages: other work on the machine makes every figure but the ratios worse.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    format!("load averages {}", averages.join(" "))
}

fn first_word(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Resident memory of this process in KiB.
pub fn resident_kib() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN)
}

/// CPU time of all threads of this process in milliseconds.
pub fn cpu_ms() -> f64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}
