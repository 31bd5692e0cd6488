//! Messages from a PoP as bytes.

use rokko_zone::{Revision, ShortDigest, ZoneMark};

use super::{
    Ack, BUCKETS, FROM_POP_OCTETS_MAX, FromPop, Hello, MARKS_MAX, NAMES_MAX, News, PATH_LEN_MAX, POP_NAME_LEN_MAX,
    PROGRAM_LEN_MAX, Partial, Path, RCODES_MAX, REQUEST_LEN_MAX, RefuseCode, Report, Verified,
};
use crate::SetId;
use crate::codec::{DecodeError, Reader, len16, len32, put_octets, put_text};

impl FromPop {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            FromPop::Hello(hello) => {
                out.push(1);
                hello.write(&mut out);
            }
            FromPop::Ack(ack) => {
                out.push(2);
                ack.write(&mut out);
            }
            FromPop::Pong { server_ms, pop_ms } => {
                out.push(3);
                put_u64s(&[*server_ms, *pop_ms], &mut out);
            }
            FromPop::Report(report) => {
                out.push(4);
                report.write(&mut out);
            }
            FromPop::NeedZones(names) => {
                out.push(5);
                put_names(names, &mut out);
            }
            FromPop::Sums { revision, sums } => {
                out.push(6);
                put_u64s(&[revision.0], &mut out);
                for sum in sums {
                    out.extend_from_slice(&sum.to_le_bytes());
                }
            }
            FromPop::Marks { revision, more, marks } => {
                out.push(7);
                put_u64s(&[revision.0], &mut out);
                out.push(u8::from(*more));
                out.extend_from_slice(&len32(marks.len()));
                for mark in marks {
                    put_u64s(&[mark.name, mark.revision.0], &mut out);
                    out.extend_from_slice(&mark.digest.to_le_bytes());
                }
            }
            FromPop::Verified(verified) => {
                out.push(8);
                verified.write(&mut out);
            }
            FromPop::Renew(request) => {
                out.push(9);
                put_octets(request, &mut out);
            }
            FromPop::Relayed { path, news } => {
                out.push(10);
                put_path(path, &mut out);
                news.write(&mut out);
            }
        }
        out
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FROM_POP_OCTETS_MAX {
            return Err(DecodeError::TooMany("octets in a message"));
        }
        let mut reader = Reader(bytes);
        let message = match reader.u8()? {
            1 => FromPop::Hello(Hello::read(&mut reader)?),
            2 => FromPop::Ack(Ack::read(&mut reader)?),
            3 => FromPop::Pong { server_ms: reader.u64()?, pop_ms: reader.u64()? },
            4 => FromPop::Report(Report::read(&mut reader)?),
            5 => FromPop::NeedZones(names(&mut reader)?),
            6 => {
                let revision = Revision(reader.u64()?);
                let sums = (0..BUCKETS).map(|_| reader.u128()).collect::<Result<_, _>>()?;
                FromPop::Sums { revision, sums }
            }
            7 => {
                let (revision, more) = (Revision(reader.u64()?), reader.flag("list of marks")?);
                let marks = (0..reader.count32(MARKS_MAX, "marks of zones")?).map(|_| mark(&mut reader));
                FromPop::Marks { revision, more, marks: marks.collect::<Result<_, _>>()? }
            }
            8 => FromPop::Verified(Verified::read(&mut reader)?),
            9 => FromPop::Renew(reader.octets(REQUEST_LEN_MAX, "octets in a request for a certificate")?.to_vec()),
            10 => FromPop::Relayed { path: path(&mut reader)?, news: News::read(&mut reader)? },
            _ => return Err(DecodeError::Invalid("kind of message from a PoP")),
        };
        reader.end()?;
        Ok(message)
    }
}

impl Hello {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(u8::from(self.set.is_some()) | u8::from(self.partial.is_some()) << 1 | u8::from(self.relay) << 2);
        if let Some(set) = &self.set {
            out.extend_from_slice(&set.0);
        }
        put_u64s(&[self.revision.0], out);
        out.extend_from_slice(&self.expected.0);
        out.extend_from_slice(&self.digest.0);
        if let Some(Partial { revision, digest, blocks }) = &self.partial {
            put_u64s(&[revision.0, *blocks], out);
            out.extend_from_slice(&digest.0);
        }
        put_text(&self.program, PROGRAM_LEN_MAX, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, flags) = (reader.u16()?, reader.u8()?);
        if flags > 7 {
            return Err(DecodeError::Invalid("set of flags"));
        }
        let set = if flags & 1 != 0 { Some(SetId(reader.array()?)) } else { None };
        let revision = Revision(reader.u64()?);
        let (expected, digest) = (ShortDigest(reader.array()?), ShortDigest(reader.array()?));
        let partial = if flags & 2 != 0 {
            let (revision, blocks) = (Revision(reader.u64()?), reader.u64()?);
            Some(Partial { revision, digest: ShortDigest(reader.array()?), blocks })
        } else {
            None
        };
        let program = reader.text(PROGRAM_LEN_MAX, "version of a program")?;
        Ok(Self { version, set, revision, expected, digest, partial, program, relay: flags & 4 != 0 })
    }
}

impl Ack {
    fn write(&self, out: &mut Vec<u8>) {
        put_u64s(&[self.revision.0, self.at_ms], out);
        out.extend_from_slice(&self.digest.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (revision, at_ms) = (Revision(reader.u64()?), reader.u64()?);
        Ok(Self { revision, digest: ShortDigest(reader.array()?), at_ms })
    }
}

impl Report {
    fn write(&self, out: &mut Vec<u8>) {
        put_text(&self.program, PROGRAM_LEN_MAX, out);
        let responses = &self.responses[..self.responses.len().min(RCODES_MAX)];
        out.extend_from_slice(&len16(responses.len()));
        for (rcode, count) in responses {
            out.extend_from_slice(&rcode.to_le_bytes());
            put_u64s(&[*count], out);
        }
        put_u64s(&[self.revision.0, self.age_ms, self.zones, self.missing, self.damages], out);
        out.push(u8::from(self.drained));
        put_u64s(&[self.certificate_expires_ms], out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let program = reader.text(PROGRAM_LEN_MAX, "version of a program")?;
        let count = reader.count16(RCODES_MAX, "response codes")?;
        let responses = (0..count).map(|_| Ok((reader.u16()?, reader.u64()?))).collect::<Result<Vec<_>, _>>()?;
        if !responses.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(DecodeError::Invalid("list of response codes"));
        }
        let (revision, age_ms) = (Revision(reader.u64()?), reader.u64()?);
        let (zones, missing, damages) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let drained = reader.flag("report")?;
        let certificate_expires_ms = reader.u64()?;
        Ok(Self { program, responses, revision, age_ms, zones, missing, damages, drained, certificate_expires_ms })
    }
}

impl Verified {
    fn write(&self, out: &mut Vec<u8>) {
        put_u64s(&[self.revision.0, self.at_ms, self.zones, self.octets], out);
        out.extend_from_slice(&self.digest.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (revision, at_ms, zones, octets) = (Revision(reader.u64()?), reader.u64()?, reader.u64()?, reader.u64()?);
        Ok(Self { revision, at_ms, zones, octets, digest: ShortDigest(reader.array()?) })
    }
}

impl News {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            News::Connected { relay, program } => {
                out.extend_from_slice(&[1, u8::from(*relay)]);
                put_text(program, PROGRAM_LEN_MAX, out);
            }
            News::Disconnected => out.push(2),
            News::Refused { code, revision } => {
                out.extend_from_slice(&[3, code.octet()]);
                put_u64s(&[revision.0], out);
            }
            News::Ack(ack) => {
                out.push(4);
                ack.write(out);
            }
            News::Report(report) => {
                out.push(5);
                report.write(out);
            }
            News::Differ(names) => {
                out.push(6);
                put_names(names, out);
            }
            News::Verified(verified) => {
                out.push(7);
                verified.write(out);
            }
            News::Renew(request) => {
                out.push(8);
                put_octets(request, out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => {
                let relay = reader.flag("note of a connection")?;
                News::Connected { relay, program: reader.text(PROGRAM_LEN_MAX, "version of a program")? }
            }
            2 => News::Disconnected,
            3 => News::Refused { code: RefuseCode::of(reader.u8()?)?, revision: Revision(reader.u64()?) },
            4 => News::Ack(Ack::read(reader)?),
            5 => News::Report(Report::read(reader)?),
            6 => News::Differ(names(reader)?),
            7 => News::Verified(Verified::read(reader)?),
            8 => News::Renew(reader.octets(REQUEST_LEN_MAX, "octets in a request for a certificate")?.to_vec()),
            _ => return Err(DecodeError::Invalid("kind of news")),
        })
    }
}

impl RefuseCode {
    const ALL: [Self; 8] = [
        Self::Version,
        Self::OtherSet,
        Self::Ahead,
        Self::Forked,
        Self::Busy,
        Self::Revoked,
        Self::Protocol,
        Self::Expired,
    ];

    pub(super) fn octet(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::OtherSet => 2,
            Self::Ahead => 3,
            Self::Forked => 4,
            Self::Busy => 5,
            Self::Revoked => 6,
            Self::Protocol => 7,
            Self::Expired => 8,
        }
    }

    pub(super) fn of(octet: u8) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|code| code.octet() == octet).ok_or(DecodeError::Invalid("reason of a refusal"))
    }
}

pub(super) fn put_u64s(numbers: &[u64], out: &mut Vec<u8>) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

pub(super) fn put_path(path: &Path, out: &mut Vec<u8>) {
    let path = &path[..path.len().min(PATH_LEN_MAX)];
    out.extend_from_slice(&len16(path.len()));
    for name in path {
        put_text(name, POP_NAME_LEN_MAX, out);
    }
}

pub(super) fn path(reader: &mut Reader<'_>) -> Result<Path, DecodeError> {
    let count = reader.count16(PATH_LEN_MAX, "relays on a way")?;
    (0..count).map(|_| reader.text(POP_NAME_LEN_MAX, "name of a PoP")).collect()
}

fn put_names(names: &[rokko_wire::Name], out: &mut Vec<u8>) {
    let names = &names[..names.len().min(NAMES_MAX)];
    out.extend_from_slice(&len16(names.len()));
    for name in names {
        out.extend_from_slice(name.as_bytes());
    }
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<rokko_wire::Name>, DecodeError> {
    (0..reader.count16(NAMES_MAX, "names of zones")?).map(|_| reader.name()).collect()
}

fn mark(reader: &mut Reader<'_>) -> Result<ZoneMark, DecodeError> {
    Ok(ZoneMark { name: reader.u64()?, revision: Revision(reader.u64()?), digest: reader.u128()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<FromPop> {
        let (revision, digest) = (Revision(7), ShortDigest([5; 32]));
        let hello = Hello {
            version: 1,
            set: Some(SetId([3; 16])),
            revision,
            expected: ShortDigest([4; 32]),
            digest,
            partial: Some(Partial { revision, digest, blocks: 9 }),
            program: "rokko 1.2".into(),
            relay: true,
        };
        let bare = Hello { set: None, partial: None, relay: false, ..hello.clone() };
        let ack = Ack { revision, digest, at_ms: 1234 };
        let report = Report {
            program: "rokko".into(),
            responses: vec![(0, 5), (3, 7)],
            revision,
            age_ms: 1,
            zones: 2,
            missing: 3,
            damages: 4,
            drained: true,
            certificate_expires_ms: 5,
        };
        let names: Vec<rokko_wire::Name> = vec!["a.example.".parse().unwrap(), rokko_wire::Name::root()];
        let verified = Verified { revision, at_ms: 1, zones: 2, octets: 3, digest };
        let mark = ZoneMark { name: 1, revision, digest: 1 << 100 };
        let mut all = vec![
            FromPop::Hello(hello),
            FromPop::Hello(bare),
            FromPop::Ack(ack),
            FromPop::Pong { server_ms: 1, pop_ms: 2 },
            FromPop::Report(report.clone()),
            FromPop::NeedZones(names.clone()),
            FromPop::Marks { revision, more: true, marks: vec![mark, mark] },
            FromPop::Verified(verified),
            FromPop::Renew(vec![1, 2, 3]),
        ];
        let news = [
            News::Connected { relay: true, program: "x".into() },
            News::Disconnected,
            News::Refused { code: RefuseCode::Forked, revision },
            News::Ack(ack),
            News::Report(report),
            News::Differ(names),
            News::Verified(verified),
            News::Renew(vec![4]),
        ];
        all.extend(news.map(|news| FromPop::Relayed { path: vec!["fra1".into(), "ams2".into()], news }));
        all
    }

    #[test]
    fn messages_read_as_they_were_written() {
        for message in examples() {
            let bytes = message.encode();
            assert_eq!(FromPop::decode(&bytes), Ok(message));
            for len in 0..bytes.len() {
                assert!(FromPop::decode(&bytes[..len]).is_err(), "{len} of {bytes:?}");
            }
            assert_eq!(FromPop::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
        }
        let sums = FromPop::Sums { revision: Revision(1), sums: (0..BUCKETS as u128).collect() };
        assert!(sums.encode().len() < FROM_POP_OCTETS_MAX);
        assert_eq!(FromPop::decode(&sums.encode()), Ok(sums));
    }

    #[test]
    fn limits_hold() {
        let path = vec![Box::from("x"); PATH_LEN_MAX + 1];
        let long = FromPop::Relayed { path, news: News::Disconnected };
        let FromPop::Relayed { path, .. } = FromPop::decode(&long.encode()).unwrap() else { panic!("another message") };
        assert_eq!(path.len(), PATH_LEN_MAX);
        let renew = FromPop::Renew(vec![0; REQUEST_LEN_MAX + 1]).encode();
        assert!(matches!(FromPop::decode(&renew), Err(DecodeError::TooMany(_))));
        let marks = FromPop::Marks { revision: Revision(0), more: false, marks: Vec::new() };
        let mut bytes = marks.encode();
        bytes[10..14].copy_from_slice(&len32(MARKS_MAX + 1));
        assert!(matches!(FromPop::decode(&bytes), Err(DecodeError::TooMany(_))));
        let text = "é".repeat(PROGRAM_LEN_MAX);
        let report = FromPop::Report(Report { program: text.into(), ..Report::default() });
        let Ok(FromPop::Report(report)) = FromPop::decode(&report.encode()) else { panic!("not a report") };
        assert_eq!(report.program.len(), PROGRAM_LEN_MAX);
        let full = FromPop::Marks { revision: Revision(0), more: false, marks: vec![mark_of(1); MARKS_MAX] };
        assert!(full.encode().len() < FROM_POP_OCTETS_MAX);
    }

    fn mark_of(name: u64) -> ZoneMark {
        ZoneMark { name, revision: Revision(1), digest: 2 }
    }
}
