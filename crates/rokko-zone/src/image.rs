//! A zone as bytes, to be kept or sent.
//!
//! ```text
//! image = apex (wire form)  revision:u64  pages:u32 (of names that answer)  pages:u32 (of NSEC3 names)  page × both
//! page  = length:u32  octets
//! ```
//!
//! Numbers are little-endian. Images follow one another without anything between; the run may be cut into blocks before
//! any page and before any image, so that a large zone is never in memory twice.

use rokko_wire::Name;

use crate::page::{Page, PageError, PageRef};
use crate::{Revision, Zone, ZoneRef};

/// The most octets that a page of an image has: an owner name's records are limited where they enter a zone.
pub const PAGE_LEN_MAX: usize = 32 << 20;

/// Why some bytes are not images of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The bytes end within an image's head or a page.
    #[error("the image of a zone is cut off")]
    Truncated,
    /// The name of a zone is broken.
    #[error("the name of a zone is broken")]
    Name,
    /// A page is broken.
    #[error("a page of a zone is broken: {0}")]
    Page(#[from] PageError),
    /// Pages are not in order.
    #[error("the pages of a zone are not in order")]
    Order,
}

/// A part of an image that is not cut.
pub enum Piece<'z> {
    /// How an image begins.
    Head {
        /// The zone.
        zone: ZoneRef<'z>,
        /// How many pages of names that answer follow, and how many of NSEC3 names.
        pages: (u32, u32),
    },
    /// A page.
    Page(&'z [u8]),
}

impl Piece<'_> {
    /// Appends the piece.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Piece::Head { zone, pages: (main, nsec3) } => {
                out.extend_from_slice(zone.apex_bytes());
                out.extend_from_slice(&zone.revision().0.to_le_bytes());
                out.extend_from_slice(&main.to_le_bytes());
                out.extend_from_slice(&nsec3.to_le_bytes());
            }
            Piece::Page(bytes) => {
                out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Whether an image begins with this piece.
    pub fn is_head(&self) -> bool {
        matches!(self, Piece::Head { .. })
    }
}

/// The pieces of a zone's image in order.
pub fn pieces(zone: ZoneRef<'_>) -> impl Iterator<Item = Piece<'_>> {
    let (main, nsec3) = zone.pages_of();
    let count = |pages: usize| u32::try_from(pages).unwrap_or(u32::MAX);
    let head = Piece::Head { zone, pages: (count(main.len()), count(nsec3.len())) };
    std::iter::once(head).chain(main.into_iter().chain(nsec3).map(|page| Piece::Page(page.as_bytes())))
}

/// A whole image of one zone.
pub fn image(zone: ZoneRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    pieces(zone).for_each(|piece| piece.write(&mut out));
    out
}

/// Reads a run of images block by block, and checks every octet of them.
#[derive(Default)]
pub struct ImageReader {
    part: Option<Part>,
}

/// A zone of which pages are still to come.
struct Part {
    apex: Name,
    revision: Revision,
    main_left: u32,
    nsec3_left: u32,
    main: Vec<Page>,
    nsec3: Vec<Page>,
}

impl ImageReader {
    /// Reads a block and hands out the zones that are whole with it. After an error, or to leave out a block, go on with a
    /// new reader where an image begins.
    pub fn read(&mut self, block: &[u8], each: &mut dyn FnMut(Zone)) -> Result<(), ImageError> {
        let mut rest = block;
        loop {
            match &mut self.part {
                Some(part) if part.main_left + part.nsec3_left == 0 => {
                    let part = self.part.take().ok_or(ImageError::Truncated)?;
                    each(Zone::from_pages(&part.apex, part.revision, part.main, part.nsec3));
                }
                _ if rest.is_empty() => return Ok(()),
                Some(part) => part.push(take_page(&mut rest)?)?,
                None => self.start(&mut rest, each)?,
            }
        }
    }

    /// Whether no image is begun that has not ended.
    pub fn is_between_images(&self) -> bool {
        self.part.is_none()
    }

    /// Reads the head of an image; a zone of one page at once, as most are.
    fn start(&mut self, rest: &mut &[u8], each: &mut dyn FnMut(Zone)) -> Result<(), ImageError> {
        let (apex, len) = Name::from_wire(rest).map_err(|_| ImageError::Name)?;
        *rest = &rest[len..];
        let revision = Revision(u64::from_le_bytes(take(rest)?));
        let (main_left, nsec3_left) = (u32::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?));
        main_left.checked_add(nsec3_left).ok_or(ImageError::Truncated)?;
        if (main_left, nsec3_left) == (1, 0) && !rest.is_empty() {
            each(Zone::of_page(&apex, revision, take_page(rest)?));
            return Ok(());
        }
        self.part = Some(Part { apex, revision, main_left, nsec3_left, main: Vec::new(), nsec3: Vec::new() });
        Ok(())
    }
}

impl Part {
    fn push(&mut self, page: PageRef<'_>) -> Result<(), ImageError> {
        let (pages, left) = match self.main_left {
            0 => (&mut self.nsec3, &mut self.nsec3_left),
            _ => (&mut self.main, &mut self.main_left),
        };
        if pages.last().is_some_and(|last| last.view().last_key() >= page.first_key()) {
            return Err(ImageError::Order);
        }
        *left -= 1;
        pages.push(page.to_page());
        Ok(())
    }
}

fn take_page<'a>(rest: &mut &'a [u8]) -> Result<PageRef<'a>, ImageError> {
    let len = u32::from_le_bytes(take(rest)?) as usize;
    if len > PAGE_LEN_MAX {
        return Err(ImageError::Truncated);
    }
    let (page, tail) = rest.split_at_checked(len).ok_or(ImageError::Truncated)?;
    *rest = tail;
    Ok(PageRef::open(page)?)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ImageError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(ImageError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rrset, Ttl};
    use rokko_wire::Rtype;

    fn zones() -> Vec<Zone> {
        let rrset = |owner: String, rtype, len| Rrset {
            owner: owner.parse().unwrap(),
            rtype,
            ttl: Ttl::from_wire(60),
            rdatas: vec![vec![7; len].into()],
        };
        let large = (0..500).map(|i| rrset(format!("n{i}.large."), Rtype::TXT, 200));
        let nsec3 = (0..40).map(|i| rrset(format!("h{i}.large."), Rtype::NSEC3, 200));
        let build = |apex: &str, rrsets| Zone::build(&apex.parse().unwrap(), Revision(9), rrsets).unwrap();
        vec![
            build("small.", vec![rrset("small.".to_owned(), Rtype::A, 4)]),
            build("large.", large.chain(nsec3).collect()),
            build("empty.", vec![]),
            build("hashed.", vec![rrset("h.hashed.".to_owned(), Rtype::NSEC3, 9)]),
        ]
    }

    fn same(a: &Zone, b: &Zone) -> bool {
        image(a.view()) == image(b.view())
    }

    #[test]
    fn zones_come_back_from_blocks_of_any_size() {
        for block_len in [1, 300, 5000, 1 << 20] {
            let zones = zones();
            let (mut reader, mut block, mut back) = (ImageReader::default(), Vec::new(), Vec::new());
            for piece in zones.iter().flat_map(|zone| pieces(zone.view())) {
                if block.len() >= block_len {
                    reader.read(&block, &mut |zone| back.push(zone)).unwrap();
                    block.clear();
                }
                piece.write(&mut block);
            }
            reader.read(&block, &mut |zone| back.push(zone)).unwrap();
            assert!(reader.is_between_images());
            assert_eq!(back.len(), zones.len());
            assert!(back.iter().zip(&zones).all(|(a, b)| same(a, b)));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let zones = zones();
        let good = image(zones[0].view());
        let read = |bytes: &[u8]| {
            let (mut reader, mut count) = (ImageReader::default(), 0);
            reader.read(bytes, &mut |_| count += 1).map(|()| (count, reader.is_between_images()))
        };
        assert_eq!(read(&good), Ok((1, true)));
        for len in 1..good.len() {
            assert!(!matches!(read(&good[..len]), Ok((1, _) | (_, true))), "{len} octets are enough");
        }
        let page = good.len() - zones[0].pages().0[0].as_bytes().len();
        for at in page..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(matches!(read(&bad), Err(ImageError::Page(_))), "octet {at}");
        }
        let pages = zones[1].pages().0;
        let mut swapped = Vec::new();
        Piece::Head { zone: zones[1].view(), pages: (2, 0) }.write(&mut swapped);
        Piece::Page(pages[1].as_bytes()).write(&mut swapped);
        Piece::Page(pages[0].as_bytes()).write(&mut swapped);
        assert_eq!(read(&swapped), Err(ImageError::Order));
    }
}
