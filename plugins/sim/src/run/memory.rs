//! The process's memory, as Linux tells it.

/// Bytes resident now; 0 where the system does not say.
pub(super) fn resident() -> u64 {
    read("VmRSS:")
}

/// Bytes resident at most since the process began.
pub(super) fn peak() -> u64 {
    read("VmHWM:")
}

fn read(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
