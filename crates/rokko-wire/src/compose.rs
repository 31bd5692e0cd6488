//! Composing a response into a caller's buffer, with name compression (RFC 1035 §4.1.4, RFC 3597 §4).
//!
//! Every name suffix that is written is remembered in a small table from (parent suffix, label) to its offset. A name
//! is compressed by walking its labels from the root outwards through that table, so the cost is one probe per label,
//! and a hit is always compared with the octets in the message.

use crate::name::{LABEL_LEN_MAX, Labels};
use crate::query::HEADER_LEN;
use crate::rtype::Rtype;

/// The last offset that a compression pointer reaches.
const POINTER_MAX: usize = 0x3fff;
/// Slots of a name table: a power of two. A table that is full only compresses less.
const SLOTS: usize = 256;
/// How many slots are tried for one suffix.
const PROBES: usize = 4;
/// The offset that stands for the root in the table; no name starts in the header.
const ROOT: u16 = 0;
/// How many labels of the question's name are compared at their place; a longer name goes into the table.
const QUESTION_LABELS: usize = 16;

/// The message has no room for what was to be written; nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is full")]
pub struct Full;

/// A section that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The answer section.
    Answer = 1,
    /// The authority section.
    Authority = 2,
    /// The additional section.
    Additional = 3,
}

/// The owner of an RRset that is to be written.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// A name that stands at this offset of the message already; the question's name is at 12.
    At(u16),
    /// A valid name in uncompressed wire form.
    Name(&'a [u8]),
}

/// The question's name, once the question is written.
pub const QUESTION_NAME: Owner<'static> = Owner::At(12);

#[derive(Clone, Copy, Default)]
struct Slot {
    epoch: u32,
    parent: u16,
    offset: u16,
}

/// Remembers where name suffixes stand in one message; reused from message to message.
pub struct NameTable {
    slots: [Slot; SLOTS],
    epoch: u32,
}

impl Default for NameTable {
    fn default() -> Self {
        Self { slots: [Slot::default(); SLOTS], epoch: 0 }
    }
}

impl NameTable {
    fn forget(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.slots = [Slot::default(); SLOTS];
            self.epoch = 1;
        }
    }

    fn find(&self, message: &[u8], parent: u16, label: &[u8]) -> Option<u16> {
        let hash = hash(parent, label);
        for probe in 0..PROBES {
            let slot = &self.slots[(hash + probe) % SLOTS];
            if slot.epoch != self.epoch {
                return None;
            }
            if slot.parent == parent && is_same(label_at(message, slot.offset), label) {
                return Some(slot.offset);
            }
        }
        None
    }

    fn insert(&mut self, parent: u16, label: &[u8], offset: u16) {
        let hash = hash(parent, label);
        for probe in 0..PROBES {
            let slot = &mut self.slots[(hash + probe) % SLOTS];
            if slot.epoch != self.epoch {
                *slot = Slot { epoch: self.epoch, parent, offset };
                return;
            }
        }
    }
}

/// Letters of both cases give the same hash; so do some other octets, which a comparison tells apart.
fn hash(parent: u16, label: &[u8]) -> usize {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let mix = |hash: u64, word: u64| (hash ^ word | CASE).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = label.as_chunks::<8>();
    let hash = words.iter().fold(u64::from(parent), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)),
        _ => rest.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)),
    };
    let [low, .., high] = mix(hash, last).to_le_bytes();
    usize::from(low ^ high)
}

fn is_same(a: &[u8], b: &[u8]) -> bool {
    a == b || a.eq_ignore_ascii_case(b)
}

fn label_at(message: &[u8], offset: u16) -> &[u8] {
    let at = usize::from(offset);
    let len = message.get(at).map_or(0, |&len| usize::from(len));
    message.get(at + 1..=at + len).unwrap_or(&[])
}

/// A place to return to when what follows does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    counts: [u16; 4],
}

/// Writes one message into a buffer and never beyond its limit.
pub struct Composer<'m> {
    out: &'m mut [u8],
    len: usize,
    limit: usize,
    counts: [u16; 4],
    table: &'m mut NameTable,
    question_known: bool,
    /// Where the labels of the question's name start, if that is known.
    question_starts: [u16; QUESTION_LABELS],
    question_labels: usize,
    last_owner: Option<u16>,
}

impl<'m> Composer<'m> {
    /// Starts a message of at most `limit` octets; `None` if the buffer cannot take a header.
    #[inline]
    pub fn new(out: &'m mut [u8], limit: usize, table: &'m mut NameTable) -> Option<Self> {
        let limit = limit.min(out.len());
        table.forget();
        (limit >= HEADER_LEN).then_some(Self {
            out,
            len: HEADER_LEN,
            limit,
            counts: [0; 4],
            table,
            question_known: false,
            question_starts: [0; QUESTION_LABELS],
            question_labels: 0,
            last_owner: None,
        })
    }

    /// Sets the most octets that the message may have; what is written already stays.
    #[inline]
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(self.out.len());
    }

    /// The octets written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing but the header's room is there yet.
    pub fn is_empty(&self) -> bool {
        self.len == HEADER_LEN
    }

    /// How many records `section` has.
    #[inline]
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// The octets that may still be written.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// A place that [`Composer::return_to`] comes back to.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { len: self.len, counts: self.counts }
    }

    /// Takes back all that was written since `mark`.
    #[inline]
    pub fn return_to(&mut self, mark: Mark) {
        if self.len != mark.len {
            self.len = mark.len;
            self.counts = mark.counts;
            self.table.forget();
            self.question_known = false;
            self.question_labels = 0;
        }
    }

    /// Copies the one question, as octets of a parsed query, so that its case is preserved.
    #[inline]
    pub fn question(&mut self, octets: &[u8]) -> Result<(), Full> {
        self.put(octets)?;
        self.counts[0] = 1;
        Ok(())
    }

    /// Writes the records of one RRset, all of them or none; returns how many.
    #[inline]
    pub fn rrset<'r>(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (rtype, class): (Rtype, u16),
        ttl: u32,
        rdatas: impl Iterator<Item = &'r [u8]>,
    ) -> Result<u16, Full> {
        let mark = self.mark();
        let mut owner = owner;
        let mut count = 0;
        for rdata in rdatas {
            let Ok(at) = self.record(owner, (rtype, class), ttl, rdata) else {
                self.return_to(mark);
                return Err(Full);
            };
            owner = at.map_or(owner, Owner::At);
            self.last_owner = at;
            count += 1;
        }
        let counted = &mut self.counts[section as usize];
        *counted = counted.saturating_add(count);
        Ok(count)
    }

    /// Writes one record; returns where its owner stands, if a pointer reaches that.
    #[inline]
    fn record(&mut self, owner: Owner<'_>, kind: (Rtype, u16), ttl: u32, rdata: &[u8]) -> Result<Option<u16>, Full> {
        let owner_at = match owner {
            Owner::At(offset) => {
                self.put(&(0xc000 | offset).to_be_bytes())?;
                Some(offset)
            }
            Owner::Name(wire) => self.name(wire)?,
        };
        let [type_high, type_low] = kind.0.0.to_be_bytes();
        let [class_high, class_low] = kind.1.to_be_bytes();
        let [ttl_0, ttl_1, ttl_2, ttl_3] = ttl.to_be_bytes();
        let layout = Layout::of(kind.0);
        let len = u16::try_from(rdata.len()).map_err(|_| Full)?;
        let [len_high, len_low] = if layout.is_none() { len.to_be_bytes() } else { [0, 0] };
        self.put(&[type_high, type_low, class_high, class_low, ttl_0, ttl_1, ttl_2, ttl_3, len_high, len_low])?;
        if let Some(layout) = layout {
            self.compressed_rdata(layout, rdata)?;
        } else {
            self.put(rdata)?;
        }
        Ok(owner_at)
    }

    /// Writes rdata with compressed names, and its length into the two octets before.
    fn compressed_rdata(&mut self, layout: Layout, rdata: &[u8]) -> Result<(), Full> {
        let start = self.len;
        let (fixed, mut rest) = rdata.split_at_checked(layout.octets_before).unwrap_or((rdata, &[]));
        self.put(fixed)?;
        for _ in 0..layout.names {
            // Rdata that is no name stays as it is: what the zone holds is what is served.
            let Ok(len) = crate::name::wire_len(rest) else { break };
            self.name(&rest[..len])?;
            rest = &rest[len..];
        }
        self.put(rest)?;
        let len = u16::try_from(self.len - start).map_err(|_| Full)?;
        self.out[start - 2..start].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Writes the valid uncompressed name `wire`, compressed; returns where it stands if a pointer reaches that.
    fn name(&mut self, wire: &[u8]) -> Result<Option<u16>, Full> {
        if !self.question_known {
            self.index_question();
        }
        let mut starts = [0u8; 128];
        let mut count = 0;
        let mut at = 0;
        while let Some(&len @ 1..) = wire.get(at) {
            #[expect(clippy::cast_possible_truncation, reason = "a valid name has at most 255 octets")]
            {
                starts[count & 127] = at as u8;
            }
            count += 1;
            at += usize::from(len) + 1;
        }
        let (mut known, mut plain) = (ROOT, count);
        for &offset in self.question_starts[..self.question_labels].iter().rev() {
            if plain == 0 || !is_same(label_at(self.out, offset), label_of(wire, starts[plain - 1])) {
                break;
            }
            known = offset;
            plain -= 1;
        }
        while plain > 0 {
            let Some(found) = self.table.find(&self.out[..self.len], known, label_of(wire, starts[plain - 1])) else {
                break;
            };
            known = found;
            plain -= 1;
        }
        let plain_len = if plain == count { at } else { usize::from(starts[plain]) };
        let start = self.len;
        self.put(&wire[..plain_len])?;
        let end = if known == ROOT { self.put(&[0]) } else { self.put(&(0xc000 | known).to_be_bytes()) };
        if end.is_err() {
            self.len = start;
            return Err(Full);
        }
        for &label_start in starts[..plain].iter().rev() {
            let Some(offset) = reachable(start + usize::from(label_start)) else { return Ok(None) };
            self.table.insert(known, label_of(wire, label_start), offset);
            known = offset;
        }
        Ok((known != ROOT).then_some(known))
    }

    fn index_question(&mut self) {
        self.question_known = true;
        if self.counts[0] == 0 {
            return;
        }
        let (mut at, mut count) = (HEADER_LEN, 0);
        while let (Some(&len @ 1..), Some(start)) = (self.out[..self.len].get(at), self.question_starts.get_mut(count))
        {
            // The question comes first, so a pointer reaches it.
            *start = u16::try_from(at).unwrap_or(ROOT);
            count += 1;
            at += usize::from(len) + 1;
        }
        self.question_labels = count;
        if count == QUESTION_LABELS {
            self.question_labels = 0;
            self.index_long_question();
        }
    }

    /// Puts all suffixes of the question's name into the table.
    fn index_long_question(&mut self) {
        let mut starts = [0usize; 128];
        let mut count = 0;
        let mut at = HEADER_LEN;
        for label in Labels::of(&self.out[HEADER_LEN..self.len]) {
            starts[count & 127] = at;
            count += 1;
            at += label.len() + 1;
        }
        let mut parent = ROOT;
        for &start in starts[..count].iter().rev() {
            let Some(offset) = reachable(start) else { return };
            self.table.insert(parent, label_at(&self.out[..self.len], offset), offset);
            parent = offset;
        }
    }

    /// Writes an OPT record (RFC 6891 §6.1.2) whose options have `options_len` octets; the options must follow.
    pub fn opt_head(
        &mut self,
        payload_size: u16,
        rcode_high: u8,
        dnssec_ok: bool,
        options_len: u16,
    ) -> Result<(), Full> {
        let [size_high, size_low] = payload_size.to_be_bytes();
        let [len_high, len_low] = options_len.to_be_bytes();
        let flags = if dnssec_ok { 0x80 } else { 0 };
        if self.room() < crate::edns::OPT_LEN + usize::from(options_len) {
            return Err(Full);
        }
        self.put(&[0, 0, 41, size_high, size_low, rcode_high, 0, flags, 0, len_high, len_low])?;
        self.counts[3] += 1;
        Ok(())
    }

    /// Writes the code, the length and the parts of one option.
    pub fn option(&mut self, code: u16, parts: &[&[u8]]) -> Result<(), Full> {
        let len = u16::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).map_err(|_| Full)?;
        self.put(&code.to_be_bytes())?;
        self.put(&len.to_be_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))
    }

    /// Where the owner of the last record written stands, if a pointer reaches that.
    #[inline]
    pub fn last_owner(&self) -> Option<u16> {
        self.last_owner
    }

    /// Whether the name at `offset` of the message, written before, is the uncompressed name `wire`.
    pub fn name_is(&self, offset: u16, wire: &[u8]) -> bool {
        let mut at = usize::from(offset);
        let mut labels = Labels::of(wire);
        // Pointers only lead backwards, so at most one of them stands before each label.
        for _ in 0..2 * 128 {
            match self.out.get(at).copied() {
                Some(high @ 0xc0..) => {
                    let low = self.out.get(at + 1).copied().unwrap_or(0);
                    at = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                }
                Some(0) => return labels.next().is_none(),
                Some(len) if usize::from(len) <= LABEL_LEN_MAX => {
                    let Some(label) = labels.next() else { return false };
                    let written = self.out.get(at + 1..=at + usize::from(len)).unwrap_or(&[]);
                    if !is_same(written, label) {
                        return false;
                    }
                    at += usize::from(len) + 1;
                }
                _ => return false,
            }
        }
        false
    }

    /// Writes the header; returns the message's length.
    #[inline]
    pub fn finish(self, id: u16, flags: u16) -> usize {
        let words = [id, flags, self.counts[0], self.counts[1], self.counts[2], self.counts[3]];
        for (slot, word) in self.out.chunks_exact_mut(2).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        self.len
    }

    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.len + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out[self.len..end].copy_from_slice(octets);
        self.len = end;
        Ok(())
    }
}

fn label_of(wire: &[u8], start: u8) -> &[u8] {
    let start = usize::from(start);
    &wire[start + 1..=start + usize::from(wire[start])]
}

fn reachable(offset: usize) -> Option<u16> {
    u16::try_from(offset).ok().filter(|_| offset <= POINTER_MAX)
}

/// Where the compressible names of a type's rdata lie (the types of RFC 1035 only, RFC 3597 §4).
#[derive(Clone, Copy)]
struct Layout {
    octets_before: usize,
    names: usize,
}

impl Layout {
    #[inline]
    fn of(rtype: Rtype) -> Option<Self> {
        let (octets_before, names) = match rtype {
            Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::MD | Rtype::MF | Rtype::MB | Rtype::MG | Rtype::MR => (0, 1),
            Rtype::SOA | Rtype::MINFO => (0, 2),
            Rtype::MX => (2, 1),
            _ => return None,
        };
        Some(Self { octets_before, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::wire_len;
    use proptest::prelude::*;

    const QUESTION: &[u8] = b"\x03WWW\x07example\x00\x00\x01\x00\x01";
    const NS: (Rtype, u16) = (Rtype::NS, 1);
    const TXT: (Rtype, u16) = (Rtype::TXT, 1);

    fn compose(limit: usize, write: impl FnOnce(&mut Composer<'_>)) -> Vec<u8> {
        let (mut out, mut table) = (vec![0xaa; limit], NameTable::default());
        let mut composer = Composer::new(&mut out, limit, &mut table).unwrap();
        composer.question(QUESTION).unwrap();
        write(&mut composer);
        let len = composer.finish(7, 0x8000);
        out.truncate(len);
        out
    }

    fn one(rdata: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::once(rdata)
    }

    #[test]
    fn names_point_to_the_question_and_to_each_other() {
        let message = compose(512, |composer| {
            let owner = Owner::Name(b"\x07example\x00");
            let servers = [b"\x02ns\x07example\x00".as_slice(), b"\x01a\x02ns\x07EXAMPLE\x00", b"\x00"];
            assert_eq!(composer.rrset(Section::Answer, owner, NS, 1, servers.into_iter()), Ok(3));
        });
        let start = HEADER_LEN + QUESTION.len();
        let fixed = b"\x00\x02\x00\x01\x00\x00\x00\x01";
        let expected = [
            b"\xc0\x10".as_slice(),
            fixed,
            b"\x00\x05\x02ns\xc0\x10\xc0\x10",
            fixed,
            b"\x00\x04\x01a\xc0\x29\xc0\x10",
            fixed,
            b"\x00\x01\x00",
        ];
        assert_eq!(message[start..], expected.concat());
        assert_eq!(message[..HEADER_LEN], *b"\x00\x07\x80\x00\x00\x01\x00\x03\x00\x00\x00\x00");
    }

    #[test]
    fn an_rrset_is_written_whole_or_not_at_all() {
        let limit = HEADER_LEN + QUESTION.len() + 40;
        let message = compose(limit, |composer| {
            let name = b"\x01x\x01y\x00".as_slice();
            let texts = [[1_u8; 10], [2; 10], [3; 10]];
            let before = composer.len();
            let written =
                composer.rrset(Section::Answer, Owner::Name(name), TXT, 1, texts.iter().map(|text| &text[..]));
            assert_eq!((written, composer.len(), composer.count(Section::Answer)), (Err(Full), before, 0));
            // What was taken back is not pointed to.
            assert_eq!(composer.rrset(Section::Authority, Owner::Name(b"\x01y\x00"), TXT, 1, one(b"z")), Ok(1));
        });
        assert_eq!(message[HEADER_LEN + QUESTION.len()..][..3], *b"\x01y\x00");
        assert_eq!(message[4..12], *b"\x00\x01\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn names_beyond_the_reach_of_pointers_stay_whole() {
        let filler = vec![0; 20_000];
        let message = compose(60_000, |composer| {
            composer.rrset(Section::Answer, QUESTION_NAME, TXT, 1, one(&filler)).unwrap();
            for _ in 0..2 {
                composer.rrset(Section::Answer, Owner::Name(b"\x03far\x00"), TXT, 1, one(b"")).unwrap();
            }
            assert_eq!(composer.last_owner(), None);
        });
        assert_eq!(message.windows(5).filter(|octets| *octets == b"\x03far\x00").count(), 2);
    }

    #[test]
    fn only_types_of_rfc_1035_are_compressed() {
        for (rtype, before, shrinks) in
            [(Rtype::MX, 2, true), (Rtype::PTR, 0, true), (Rtype::SRV, 6, false), (Rtype::DNAME, 0, false)]
        {
            let rdata = [&[0; 6][..before], b"\x07example\x00".as_slice()].concat();
            let message = compose(512, |composer| {
                composer.rrset(Section::Answer, QUESTION_NAME, (rtype, 1), 1, one(&rdata)).unwrap();
            });
            let plain = HEADER_LEN + QUESTION.len() + 12 + rdata.len();
            assert_eq!(message.len() < plain, shrinks, "{rtype}");
        }
    }

    /// Follows pointers; the octets of the name at `at`.
    fn expanded(message: &[u8], at: usize) -> Vec<u8> {
        let (mut at, mut name) = (at, Vec::new());
        loop {
            match message[at] {
                0 => return [name, vec![0]].concat(),
                high @ 0xc0.. => at = usize::from(high & 0x3f) << 8 | usize::from(message[at + 1]),
                len => {
                    name.extend(&message[at..=at + usize::from(len)]);
                    at += usize::from(len) + 1;
                }
            }
        }
    }

    fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let label = prop_oneof![
            prop::sample::select(vec![
                b"a".to_vec(),
                b"A".to_vec(),
                b"b".to_vec(),
                b"www".to_vec(),
                b"example".to_vec()
            ]),
            prop::collection::vec(any::<u8>(), 1..20),
        ];
        let name = prop::collection::vec(label, 0..8).prop_map(|labels| {
            let mut wire: Vec<u8> = labels
                .iter()
                .flat_map(|label| std::iter::once(u8::try_from(label.len()).unwrap()).chain(label.iter().copied()))
                .collect();
            wire.push(0);
            wire
        });
        prop::collection::vec(name, 1..60)
    }

    proptest! {
        #[test]
        fn compressed_names_expand_to_themselves(names in names()) {
            let mut starts = Vec::new();
            let message = compose(65_535, |composer| {
                for name in &names {
                    assert_eq!(wire_len(name), Ok(name.len()));
                    starts.push(composer.len());
                    composer.rrset(Section::Answer, Owner::Name(name), NS, 1, one(name)).unwrap();
                    if let Some(at) = composer.last_owner() {
                        assert!(composer.name_is(at, name));
                    }
                }
            });
            for (start, name) in starts.into_iter().zip(&names) {
                prop_assert!(expanded(&message, start).eq_ignore_ascii_case(name));
            }
        }
    }
}
