//! Why AF_XDP cannot be used, in words that say what to do.

use std::io;

/// Why AF_XDP cannot be used on an interface. Queries are then answered by the kernel's sockets.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// There is no such interface.
    #[error("there is no network interface `{name}`: see `ip link`")]
    NoInterface {
        /// What was asked for.
        name: String,
    },
    /// The interface is down.
    #[error("the interface {name} is down: bring it up with `ip link set {name} up` and restart")]
    Down {
        /// The interface.
        name: String,
    },
    /// The process lacks capabilities.
    #[error(
        "the capability {missing} is missing: set `AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF` in the \
         service unit, or run `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_net_bind_service=+ep` on the program"
    )]
    Capability {
        /// The names of those that are missing.
        missing: String,
    },
    /// The kernel lacks something.
    #[error(
        "the kernel has no {what}: Linux 5.10 or newer, built with CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL, is needed"
    )]
    Kernel {
        /// What it lacks.
        what: &'static str,
    },
    /// Not enough memory may be locked.
    #[error(
        "{bytes} octets of memory cannot be locked: set `LimitMEMLOCK=infinity` in the service unit, or run `ulimit -l unlimited`"
    )]
    LockedMemory {
        /// How much is needed.
        bytes: usize,
    },
    /// There is a program on the interface.
    #[error("another XDP program is attached to {name}: see `ip link show {name}`, and stop what attached it")]
    OtherProgram {
        /// The interface.
        name: String,
    },
    /// The interface takes no XDP program.
    #[error("the interface {name} takes no XDP program, neither in its driver nor before the network stack")]
    Driver {
        /// The interface.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// A queue has a socket of somebody else.
    #[error("queue {queue} of {name} is in use by another AF_XDP socket: stop the other program")]
    QueueInUse {
        /// The interface.
        name: String,
        /// The queue.
        queue: u32,
    },
    /// Something that should not fail.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Bits of the capabilities in `/proc/self/status`.
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (CAP_BPF, "CAP_BPF")];
const CAP_BPF: u32 = 39;
/// What `CAP_BPF` was split off from.
const CAP_SYS_ADMIN: u32 = 21;

impl XdpError {
    /// The error of a system call, with the capability or the kernel as its cause where that is known.
    pub(super) fn of(action: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => match missing_capabilities() {
                missing if missing.is_empty() => Self::System { action, source },
                missing => Self::Capability { missing },
            },
            Some(libc::ENOSYS) => Self::Kernel { what: "bpf(2)" },
            Some(libc::EAFNOSUPPORT) => Self::Kernel { what: "AF_XDP sockets" },
            _ => Self::System { action, source },
        }
    }
}

/// The names of the capabilities that this thread needs and has not.
fn missing_capabilities() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    missing_of(effective)
}

fn missing_of(effective: u64) -> String {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let missing = CAPABILITIES.iter().filter(|(bit, _)| !(has(*bit) || *bit == CAP_BPF && has(CAP_SYS_ADMIN)));
    missing.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named() {
        assert_eq!(missing_of(0), "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF");
        assert_eq!(missing_of(1 << 12 | 1 << 13 | 1 << 39), "");
        assert_eq!(missing_of(1 << 12 | 1 << CAP_SYS_ADMIN), "CAP_NET_RAW");
    }

    #[test]
    fn a_kernel_without_sockets_is_named() {
        let error = XdpError::of("open a socket", io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        assert!(error.to_string().starts_with("the kernel has no AF_XDP sockets: Linux 5.10"), "{error}");
    }
}
