//! The form of a snapshot: a header, blocks of images of zones, where each block starts, and the header once more.
//!
//! `docs/formats/mirror.md` has it octet by octet. Every block is checked on its own, so that damage costs the zones of one
//! block, and blocks can be read by several threads and sent one by one.

use rokko_zone::digest::DIGEST_LEN;
use rokko_zone::{Digest, Revision, ShortDigest};

use crate::SetId;
use crate::error::VersionError;
use crate::segment::{u32_at, u64_at};

/// How a snapshot begins.
const MAGIC: &[u8; 8] = b"ROKKOSNP";
/// The format's version.
pub const VERSION: u32 = 1;
/// Octets of a snapshot's header.
pub const HEADER_LEN: usize = 100 + DIGEST_LEN + 4;
/// Octets before a block's contents.
pub const BLOCK_HEADER_LEN: usize = 16;
/// How many octets of contents close a block.
pub const BLOCK_OCTETS: usize = 256 << 10;
/// The most octets of a block's contents: one piece of an image is never cut.
pub const BLOCK_OCTETS_MAX: usize = BLOCK_OCTETS + rokko_zone::image::PAGE_LEN_MAX + 4;

/// What a snapshot begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose data.
    pub set: SetId,
    /// The last revision in it.
    pub revision: Revision,
    /// When the change of that revision was made, in ms since 1970 by the clock of the control plane.
    pub at_ms: u64,
    /// How many zones it has.
    pub zones: u64,
    /// How many blocks it has.
    pub blocks: u64,
    /// How many octets the blocks have together, their headers counted.
    pub octets: u64,
    /// What the digest of all data is at that revision.
    pub expected: ShortDigest,
    /// The digest of the zones in the snapshot. Its short form is `expected` unless zones were damaged or missing.
    pub digest: Digest,
}

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Octets of its contents.
    pub len: u32,
    /// Which block of the snapshot it is, from 0.
    pub number: u32,
    /// Where in the contents the first image begins; `len` if none does.
    pub first: u32,
    crc: u32,
}

impl Header {
    /// The octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.set.0);
        for number in [self.revision.0, self.at_ms, self.zones, self.blocks, self.octets] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.expected.0);
        out.extend_from_slice(&self.digest.to_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the octets that a snapshot begins and ends with; `Ok(None)` if they are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, VersionError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if header[..8] != *MAGIC || crc32fast::hash(&header[..HEADER_LEN - 4]) != u32_at(header, HEADER_LEN - 4) {
            return Ok(None);
        }
        VersionError::check(u32_at(header, 8), VERSION)?;
        let (mut set, mut expected, mut digest) = (SetId([0; 16]), ShortDigest([0; 32]), [0; DIGEST_LEN]);
        set.0.copy_from_slice(&header[12..28]);
        expected.0.copy_from_slice(&header[68..100]);
        digest.copy_from_slice(&header[100..100 + DIGEST_LEN]);
        Ok(Some(Self {
            set,
            revision: Revision(u64_at(header, 28)),
            at_ms: u64_at(header, 36),
            zones: u64_at(header, 44),
            blocks: u64_at(header, 52),
            octets: u64_at(header, 60),
            expected,
            digest: Digest::from_bytes(&digest),
        }))
    }

    /// Whether the snapshot has all zones of its revision, and as they should be.
    pub fn is_whole(&self) -> bool {
        self.digest.short() == self.expected
    }

    /// How long the file is.
    pub fn file_len(&self) -> u64 {
        let places = self.blocks.saturating_mul(8).saturating_add(4);
        (2 * HEADER_LEN as u64).saturating_add(self.octets).saturating_add(places)
    }
}

impl BlockHeader {
    /// Reads a block's header; `None` if its length is none that a block has.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<BLOCK_HEADER_LEN>()?;
        let header =
            Self { len: u32_at(bytes, 0), number: u32_at(bytes, 4), first: u32_at(bytes, 8), crc: u32_at(bytes, 12) };
        (header.len as usize <= BLOCK_OCTETS_MAX && header.first <= header.len).then_some(header)
    }
}

/// Puts a header before a block's contents, which begin at [`BLOCK_HEADER_LEN`].
pub fn close_block(block: &mut [u8], number: u32, first: u32) {
    let len = u32::try_from(block.len() - BLOCK_HEADER_LEN).unwrap_or(u32::MAX);
    block[..4].copy_from_slice(&len.to_le_bytes());
    block[4..8].copy_from_slice(&number.to_le_bytes());
    block[8..12].copy_from_slice(&first.to_le_bytes());
    let crc = block_checksum(block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Checks a whole block with its header: where the first image begins, and the contents. `None` if it is damaged or another one.
pub fn open_block(block: &[u8], number: u32) -> Option<(usize, &[u8])> {
    let header = BlockHeader::decode(block)?;
    let contents = &block[BLOCK_HEADER_LEN..];
    let is_good =
        header.len as usize == contents.len() && header.number == number && block_checksum(block) == header.crc;
    is_good.then_some((header.first as usize, contents))
}

fn block_checksum(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..12]);
    hasher.update(&block[BLOCK_HEADER_LEN..]);
    hasher.finalize()
}

/// The places of the blocks as they stand in the file: the offset of each.
pub fn encode_places(places: &[u64]) -> Vec<u8> {
    let mut out: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the places of blocks; `None` if they are damaged.
pub fn decode_places(bytes: &[u8]) -> Option<Vec<u64>> {
    let (places, crc) = bytes.split_last_chunk::<4>()?;
    let is_good = crc32fast::hash(places) == u32::from_le_bytes(*crc) && places.len() % 8 == 0;
    is_good.then(|| places.as_chunks::<8>().0.iter().map(|place| u64::from_le_bytes(*place)).collect())
}
