//! The redirect program on an interface, and what it is told.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::bpf::{self, AttachMode, Map, MapKind};
use super::program::{self, KEY_BYTES, Maps, Passed, QUEUE_SHED_BYTES, SOURCE_BYTES};
use super::{Interface, Socket, XdpError};
use crate::shed::{SHED_PREFIXES_MAX, Shed};

/// Most destinations of one interface; what goes to more is left to the kernel.
pub const DESTINATIONS_MAX: usize = 65_536;
/// Most queues of one interface that can have a socket.
pub const QUEUES_MAX: u32 = 1024;

/// Most sources that are shed on all queues together.
const SOURCES_MAX: u32 = 65_536;
const _: () = assert!(SHED_PREFIXES_MAX * QUEUES_MAX as usize <= SOURCES_MAX as usize);

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
    counters: Map,
    sheds: Map,
    sources: Map,
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
        self.tables.counters.sum(reason as u32)
    }

    /// How many frames the program has dropped because their source is shed.
    ///
    /// # Errors
    /// The system's.
    pub fn shed(&self) -> io::Result<u64> {
        self.tables.counters.sum(program::SHED.cast_unsigned())
    }

    /// Through which it can be told what to drop on a queue below [`QUEUES_MAX`].
    ///
    /// # Errors
    /// The system's.
    pub(super) fn queue_shed(&self, queue: u32) -> io::Result<QueueShed> {
        self.tables.queue_shed(queue)
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
            counters: Map::new(MapKind::PerCpuArray, 4, 8, program::SHED.cast_unsigned() + 1)?,
            sheds: Map::new(MapKind::Array, 4, QUEUE_SHED_BYTES, QUEUES_MAX)?,
            sources: Map::new(MapKind::Prefixes, SOURCE_BYTES, 1, SOURCES_MAX)?,
            known: BTreeSet::new(),
        };
        let maps = Maps {
            destinations: tables.destinations.descriptor(),
            sockets: tables.sockets.descriptor(),
            counters: tables.counters.descriptor(),
            sheds: tables.sheds.descriptor(),
            sources: tables.sources.descriptor(),
        };
        let program = match bpf::load(&program::assemble(maps, true)) {
            // An older kernel lacks what it takes to spare those with a cookie.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => bpf::load(&program::assemble(maps, false))?,
            loaded => loaded?,
        };
        Ok((tables, program))
    }

    fn queue_shed(&self, queue: u32) -> io::Result<QueueShed> {
        let (sheds, sources) = (self.sheds.try_clone()?, self.sources.try_clone()?);
        Ok(QueueShed { queue, sheds, sources, known: BTreeSet::new() })
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

/// What is dropped on one queue.
#[derive(Debug)]
pub(super) struct QueueShed {
    queue: u32,
    sheds: Map,
    sources: Map,
    /// What of the queue is in `sources`.
    known: BTreeSet<[u8; SOURCE_BYTES]>,
}

impl QueueShed {
    /// Drops this from now on, and nothing else.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn apply(&mut self, shed: &Shed) -> io::Result<()> {
        let prefixes = shed.prefixes.iter().take(SHED_PREFIXES_MAX);
        let wanted: BTreeSet<_> =
            prefixes.map(|&(network, len)| program::source_key(self.queue, network, len)).collect();
        for key in self.known.difference(&wanted) {
            self.sources.remove(key)?;
        }
        for key in wanted.difference(&self.known) {
            self.sources.set(key, &[1])?;
        }
        self.known = wanted;
        self.sheds.set(&self.queue.to_ne_bytes(), &program::queue_shed(shed))
    }
}

#[cfg(test)]
mod tests;
