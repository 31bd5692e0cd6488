//! Why something about a mirror did not work, and what was found damaged.

use std::fmt;
use std::io;

use rokko_feed::{DecodeError, SetId};
use rokko_zone::Revision;

/// The most damages that a report lists; more are counted.
pub const DAMAGES_MAX: usize = 1000;

/// A file of a later version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format has version {found}, this program reads version {known}")]
pub struct VersionError {
    /// The version of the file.
    pub found: u32,
    /// The version that this program knows.
    pub known: u32,
}

impl VersionError {
    pub(crate) fn check(found: u32, known: u32) -> Result<(), Self> {
        if found == known { Ok(()) } else { Err(Self { found, known }) }
    }
}

/// Why a mirror did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The disk failed or is full.
    #[error("{doing} {file}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file of a later version of the program; it is left as it is.
    #[error("{file}: start the version of the program that wrote it, or remove the file")]
    Version {
        /// Which file.
        file: String,
        /// The versions.
        source: VersionError,
    },
    /// Data of another control plane.
    #[error("the data belong to the set {found}, this mirror has the set {own}")]
    OtherSet {
        /// Whose data came.
        found: SetId,
        /// Whose data the mirror has.
        own: SetId,
    },
    /// Bytes that are no frame.
    #[error("a frame is broken")]
    Frame(#[from] DecodeError),
    /// A frame of which every revision was applied already.
    #[error("a frame up to revision {last} came when revision {applied} was applied already")]
    Old {
        /// The frame's last revision.
        last: Revision,
        /// What was applied.
        applied: Revision,
    },
    /// Revisions between what was applied and the frame are missing.
    #[error("a frame after revision {after} came when only revision {applied} was applied")]
    Gap {
        /// The revision that the frame follows.
        after: Revision,
        /// What was applied.
        applied: Revision,
    },
    /// A block of a snapshot that is not the one that was expected, or is damaged.
    #[error("block {number} of the snapshot is damaged or out of order")]
    Block {
        /// Which block.
        number: u64,
    },
    /// A snapshot that does not come to what was announced.
    #[error("the snapshot of revision {revision} does not come to the digest that was announced")]
    Snapshot {
        /// Its revision.
        revision: Revision,
    },
    /// Frames do not come to the log: an earlier failure left a gap that the next compaction closes.
    #[error("the log has a gap until the next snapshot is written")]
    LogGap,
}

impl MirrorError {
    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Turns an error of the system into one of the mirror.
pub(crate) fn failed(doing: &'static str, file: &str) -> impl FnOnce(io::Error) -> MirrorError {
    let file = file.to_owned();
    move |source| MirrorError::Disk { doing, file, source }
}

/// Something that was found damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In which file.
    pub file: String,
    /// Where, in octets from its start.
    pub offset: u64,
    /// What.
    pub what: Fault,
}

/// What is wrong with a place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A header of which there is another copy, or that could be made up for.
    Header,
    /// Both headers of a snapshot, or one of a log whose first record is damaged, too: the file is of no use.
    File,
    /// The list of where blocks start: the blocks were found one after the other.
    Places,
    /// A block of zones.
    Block,
    /// The file is shorter or longer than it was.
    Length,
    /// Frames that had been durable.
    Frames,
    /// Revisions that no file has.
    Gap,
    /// A record that is whole, and that means nothing.
    Record,
    /// The end of the log that was not finished when the power failed or the process died; no loss.
    Unfinished,
    /// The file can't be read.
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Header => "the header is damaged, its contents are known from elsewhere",
            Fault::File => "the headers are damaged, the file is of no use",
            Fault::Places => "the list of blocks is damaged, the blocks were found without it",
            Fault::Block => "a block of zones is damaged",
            Fault::Length => "the file has not the length that it was written with",
            Fault::Frames => "changes are damaged",
            Fault::Gap => "changes are missing",
            Fault::Record => "a change has no meaning",
            Fault::Unfinished => "the last change was not written to its end, and had not been applied",
            Fault::Unreadable => "the file can't be read",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.file, self.offset, self.what)
    }
}

/// Damages that were found, the first [`DAMAGES_MAX`] one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damages {
    /// The damages.
    pub list: Vec<Damage>,
    /// How many more there are.
    pub more: u64,
}

impl Damages {
    pub(crate) fn push(&mut self, file: &str, offset: u64, what: Fault) {
        if self.list.len() < DAMAGES_MAX {
            self.list.push(Damage { file: file.to_owned(), offset, what });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn extend(&mut self, others: Damages) {
        for damage in others.list {
            self.push(&damage.file, damage.offset, damage.what);
        }
        self.more += others.more;
    }

    /// Whether anything was lost or had to be made up for: all but a write that was not finished.
    pub fn is_empty(&self) -> bool {
        self.more == 0 && self.list.iter().all(|damage| damage.what == Fault::Unfinished)
    }
}
