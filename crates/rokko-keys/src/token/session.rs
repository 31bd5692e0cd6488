//! Sessions with a token: a few, each used by one thread at a time.
//!
//! A session that fails because the token was gone makes all others end too; the next use looks for the token again and logs in. So a token
//! that comes back needs nobody who restarts anything.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::{TokenError, TokenOptions};

/// A token with its sessions. Shared by threads.
pub struct Token {
    options: TokenOptions,
    library: Pkcs11,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    /// Rises each time that the token was looked for: sessions and handles of before mean nothing any more.
    generation: u64,
    place: Option<Place>,
    /// The PIN was refused. It is not tried again: a token locks itself after a few tries.
    pin_refused: bool,
    idle: Vec<Session>,
    in_use: usize,
}

/// Where the token is.
#[derive(Clone)]
struct Place {
    slot: Slot,
    serial: String,
}

/// A session that is in use.
pub(super) struct InUse {
    pub(super) session: Session,
    pub(super) generation: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.options.token)
    }
}

impl Token {
    /// Loads the library, finds the token and logs in.
    ///
    /// # Errors
    ///
    /// If one of these fails.
    pub fn open(options: TokenOptions) -> Result<Self, TokenError> {
        let token = Self::load(options)?;
        token.serial()?;
        Ok(token)
    }

    /// Loads the library. The token may come later: each use looks for it until it is there.
    ///
    /// # Errors
    ///
    /// If there is no such library.
    pub fn load(options: TokenOptions) -> Result<Self, TokenError> {
        let library = Pkcs11::new(&options.library)
            .map_err(|error| TokenError::Library { path: options.library.clone(), source: Box::new(error) })?;
        let state = State { generation: 0, place: None, pin_refused: false, idle: Vec::new(), in_use: 0 };
        Ok(Self { options, library, state: Mutex::new(state), returned: Condvar::new() })
    }

    /// The serial number of the token, if it is there.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn serial(&self) -> Result<String, TokenError> {
        self.with(|_| Ok(()))?;
        let place = self.lock().place.clone();
        place.map(|place| place.serial).ok_or_else(|| self.absent())
    }

    /// What it is called in the configuration.
    pub(super) fn name(&self) -> String {
        self.options.token.clone()
    }

    pub(super) fn refused(&self, doing: &'static str) -> impl Fn(Error) -> TokenError {
        let token = self.name();
        move |error| TokenError::Refused { token: token.clone(), doing, source: Box::new(error) }
    }

    fn absent(&self) -> TokenError {
        TokenError::Absent(self.name())
    }

    /// Does something in a session; if the token was gone, once more after looking for it anew.
    pub(super) fn with<T>(&self, act: impl Fn(&InUse) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let result = self.once(&act);
        match result {
            Err(error) if is_gone(&error) => self.once(&act),
            result => result,
        }
    }

    fn once<T>(&self, act: impl Fn(&InUse) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let mut taken = Taken { token: self, session: Some(self.take()?), keep: false };
        let session = taken.session.as_ref().expect("it is taken out only on drop");
        let result = act(session);
        match &result {
            // A token may end an operation that failed only with its session.
            Err(error) if is_gone(error) => self.forget(session.generation),
            Err(_) => {}
            Ok(_) => taken.keep = true,
        }
        result
    }

    /// A session of the present generation; waits while all are in use.
    fn take(&self) -> Result<InUse, TokenError> {
        let mut state = self.lock();
        while state.in_use >= self.options.sessions_max.max(1) {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.pin_refused {
            let source = Box::new(Error::Pkcs11(RvError::PinIncorrect, Function::Login));
            return Err(TokenError::Login { token: self.name(), source });
        }
        if state.place.is_none() {
            state.place = Some(self.find()?);
        }
        let session = match (state.idle.pop(), &state.place) {
            (Some(session), _) => session,
            (None, Some(place)) => match self.log_in(place.slot) {
                Ok(session) => session,
                Err(error) => {
                    state.place = None;
                    state.pin_refused = is_wrong_pin(&error);
                    return Err(error);
                }
            },
            (None, None) => return Err(self.absent()),
        };
        state.in_use += 1;
        Ok(InUse { session, generation: state.generation })
    }

    /// Ends everything of a generation, unless that was done already.
    fn forget(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.generation += 1;
            state.place = None;
            state.idle.clear();
        }
    }

    fn find(&self) -> Result<Place, TokenError> {
        match self.library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => {
                return Err(TokenError::Library { path: self.options.library.clone(), source: Box::new(error) });
            }
        }
        let slots = self.library.get_slots_with_initialized_token().map_err(self.refused("listing slots"))?;
        let wanted = self.options.token.trim();
        for slot in slots {
            // One token that fails is no reason not to find another.
            let Ok(info) = self.library.get_token_info(slot) else { continue };
            let (label, serial) = (info.label().trim(), info.serial_number().trim());
            if label == wanted || serial == wanted {
                return Ok(Place { slot, serial: serial.to_owned() });
            }
        }
        Err(self.absent())
    }

    fn log_in(&self, slot: Slot) -> Result<Session, TokenError> {
        let session = self.library.open_rw_session(slot).map_err(self.refused("opening a session"))?;
        // The login counts for all sessions of this program.
        let pin = AuthPin::from(self.options.pin.as_str());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(TokenError::Login { token: self.name(), source: Box::new(error) }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error means that the token, or all that it knew of us, is gone.
fn is_gone(error: &TokenError) -> bool {
    let (TokenError::Refused { source, .. } | TokenError::Login { source, .. }) = error else { return false };
    let Error::Pkcs11(error, _) = &**source else { return false };
    matches!(
        error,
        RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::UserNotLoggedIn
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::CryptokiNotInitialized
    )
}

/// Whether the token knows the PIN not to be right, as opposed to being unable to say.
fn is_wrong_pin(error: &TokenError) -> bool {
    let TokenError::Login { source, .. } = error else { return false };
    let Error::Pkcs11(error, _) = &**source else { return false };
    matches!(
        error,
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired | RvError::PinLocked
    )
}

/// Brings a session back when dropped, whatever happened meanwhile.
struct Taken<'t> {
    token: &'t Token,
    session: Option<InUse>,
    keep: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some(in_use) = self.session.take() else { return };
        let mut state = self.token.lock();
        state.in_use -= 1;
        if self.keep && state.generation == in_use.generation {
            state.idle.push(in_use.session);
        }
        drop(state);
        self.token.returned.notify_one();
    }
}
