//! CPU time of a process from the kernel's accounting.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// A tick of the accounting in microseconds; `USER_HZ` is 100 on every Linux that programs see.
const TICK_US: u64 = 10_000;

/// CPU time that a process has used with all its threads.
#[derive(Clone, Copy, Debug, Default)]
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
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |index: usize| -> Result<Duration> {
            let ticks: u64 = fields.get(index).context("a short stat line")?.parse()?;
            Ok(Duration::from_micros(ticks * TICK_US))
        };
        Ok(Self { user: ticks(11)?, system: ticks(12)? })
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

/// Resident memory of a process and its children in MiB.
pub(crate) fn memory_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0);
    kib / 1024.0 + children(pid).into_iter().map(memory_mib).sum::<f64>()
}

/// Binds this thread, or a process, to one core.
pub(crate) fn pin(pid: Option<u32>, core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(pid.map_or(Ok(0), i32::try_from)?), &set)?;
    Ok(())
}
