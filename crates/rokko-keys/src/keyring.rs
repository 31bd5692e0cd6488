//! The keyring: makes keys, opens wrapped ones, remembers those that are open, and signs with many threads.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use rokko_dnssec::{Algorithm, PublicKey, Sign, SignError, ToSign};
use rokko_wire::Name;

use crate::private::KeyId;
use crate::private::Material;
use crate::software::{self, SoftwareKey};
use crate::token::{Token, TokenError, TokenSigner};
use crate::wrap::{self, Owner};
use crate::{KeyError, MasterKey, PrivateKey};

/// Below so much work more threads cost more than they gain, in microseconds.
const SPLIT_US: usize = 1000;

/// How a keyring works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRingOptions {
    /// The most threads that one call signs with.
    pub threads: NonZeroUsize,
    /// How many keys stay open, at most twice as many for a while. About 400 octets each, 3 KiB for RSA.
    pub open_max: usize,
}

impl Default for KeyRingOptions {
    /// A thread for each core, 65,536 open keys.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads, open_max: 1 << 16 }
    }
}

/// What a new key is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// How it signs.
    pub algorithm: Algorithm,
    /// The flags of its DNSKEY record, such as [`PublicKey::ZONE`] and [`PublicKey::SEP`].
    pub flags: u16,
    /// The size of an RSA key: 2048, 3072 or 4096 bits. Others have one size.
    pub rsa_bits: usize,
}

impl KeySpec {
    /// An RSA key of 2048 bits, or another one of its algorithm's size.
    pub fn new(algorithm: Algorithm, flags: u16) -> Self {
        Self { algorithm, flags, rsa_bits: 2048 }
    }
}

/// A key as it goes into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Its public part.
    pub public: PublicKey,
    /// Its private part under the master key.
    pub wrapped: Vec<u8>,
}

/// A key as it comes out of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredKey<'a> {
    /// Its id.
    pub id: KeyId,
    /// The zone for which it was wrapped.
    pub zone: &'a Name,
    /// Its public part.
    pub public: &'a PublicKey,
    /// Its private part under the master key.
    pub wrapped: &'a [u8],
}

impl StoredKey<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner { id: self.id, zone: self.zone, public: self.public }
    }
}

/// Makes, opens and uses keys under one master key. Shared by threads.
#[derive(Debug)]
pub struct KeyRing {
    master: MasterKey,
    options: KeyRingOptions,
    token: Option<Arc<Token>>,
    /// Whether new keys are made in it.
    in_token: bool,
    open: Mutex<OpenKeys>,
}

/// Open keys in two generations: when the newer one is full it becomes the older one, and the older one goes.
#[derive(Default)]
struct OpenKeys {
    newer: HashMap<KeyId, Arc<Open>>,
    older: HashMap<KeyId, Arc<Open>>,
}

impl std::fmt::Debug for OpenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} open keys", self.newer.len() + self.older.len())
    }
}

/// A key that is open, and the wrapped octets that it came from: others mean another key.
struct Open {
    wrapped: Box<[u8]>,
    key: OpenKey,
}

enum OpenKey {
    Here(SoftwareKey),
    InToken(TokenSigner),
}

impl OpenKey {
    fn sign(&self, message: &[u8]) -> Result<Box<[u8]>, KeyError> {
        match self {
            Self::Here(key) => key.sign(message),
            Self::InToken(key) => Ok(key.sign(message)?),
        }
    }

    /// About how long one signature takes, in microseconds.
    fn cost_us(&self) -> usize {
        match self {
            Self::Here(key) => key.cost_us(),
            Self::InToken(_) => SPLIT_US,
        }
    }
}

impl KeyRing {
    /// A keyring with no key open.
    pub fn new(master: MasterKey, options: KeyRingOptions) -> Self {
        Self { master, options, token: None, in_token: false, open: Mutex::default() }
    }

    /// The same, with new keys made in its token.
    #[must_use]
    pub fn making_keys_in_token(self) -> Self {
        Self { in_token: true, ..self }
    }

    /// The same with a token, for keys that are in it.
    #[must_use]
    pub fn with_token(self, token: Arc<Token>) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The master key.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Makes a key for a zone, in the token if new keys are to be there. It is to be stored before anything that it signs.
    ///
    /// # Errors
    ///
    /// If the system gives no random octets, the size is not supported, or the token refuses.
    pub fn generate(&self, zone: &Name, spec: &KeySpec) -> Result<NewKey, KeyError> {
        if self.in_token {
            return self.generate_in_token(zone, spec);
        }
        let (private, key) = software::generate(spec.algorithm, spec.rsa_bits)?;
        let public = PublicKey { flags: spec.flags, algorithm: spec.algorithm, key };
        self.wrap(KeyId::generate()?, zone, public, &private)
    }

    /// Makes a key for a zone in the token, which never gives it away. It is to be stored before anything that it signs.
    ///
    /// # Errors
    ///
    /// If there is no token, or it refuses.
    pub fn generate_in_token(&self, zone: &Name, spec: &KeySpec) -> Result<NewKey, KeyError> {
        let token = self.token.as_ref().ok_or(KeyError::NoToken)?;
        let id = KeyId::generate()?;
        let (key, octets) = token.generate(id, zone, spec.algorithm, spec.rsa_bits)?;
        let public = PublicKey { flags: spec.flags, algorithm: spec.algorithm, key: octets.into() };
        let private = PrivateKey { algorithm: spec.algorithm, material: Material::Token(key) };
        self.wrap(id, zone, public, &private)
    }

    /// Deletes the private part of a key from the token, if it is in one. To be called when the store has forgotten it.
    ///
    /// # Errors
    ///
    /// If the key does not open, or the token refuses.
    pub fn delete_from_token(&self, stored: &StoredKey<'_>) -> Result<(), KeyError> {
        self.forget(stored.id);
        match self.reveal(stored)?.material {
            Material::Token(key) => {
                let token = self.token.as_ref().ok_or_else(|| TokenError::NotConfigured(key.serial.clone()))?;
                Ok(token.delete(&key)?)
            }
            _ => Ok(()),
        }
    }

    /// Takes over a key from elsewhere, if its parts belong together.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub fn add(&self, zone: &Name, public: PublicKey, private: &PrivateKey) -> Result<NewKey, KeyError> {
        check(private, &public)?;
        self.wrap(KeyId::generate()?, zone, public, private)
    }

    /// Wraps a key under an id that it has already, if its parts belong together.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub fn add_as(&self, id: KeyId, zone: &Name, public: PublicKey, private: &PrivateKey) -> Result<NewKey, KeyError> {
        check(private, &public)?;
        self.wrap(id, zone, public, private)
    }

    fn wrap(&self, id: KeyId, zone: &Name, public: PublicKey, private: &PrivateKey) -> Result<NewKey, KeyError> {
        let wrapped = wrap::wrap(&self.master, &Owner { id, zone, public: &public }, private)?;
        Ok(NewKey { id, public, wrapped })
    }

    /// The private part of a key, to be taken elsewhere.
    ///
    /// # Errors
    ///
    /// If it does not open.
    pub fn reveal(&self, stored: &StoredKey<'_>) -> Result<PrivateKey, KeyError> {
        wrap::unwrap(&self.master, &stored.owner(), stored.wrapped)
    }

    /// A key as it is to be stored under another master key.
    ///
    /// # Errors
    ///
    /// If it does not open.
    pub fn rewrap(&self, stored: &StoredKey<'_>, master: &MasterKey) -> Result<Vec<u8>, KeyError> {
        wrap::wrap(master, &stored.owner(), &self.reveal(stored)?)
    }

    /// Opens keys, and gives something that signs with them, by their places in `keys`.
    ///
    /// # Errors
    ///
    /// If one does not open.
    pub fn signers(&self, keys: &[StoredKey<'_>]) -> Result<Signers, KeyError> {
        let keys = keys.iter().map(|stored| self.open(stored)).collect::<Result<_, _>>()?;
        Ok(Signers { keys, threads: self.options.threads })
    }

    /// Forgets an open key, such as one that was deleted.
    pub fn forget(&self, id: KeyId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.newer.remove(&id);
        open.older.remove(&id);
    }

    /// How many keys are open.
    pub fn open_count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.newer.len() + open.older.len()
    }

    fn open(&self, stored: &StoredKey<'_>) -> Result<Arc<Open>, KeyError> {
        if let Some(open) = self.find(stored) {
            return Ok(open);
        }
        let private = self.reveal(stored)?;
        let key = match &private.material {
            Material::Token(key) => {
                let token = self.token.as_ref().ok_or_else(|| TokenError::NotConfigured(key.serial.clone()))?;
                OpenKey::InToken(TokenSigner::new(token, key, stored.public.algorithm)?)
            }
            _ => OpenKey::Here(SoftwareKey::new(&private, stored.public)?),
        };
        let open = Arc::new(Open { wrapped: stored.wrapped.into(), key });
        self.remember(stored.id, Arc::clone(&open));
        Ok(open)
    }

    fn find(&self, stored: &StoredKey<'_>) -> Option<Arc<Open>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = if let Some(found) = open.newer.get(&stored.id) {
            Arc::clone(found)
        } else {
            let found = open.older.remove(&stored.id)?;
            open.insert(stored.id, Arc::clone(&found), self.options.open_max);
            found
        };
        drop(open);
        (*found.wrapped == *stored.wrapped).then_some(found)
    }

    fn remember(&self, id: KeyId, key: Arc<Open>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(id, key, self.options.open_max);
    }
}

impl OpenKeys {
    fn insert(&mut self, id: KeyId, key: Arc<Open>, newer_max: usize) {
        if self.newer.len() >= newer_max {
            self.older = std::mem::take(&mut self.newer);
        }
        self.older.remove(&id);
        self.newer.insert(id, key);
    }
}

/// Whether private and public part belong together.
fn check(private: &PrivateKey, public: &PublicKey) -> Result<(), KeyError> {
    if private.algorithm != public.algorithm {
        return Err(KeyError::Mismatch(public.algorithm));
    }
    SoftwareKey::new(private, public).map(drop)
}

/// Some open keys, which sign. They stay open for as long as this lives.
#[derive(Clone)]
pub struct Signers {
    keys: Vec<Arc<Open>>,
    threads: NonZeroUsize,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} signers", self.keys.len())
    }
}

impl Signers {
    /// Signs each of some messages with the key at a place, and gives the signatures as they stand in RRSIG records, in the same
    /// order. Many messages are shared out to threads.
    ///
    /// # Errors
    ///
    /// If one could not be signed.
    pub fn sign_all(&self, inputs: &[(usize, &[u8])]) -> Result<Vec<Box<[u8]>>, KeyError> {
        let mut work_us = 0;
        for (signer, _) in inputs {
            work_us += self.key(*signer)?.cost_us();
        }
        let threads = self.threads.get().min(work_us / SPLIT_US).max(1);
        if threads == 1 {
            return self.sign_part(inputs);
        }
        let (first, rest) = inputs.split_at(inputs.len().div_ceil(threads));
        std::thread::scope(|scope| {
            let parts: Vec<_> =
                rest.chunks(first.len()).map(|part| scope.spawn(move || self.sign_part(part))).collect();
            let mut signatures = self.sign_part(first)?;
            for part in parts {
                signatures.extend(part.join().map_err(|_| KeyError::Sign)??);
            }
            Ok(signatures)
        })
    }

    fn sign_part(&self, inputs: &[(usize, &[u8])]) -> Result<Vec<Box<[u8]>>, KeyError> {
        inputs.iter().map(|(signer, message)| self.key(*signer)?.sign(message)).collect()
    }

    fn key(&self, signer: usize) -> Result<&OpenKey, KeyError> {
        self.keys.get(signer).map(|open| &open.key).ok_or(KeyError::NoSigner(signer))
    }
}

/// The signer at a place in a plan is the key at that place here.
impl Sign for Signers {
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError> {
        let inputs: Vec<(usize, &[u8])> = inputs.iter().map(|input| (input.signer, input.octets.as_slice())).collect();
        self.sign_all(&inputs).map_err(|error| SignError(in_one_line(&error)))
    }
}

/// An error and all its causes.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
