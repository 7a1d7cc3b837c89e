//! What this process takes of its machine, as the system tells it.

use std::fs;
use std::time::Duration;

/// Memory and processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Processor time since the start, in user and system mode.
    pub cpu: Duration,
}

/// The present usage; `None` where the system has no /proc.
#[must_use]
pub fn usage() -> Option<Usage> {
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    let page = rustix::param::page_size() as u64;
    read(&fs::read_to_string("/proc/self/stat").ok()?, ticks_per_s, page)
}

/// Fields 14, 15 and 24 of proc_pid_stat(5), counted behind the name, which may hold anything but ends with the last `)`.
fn read(stat: &str, ticks_per_s: u64, page: u64) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let cpu = Duration::from_secs_f64((field(14)? + field(15)?) as f64 / ticks_per_s.max(1) as f64);
    Some(Usage { rss_bytes: field(24)? * page, cpu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_line_is_read() {
        let line =
            "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 99 1000000 512 18446744073709551615 1 1";
        assert_eq!(read(line, 100, 4_096), Some(Usage { rss_bytes: 2 << 20, cpu: Duration::from_secs(2) }));
        assert_eq!(read("7 (short) S 1", 100, 4_096), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(usage().is_none_or(|usage| usage.rss_bytes > 1 << 20));
    }
}
