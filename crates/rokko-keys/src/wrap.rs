//! A private key as it is stored: encrypted with AES-256-GCM. `docs/formats/wrapped-key.md` describes the octets.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use rokko_dnssec::PublicKey;
use rokko_wire::Name;
use zeroize::Zeroizing;

use crate::private::KeyId;
use crate::{KeyError, MasterKey, MasterKeyId, PrivateKey, random};

const VERSION: u8 = 1;
const MASTER_ID_LEN: usize = 8;
const HEADER_LEN: usize = 1 + MASTER_ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// What a wrapped key belongs to. Wrapped octets open for nothing else.
pub(crate) struct Owner<'a> {
    pub(crate) id: KeyId,
    pub(crate) zone: &'a Name,
    pub(crate) public: &'a PublicKey,
}

impl Owner<'_> {
    /// The flags of the key stay out of it: they may change, such as when it is revoked.
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        let parts: [&[u8]; 5] =
            [header, &self.id.0, self.zone.as_bytes(), &[self.public.algorithm.number()], &self.public.key];
        parts.concat()
    }
}

pub(crate) fn wrap(master: &MasterKey, owner: &Owner<'_>, key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
    let nonce: [u8; NONCE_LEN] = random::octets()?;
    let plain = key.encode();
    let mut out = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN);
    out.push(VERSION);
    out.extend_from_slice(&master.id().0);
    out.extend_from_slice(&nonce);
    let associated = owner.associated(&out);
    // The room is there, so that encrypting in place leaves no copy of what was in the clear.
    out.extend_from_slice(&plain);
    let cipher = cipher(master, owner.id);
    let tag = cipher
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut out[HEADER_LEN..])
        .map_err(|_| KeyError::Damaged)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

pub(crate) fn unwrap(master: &MasterKey, owner: &Owner<'_>, wrapped: &[u8]) -> Result<PrivateKey, KeyError> {
    let needed = master_key_id_of(wrapped)?;
    if needed != master.id() {
        return Err(KeyError::WrongMasterKey { needed, here: master.id() });
    }
    let (header, body) = wrapped.split_at_checked(HEADER_LEN).ok_or(KeyError::Damaged)?;
    let (body, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(KeyError::Damaged)?;
    let nonce = header.last_chunk::<NONCE_LEN>().ok_or(KeyError::Damaged)?;
    let (nonce, associated) = (Nonce::assume_unique_for_key(*nonce), Aad::from(owner.associated(header)));
    let mut octets = Zeroizing::new(body.to_vec());
    let plain = cipher(master, owner.id)
        .open_in_place_separate_tag(nonce, associated, Tag::from(*tag), &mut octets, 0..)
        .map_err(|_| KeyError::Damaged)?;
    PrivateKey::decode(owner.public.algorithm, plain).ok_or(KeyError::Damaged)
}

/// The master key that wrapped these octets.
///
/// # Errors
///
/// If they are too short or newer than this program.
pub fn master_key_id_of(wrapped: &[u8]) -> Result<MasterKeyId, KeyError> {
    let (&version, rest) = wrapped.split_first().ok_or(KeyError::Damaged)?;
    if version != VERSION {
        return Err(KeyError::Version(version));
    }
    rest.first_chunk().map(|id| MasterKeyId(*id)).ok_or(KeyError::Damaged)
}

fn cipher(master: &MasterKey, id: KeyId) -> LessSafeKey {
    let mut key = Zeroizing::new([0; 32]);
    master.wrapping_key(&id.0, &mut key);
    let key = UnboundKey::new(&AES_256_GCM, &*key).expect("the key has the length of the algorithm");
    LessSafeKey::new(key)
}
