//! Messages to a PoP as bytes.

use rokko_zone::{Revision, ShortDigest};

use super::pop::{path, put_path, put_u64s};
use super::{
    ASKED_BUCKETS_MAX, BLOCK_OCTETS_MAX, CHAIN_LEN_MAX, Command, FROM_SERVER_OCTETS_MAX, FromServer, NAMES_MAX,
    PART_OCTETS_MAX, POP_NAME_LEN_MAX, REVOKED_MAX, RefuseCode, SnapshotStart, TEXT_LEN_MAX, Welcome,
};
use crate::SetId;
use crate::codec::{DecodeError, Reader, len16, len32, put_octets, put_text};

impl FromServer {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            FromServer::Welcome(welcome) => {
                out.push(1);
                welcome.write(&mut out);
            }
            FromServer::Refuse { code, text } => {
                out.extend_from_slice(&[2, code.octet()]);
                put_text(text, TEXT_LEN_MAX, &mut out);
            }
            FromServer::Frame { more, bytes } => {
                out.extend_from_slice(&[3, u8::from(*more)]);
                put_octets(bytes, &mut out);
            }
            FromServer::SnapshotStart(start) => {
                out.push(4);
                start.write(&mut out);
            }
            FromServer::SnapshotBlock { index, bytes } => {
                out.push(5);
                put_u64s(&[*index], &mut out);
                put_octets(bytes, &mut out);
            }
            FromServer::SnapshotEnd => out.push(6),
            FromServer::Ping { server_ms, head, age_ms } => {
                out.push(7);
                put_u64s(&[*server_ms, head.0, *age_ms], &mut out);
            }
            FromServer::ZoneImage { revision, more, bytes } => {
                out.push(8);
                put_u64s(&[revision.0], &mut out);
                out.push(u8::from(*more));
                put_octets(bytes, &mut out);
            }
            FromServer::ZoneGone { revision, zone } => {
                out.push(9);
                put_u64s(&[revision.0], &mut out);
                out.extend_from_slice(zone.as_bytes());
            }
            FromServer::AskSums => out.push(10),
            FromServer::AskZones(buckets) => {
                out.push(11);
                let buckets = &buckets[..buckets.len().min(ASKED_BUCKETS_MAX)];
                out.extend_from_slice(&len16(buckets.len()));
                for bucket in buckets {
                    out.extend_from_slice(&bucket.to_le_bytes());
                }
            }
            FromServer::AskNames(names) => {
                out.push(14);
                let names = &names[..names.len().min(NAMES_MAX)];
                out.extend_from_slice(&len16(names.len()));
                put_u64s(names, &mut out);
            }
            FromServer::Command { path, command } => {
                out.push(12);
                put_path(path, &mut out);
                command.write(&mut out);
            }
            FromServer::Revoked(keys) => {
                out.push(13);
                let keys = &keys[keys.len().saturating_sub(REVOKED_MAX)..];
                out.extend_from_slice(&len32(keys.len()));
                for key in keys {
                    out.extend_from_slice(key);
                }
            }
        }
        out
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FROM_SERVER_OCTETS_MAX {
            return Err(DecodeError::TooMany("octets in a message"));
        }
        let mut reader = Reader(bytes);
        let message = match reader.u8()? {
            1 => FromServer::Welcome(Welcome::read(&mut reader)?),
            2 => FromServer::Refuse {
                code: RefuseCode::of(reader.u8()?)?,
                text: reader.text(TEXT_LEN_MAX, "text of a refusal")?,
            },
            3 => FromServer::Frame { more: reader.flag("part of a frame")?, bytes: part(&mut reader)? },
            4 => FromServer::SnapshotStart(SnapshotStart::read(&mut reader)?),
            5 => FromServer::SnapshotBlock {
                index: reader.u64()?,
                bytes: reader.octets(BLOCK_OCTETS_MAX, "octets in a block")?.to_vec(),
            },
            6 => FromServer::SnapshotEnd,
            7 => FromServer::Ping { server_ms: reader.u64()?, head: Revision(reader.u64()?), age_ms: reader.u64()? },
            8 => FromServer::ZoneImage {
                revision: Revision(reader.u64()?),
                more: reader.flag("part of an image")?,
                bytes: reader.octets(BLOCK_OCTETS_MAX, "octets in a part")?.to_vec(),
            },
            9 => FromServer::ZoneGone { revision: Revision(reader.u64()?), zone: reader.name()? },
            10 => FromServer::AskSums,
            11 => {
                let count = reader.count16(ASKED_BUCKETS_MAX, "buckets")?;
                FromServer::AskZones((0..count).map(|_| reader.u16()).collect::<Result<_, _>>()?)
            }
            12 => FromServer::Command { path: path(&mut reader)?, command: Command::read(&mut reader)? },
            13 => {
                let count = reader.count32(REVOKED_MAX, "revoked keys")?;
                FromServer::Revoked((0..count).map(|_| reader.array()).collect::<Result<_, _>>()?)
            }
            14 => {
                let count = reader.count16(NAMES_MAX, "names of zones")?;
                FromServer::AskNames((0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?)
            }
            _ => return Err(DecodeError::Invalid("kind of message to a PoP")),
        };
        reader.end()?;
        Ok(message)
    }
}

fn part(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    reader.octets(PART_OCTETS_MAX, "octets in a part").map(<[u8]>::to_vec)
}

impl Welcome {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.set.0);
        put_u64s(&[self.head.0, self.server_ms], out);
        put_text(&self.name, POP_NAME_LEN_MAX, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, set) = (reader.u16()?, SetId(reader.array()?));
        let (head, server_ms) = (Revision(reader.u64()?), reader.u64()?);
        Ok(Self { version, set, head, server_ms, name: reader.text(POP_NAME_LEN_MAX, "name of a PoP")? })
    }
}

impl SnapshotStart {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { revision, at_ms, digest, zones, blocks, octets, from_block } = self;
        put_u64s(&[revision.0, *at_ms], out);
        out.extend_from_slice(&digest.0);
        put_u64s(&[*zones, *blocks, *octets, *from_block], out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (revision, at_ms, digest) = (Revision(reader.u64()?), reader.u64()?, ShortDigest(reader.array()?));
        let (zones, blocks, octets) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let from_block = reader.u64()?;
        if from_block > blocks {
            return Err(DecodeError::Invalid("start of a snapshot"));
        }
        Ok(Self { revision, at_ms, digest, zones, blocks, octets, from_block })
    }
}

impl Command {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Command::Verify => out.push(1),
            Command::Drain(drained) => out.extend_from_slice(&[2, u8::from(*drained)]),
            Command::Certificate(chain) => {
                out.push(3);
                put_octets(chain, out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Command::Verify,
            2 => Command::Drain(reader.flag("command")?),
            3 => Command::Certificate(reader.octets(CHAIN_LEN_MAX, "octets in a chain of certificates")?.to_vec()),
            _ => return Err(DecodeError::Invalid("command")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<FromServer> {
        let (revision, digest) = (Revision(7), ShortDigest([5; 32]));
        let welcome = Welcome { version: 1, set: SetId([3; 16]), head: revision, server_ms: 8, name: "fra1".into() };
        let start = SnapshotStart { revision, at_ms: 9, digest, zones: 1, blocks: 2, octets: 3, from_block: 2 };
        let command = |path: &[&str], command| FromServer::Command {
            path: path.iter().map(|name| Box::from(*name)).collect(),
            command,
        };
        vec![
            FromServer::Welcome(welcome),
            FromServer::Refuse { code: RefuseCode::Ahead, text: "you are ahead".into() },
            FromServer::Frame { more: true, bytes: vec![1, 2, 3] },
            FromServer::SnapshotStart(start),
            FromServer::SnapshotBlock { index: 4, bytes: vec![9; 100] },
            FromServer::SnapshotEnd,
            FromServer::Ping { server_ms: 5, head: revision, age_ms: 6 },
            FromServer::ZoneImage { revision, more: false, bytes: vec![1] },
            FromServer::ZoneGone { revision, zone: "a.example.".parse().unwrap() },
            FromServer::AskSums,
            FromServer::AskZones(vec![0, 65_535]),
            FromServer::AskNames(vec![1 << 63]),
            command(&["a", "b"], Command::Verify),
            command(&[], Command::Drain(true)),
            command(&["a"], Command::Certificate(vec![1, 2])),
            FromServer::Revoked(vec![[1; 32], [2; 32]]),
        ]
    }

    #[test]
    fn messages_read_as_they_were_written() {
        for message in examples() {
            let bytes = message.encode();
            assert_eq!(FromServer::decode(&bytes), Ok(message));
            for len in 0..bytes.len() {
                assert!(FromServer::decode(&bytes[..len]).is_err(), "{len} of {bytes:?}");
            }
            assert_eq!(FromServer::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
        }
    }

    #[test]
    fn limits_hold() {
        let frame = FromServer::Frame { more: false, bytes: vec![0; PART_OCTETS_MAX + 1] }.encode();
        assert_eq!(FromServer::decode(&frame), Err(DecodeError::TooMany("octets in a part")));
        let block = FromServer::SnapshotBlock { index: 0, bytes: vec![0; BLOCK_OCTETS_MAX] }.encode();
        assert!(block.len() <= FROM_SERVER_OCTETS_MAX && FromServer::decode(&block).is_ok());
        let mut revoked = vec![[0; 32]; REVOKED_MAX + 1];
        revoked[REVOKED_MAX] = [1; 32];
        let Ok(FromServer::Revoked(kept)) = FromServer::decode(&FromServer::Revoked(revoked).encode()) else {
            panic!("not read")
        };
        assert_eq!((kept.len(), kept[REVOKED_MAX - 1]), (REVOKED_MAX, [1; 32]));
    }
}
