//! CPU time and memory of a process from the kernel's accounting.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// A tick of the accounting in microseconds; `USER_HZ` is 100 on every Linux that programs see.
const TICK_US: u64 = 10_000;

/// CPU time that a process has used with all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// What process `pid` and its children that are still there have used.
    pub(crate) fn of_tree(pid: u32) -> Result<Self> {
        let mut sum = Self::of(pid)?;
        for child in children(pid) {
            let Ok(more) = Self::of_tree(child) else { continue };
            sum.user += more.user;
            sum.system += more.system;
        }
        Ok(sum)
    }

    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
        Self::parse(&stat).context("/proc/PID/stat is not as expected")
    }

    /// Reads a line of `/proc/PID/stat`, whose second field is a name in brackets that may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |index: usize| {
            let ticks: u64 = fields.get(index)?.parse().ok()?;
            Some(Duration::from_micros(ticks * TICK_US))
        };
        Some(Self { user: ticks(11)?, system: ticks(12)? })
    }

    pub(crate) fn total_since(self, before: Self) -> Duration {
        (self.user + self.system).saturating_sub(before.user + before.system)
    }

    pub(crate) fn user_since(self, before: Self) -> Duration {
        self.user.saturating_sub(before.user)
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Memory of a process and its children in octets. Pages that several of them share count once, which is why this is
/// the proportional set size.
pub(crate) fn memory_bytes(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    proportional_kib(&rollup) * 1024.0 + children(pid).into_iter().map(memory_bytes).sum::<f64>()
}

/// `Pss` of `/proc/PID/smaps_rollup`.
fn proportional_kib(rollup: &str) -> f64 {
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
}

/// Binds this thread, and what it starts, to some cores.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 9 0 0 0 150 25 7 8 20 0 1 0 100 0 0";
        let expected = CpuTime { user: Duration::from_millis(1500), system: Duration::from_millis(250) };
        assert_eq!(CpuTime::parse(stat), Some(expected));
        assert_eq!(CpuTime::parse("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        assert!((proportional_kib("Rss:    900 kB\nPss:    123 kB\nPss_Dirty:    7 kB\n") - 123.0).abs() < 1e-9);
        assert!(proportional_kib("").abs() < 1e-9);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(memory_bytes(pid) > 100_000.0);
        assert!(CpuTime::of_tree(pid).is_ok());
    }
}
