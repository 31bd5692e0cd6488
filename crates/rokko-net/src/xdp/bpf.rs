//! bpf(2): maps, programs and links.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::asm::Instruction;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const MAP_DELETE: libc::c_long = 3;
const PROGRAM_LOAD: libc::c_long = 5;
#[cfg(test)]
const PROGRAM_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
const LINK_DETACH: libc::c_long = 34;

const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
/// Most CPUs that a kernel can be built for; a value of a per-CPU map is read with room for all.
const CPUS_MAX: usize = 8192;

/// The kinds of map in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum MapKind {
    Hash = 1,
    Array = 2,
    PerCpuArray = 6,
    /// Finds the longest prefix of a key; keys begin with their length in bits.
    Prefixes = 11,
    Sockets = 17,
}

/// Entries take memory when they come; the kernel has it no other way for prefixes.
const NO_PREALLOCATION: u32 = 1;

/// Where in the way of a packet a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum AttachMode {
    /// After the kernel has made its own structure of the packet; works with every driver.
    Generic = 1 << 1,
    /// In the driver.
    Native = 1 << 2,
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries_max: u32,
    flags: u32,
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Calls bpf(2) with the command's own part of `union bpf_attr`; the kernel takes what is not there as zero.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the pointer and the size describe `attributes`, which is borrowed for the call. Pointers within it are made
    // by the callers below from slices that outlive the call, with sizes that the kernel knows from the same attributes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    libc::c_int::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn owned(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: the descriptor has just been given by the kernel, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    // A descriptor is never negative.
    descriptor.as_raw_fd().cast_unsigned()
}

fn address<T>(value: &[T]) -> u64 {
    value.as_ptr() as u64
}

/// A map of the kernel.
#[derive(Debug)]
pub(super) struct Map {
    descriptor: OwnedFd,
    key_bytes: usize,
    value_bytes: usize,
}

impl Map {
    pub(super) fn new(kind: MapKind, key_bytes: usize, value_bytes: usize, entries_max: u32) -> io::Result<Self> {
        let small = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
        let flags = if kind == MapKind::Prefixes { NO_PREALLOCATION } else { 0 };
        let kind = kind as u32;
        let (key, value) = (small(key_bytes)?, small(value_bytes)?);
        let mut attributes = MapCreate { kind, key_bytes: key, value_bytes: value, entries_max, flags };
        Ok(Self { descriptor: owned(bpf(MAP_CREATE, &mut attributes)?), key_bytes, value_bytes })
    }

    /// The same map once more.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let Self { descriptor, key_bytes, value_bytes } = self;
        Ok(Self { descriptor: descriptor.try_clone()?, key_bytes: *key_bytes, value_bytes: *value_bytes })
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    pub(super) fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_bytes, self.value_bytes), "of the lengths given to `new`");
        bpf(MAP_UPDATE, &mut self.element(address(key), address(value))).map(|_| ())
    }

    /// Removes an entry; one that is not there is no error.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.key_bytes, "of the length given to `new`");
        match bpf(MAP_DELETE, &mut self.element(address(key), 0)) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    /// The sum over all CPUs of a counter in a per-CPU array of 64-bit values.
    pub(super) fn sum(&self, index: u32) -> io::Result<u64> {
        assert_eq!((self.key_bytes, self.value_bytes), (4, 8), "an array of 64-bit values");
        let mut values = vec![0_u64; CPUS_MAX];
        let key = index.to_ne_bytes();
        let mut attributes = self.element(address(&key), values.as_mut_ptr() as u64);
        bpf(MAP_LOOKUP, &mut attributes)?;
        Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
    }

    fn element(&self, key: u64, value: u64) -> MapElement {
        MapElement { map: self.descriptor.as_raw_fd().cast_unsigned(), padding: 0, key, value, flags: 0 }
    }
}

/// Loads an XDP program.
pub(super) fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    // The kernel asks because some of its functions are for programs under the GPL only; none of them is used.
    let license = b"Apache-2.0 OR MIT\0";
    let mut name = [0; 16];
    name[..5].copy_from_slice(b"rokko");
    let mut attributes = ProgramLoad {
        kind: PROGRAM_TYPE_XDP,
        instructions: u32::try_from(code.len()).map_err(io::Error::other)?,
        code: address(code),
        license: address(license),
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
    };
    let refused = match bpf(PROGRAM_LOAD, &mut attributes) {
        Ok(descriptor) => return Ok(owned(descriptor)),
        Err(error) => error,
    };
    // Only the verifier has something to say, and only its words say what is wrong.
    if matches!(refused.raw_os_error(), Some(libc::EACCES | libc::EINVAL)) {
        let mut log = vec![0_u8; 1 << 16];
        (attributes.log_level, attributes.log_bytes, attributes.log) = (1, 1 << 16, log.as_mut_ptr() as u64);
        if let Ok(descriptor) = bpf(PROGRAM_LOAD, &mut attributes) {
            return Ok(owned(descriptor));
        }
        let text = String::from_utf8_lossy(log.split(|octet| *octet == 0).next().unwrap_or_default()).into_owned();
        tracing::debug!(verifier = text, "the kernel's verifier refused the XDP program");
    }
    Err(refused)
}

/// Attaches a program to an interface. It is attached until the link is closed or detached, at the latest with the end
/// of the process.
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, mode: AttachMode) -> io::Result<OwnedFd> {
    let (program, flags) = (number(program), mode as u32);
    let mut attributes = LinkCreate { program, interface, attach_type: ATTACH_TYPE_XDP, flags };
    bpf(LINK_CREATE, &mut attributes).map(owned)
}

/// Detaches a link that stays open.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_DETACH, &mut number(link)).map(|_| ())
}

/// Runs a program over a frame and returns its result.
#[cfg(test)]
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
    #[repr(C)]
    struct TestRun {
        program: u32,
        result: u32,
        data_in_bytes: u32,
        data_out_bytes: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let data_in_bytes = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let mut run = TestRun {
        program: number(program),
        result: 0,
        data_in_bytes,
        data_out_bytes: 0,
        data_in: address(frame),
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    bpf(PROGRAM_TEST_RUN, &mut run)?;
    Ok(run.result)
}
