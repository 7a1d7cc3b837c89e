//! What a process and its children cost: CPU time and memory, as `/proc` tells.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// What a process (with all it started) has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in user and in system mode, of all threads.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub rss: u64,
    /// The most resident memory there ever was, in bytes; of a family the sum, which may never have been at one time.
    pub rss_max: u64,
}

/// Measures a process and everything that it started.
///
/// # Errors
/// When there is no such process, or no `/proc` that tells of it.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let mut total = one(pid).with_context(|| format!("can't measure process {pid}"))?;
    for child in descendants(pid) {
        // A child may end between the listing and the look; what it used is then its parent's `cutime`, not counted here.
        if let Ok(usage) = one(child) {
            total.cpu += usage.cpu;
            total.rss += usage.rss;
            total.rss_max += usage.rss_max;
        }
    }
    Ok(total)
}

/// Measures this process.
pub fn own() -> Usage {
    one(std::process::id()).unwrap_or_default()
}

fn one(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = after_name(&stat);
    let ticks = number(&fields, UTIME)? + number(&fields, STIME)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Usage {
        cpu: Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second()),
        rss: kibibytes(&status, "VmRSS:"),
        rss_max: kibibytes(&status, "VmHWM:"),
    })
}

/// Places in `/proc/PID/stat`, counted from behind the name (proc_pid_stat(5) counts from one and the pid: minus 3).
const PARENT: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;

/// The name may hold blanks and brackets; all that follows is behind the last bracket.
fn after_name(stat: &str) -> Vec<&str> {
    stat.rsplit(')').next().unwrap_or("").split_whitespace().collect()
}

fn number(fields: &[&str], at: usize) -> anyhow::Result<u64> {
    fields.get(at).and_then(|field| field.parse().ok()).context("/proc speaks another format")
}

fn kibibytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1_024
}

fn descendants(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut parents = Vec::new();
    for entry in entries.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Ok(parent) = number(&after_name(&stat), PARENT) {
            parents.push((child, u32::try_from(parent).unwrap_or(0)));
        }
    }
    let mut family = vec![pid];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family.split_off(1)
}

/// Lets this process open as many files as it may: ten thousand watchers are ten thousand sockets.
pub fn raise_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wide = Rlimit { current: Some(wanted), maximum: Some(now.maximum.map_or(wanted, |max| max.max(wanted))) };
    if now.current.is_some_and(|current| current < wanted) && setrlimit(Resource::Nofile, wide).is_err() {
        // Only root may go beyond the hard limit; up to it everybody may.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_has_used_cpu_and_memory() {
        let before = own();
        let mut sum = 0_u64;
        while own().cpu == before.cpu {
            sum = (0..1_000_000_u64).fold(sum, |sum, i| std::hint::black_box(sum ^ i));
        }
        assert!(before.rss > 1_000_000, "{before:?}");
        assert!(before.rss_max >= before.rss, "{before:?}");
    }

    #[test]
    fn the_fields_stand_behind_whatever_name_a_process_gives_itself() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 10 0 0 0 42 17 0 0 20";
        let fields = after_name(stat);
        assert_eq!(number(&fields, PARENT).unwrap(), 1);
        assert_eq!(number(&fields, UTIME).unwrap(), 42);
        assert_eq!(number(&fields, STIME).unwrap(), 17);
    }

    #[test]
    fn a_child_counts_with_its_parent() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(descendants(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
