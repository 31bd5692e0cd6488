//! The redirect program on an interface, and what it is told.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::bpf::{self, AttachMode, Map, MapKind};
use super::program::{self, KEY_BYTES, Maps, Passed};
use super::{Interface, Socket, XdpError};

/// Most destinations of one interface; what goes to more is left to the kernel.
pub const DESTINATIONS_MAX: usize = 65_536;
/// Most queues of one interface that can have a socket.
pub const QUEUES_MAX: u32 = 1024;

/// The redirect program, attached to an interface. It is detached when this is dropped, and by the kernel when the process
/// ends in whatever way.
#[derive(Debug)]
pub struct Redirect {
    link: OwnedFd,
    mode: AttachMode,
    tables: Tables,
}

/// What the program looks into.
#[derive(Debug)]
struct Tables {
    destinations: Map,
    sockets: Map,
    passed: Map,
    /// What is in `destinations`.
    known: BTreeSet<[u8; KEY_BYTES]>,
}

impl Redirect {
    /// Loads the program and attaches it: in the driver, else in front of the network stack. Until
    /// [`Self::set_destinations`] and [`Self::add_socket`] it leaves everything to the kernel.
    ///
    /// # Errors
    /// What is missing: a capability, the kernel's support, the place on the interface.
    pub fn attach(interface: &Interface) -> Result<Self, XdpError> {
        let (tables, program) = Tables::load().map_err(|source| XdpError::of("load the XDP program", source))?;
        let attach = |mode| bpf::attach(program.as_fd(), interface.index, mode);
        let native = attach(AttachMode::Native);
        let (mode, link) = match native {
            Err(error) if !is_final(&error) => (AttachMode::Generic, attach(AttachMode::Generic)),
            native => (AttachMode::Native, native),
        };
        let link = link.map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => XdpError::OtherProgram { name: interface.name.clone() },
            Some(libc::EPERM) => XdpError::of("attach the XDP program", source),
            _ => XdpError::Driver { name: interface.name.clone(), source },
        })?;
        Ok(Self { link, mode, tables })
    }

    /// Whether the program runs in the driver.
    pub fn is_native(&self) -> bool {
        self.mode == AttachMode::Native
    }

    /// Redirects datagrams to just these addresses and ports from now on. Of more than [`DESTINATIONS_MAX`], the rest is left to
    /// the kernel.
    ///
    /// # Errors
    /// The system's.
    pub fn set_destinations(&mut self, destinations: &[SocketAddr]) -> io::Result<()> {
        self.tables.set_destinations(destinations)
    }

    /// Gives a socket the frames of its queue.
    ///
    /// # Errors
    /// The system's; a queue from [`QUEUES_MAX`] up.
    pub fn add_socket(&mut self, queue: u32, socket: &Socket) -> io::Result<()> {
        let descriptor = socket.as_fd().as_raw_fd();
        self.tables.sockets.set(&queue.to_ne_bytes(), &descriptor.to_ne_bytes())
    }

    /// How many frames the program has left to the kernel for a reason.
    ///
    /// # Errors
    /// The system's.
    pub fn passed(&self, reason: Passed) -> io::Result<u64> {
        self.tables.passed.sum(reason as u32)
    }

    /// Takes the program off the interface.
    ///
    /// # Errors
    /// The system's.
    pub fn detach(&self) -> io::Result<()> {
        bpf::detach(self.link.as_fd())
    }
}

/// Whether an error will not be another one in generic mode.
fn is_final(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST | libc::EPERM))
}

impl Tables {
    /// Makes the tables and loads the program over them.
    fn load() -> io::Result<(Self, OwnedFd)> {
        let tables = Self {
            destinations: Map::new(MapKind::Hash, KEY_BYTES, 1, u32::try_from(DESTINATIONS_MAX).unwrap_or(u32::MAX))?,
            sockets: Map::new(MapKind::Sockets, 4, 4, QUEUES_MAX)?,
            passed: Map::new(MapKind::PerCpuArray, 4, 8, u32::try_from(Passed::ALL.len()).unwrap_or(u32::MAX))?,
            known: BTreeSet::new(),
        };
        let code = program::assemble(Maps {
            destinations: tables.destinations.descriptor(),
            sockets: tables.sockets.descriptor(),
            passed: tables.passed.descriptor(),
        });
        Ok((tables, bpf::load(&code)?))
    }

    fn set_destinations(&mut self, destinations: &[SocketAddr]) -> io::Result<()> {
        let wanted: BTreeSet<_> =
            destinations.iter().take(DESTINATIONS_MAX).map(|destination| program::key(*destination)).collect();
        if wanted == self.known {
            return Ok(());
        }
        // What goes makes room for what comes.
        for key in self.known.difference(&wanted) {
            self.destinations.remove(key)?;
        }
        for key in wanted.difference(&self.known) {
            self.destinations.set(key, &[1])?;
        }
        self.known = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
