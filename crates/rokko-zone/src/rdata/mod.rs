//! Record data of every type: presentation format to wire form, back, and the checks of both.
//!
//! One table (`table.rs`) maps each record type to its fields. Reading text, writing text, validating the wire form,
//! the canonical form and the embedded names are each one walk over that table, so a kind of field is written once,
//! however many types have it. A type without text of its own, known or not, has the form of RFC 3597 §5:
//! `\# LENGTH HEX`.

mod apl;
mod bitmap;
mod loc;
mod mnemonic;
mod svcb;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod tokens;
mod wire;
mod words;
mod write;

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXUPPER;
use rokko_wire::name::Name;
use rokko_wire::rtype::Rtype;

use table::{Field, NameUse, layout};
use wire::Walk;
use words::Words;

/// The most octets that the data of one record has (RFC 1035 §3.2.1: RDLENGTH has 16 bits).
pub const RDATA_LEN_MAX: usize = 65_535;

/// One word or quoted string of a zone file entry, escapes still in place.
///
/// A word may hold a quoted part right after an equals sign, as service parameters do (`alpn="h2,h3"`, RFC 9460
/// §2.1); the quotes are then part of `text`.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// The characters, without the quotes around a quoted string.
    pub text: &'a [u8],
    /// Whether quotes stood around it.
    pub quoted: bool,
    /// The line where the token starts, from 1.
    pub line: u32,
    /// The column where the token starts, quote included, from 1.
    pub column: u32,
}

/// What is wrong with one field of a record's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct RdataError {
    /// The index into the tokens, which is their count when one is missing; the index of the field where wire form
    /// was checked.
    pub token: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub expected: String,
}

impl RdataError {
    fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { token: 0, found: found.into(), expected: expected.into() }
    }

    fn at(mut self, token: usize) -> Self {
        self.token = token;
        self
    }
}

/// Appends the wire form of the record data in `tokens` to `out`.
///
/// `origin` (wire form) completes relative names. Embedded names keep their case. `\# LENGTH HEX` (RFC 3597 §5) is
/// taken for every type and is then held against the type's layout. After an error `out` is as it was before.
pub fn parse(rtype: Rtype, tokens: &[Token<'_>], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let start = out.len();
    parse_into(rtype, tokens, origin, out).inspect_err(|_| out.truncate(start))
}

fn parse_into(rtype: Rtype, tokens: &[Token<'_>], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let start = out.len();
    let mut words = Words::new(tokens, origin);
    if tokens.first().is_some_and(|first| !first.quoted && first.text == b"\\#") {
        text::parse_generic(&mut words, out)?;
        check(rtype, &out[start..]).map_err(|error| error.at(0))?;
    } else {
        for field in layout(rtype) {
            let field = field.resolve(&out[start..])?;
            text::parse_field(field, &mut words, start, out)?;
        }
    }
    words.finish()?;
    check_len(out.len() - start).map_err(|error| error.at(tokens.len().saturating_sub(1)))
}

fn check_len(len: usize) -> Result<(), RdataError> {
    if len > RDATA_LEN_MAX {
        return Err(RdataError::new(format!("{len} octets of data"), format!("at most {RDATA_LEN_MAX} octets")));
    }
    Ok(())
}

/// Reads the data of one record as one line of text, as an API gives it: quotes, escapes and parentheses as in a zone
/// file, no comments.
///
/// The error's `found` ends with the column, from 1.
pub fn from_text(rtype: Rtype, text: &str, origin: Option<&Name>) -> Result<Box<[u8]>, RdataError> {
    let tokens = tokens::split(text)?;
    let mut out = Vec::with_capacity(text.len());
    parse(rtype, &tokens, origin.map(Name::as_bytes), &mut out).map_err(|mut error| {
        let index = tokens.get(error.token).map_or(text.len(), |token| token.column as usize - 1);
        error.found = format!("{} at column {}", error.found, tokens::column(text.as_bytes(), index));
        error
    })?;
    Ok(out.into())
}

/// The presentation format of `rdata`; see [`write_text`].
pub fn to_text(rtype: Rtype, rdata: &[u8]) -> String {
    let mut text = String::new();
    let written = write_text(rtype, rdata, &mut text);
    debug_assert!(written.is_ok(), "a string takes all text");
    text
}

/// Writes `rdata` in the one canonical presentation format, which [`parse`] reads back to the same octets.
///
/// Names are absolute, with their trailing dot and their case; character strings are quoted; hexadecimal is upper-case
/// and unbroken, base64 unbroken; algorithms are numbers, types are mnemonics. What is malformed, or has no text
/// of its own, is written as `\# LENGTH HEX`.
pub fn write_text(rtype: Rtype, rdata: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    if !has_text(rtype, rdata) {
        return write_generic(rdata, f);
    }
    let mut separator = "";
    for (field, octets) in Walk::new(rtype, rdata).map_while(Result::ok) {
        if octets.is_empty() && field.vanishes() {
            continue;
        }
        f.write_str(separator)?;
        write::write_field(field, octets, f)?;
        separator = " ";
    }
    Ok(())
}

fn has_text(rtype: Rtype, rdata: &[u8]) -> bool {
    !rdata.is_empty()
        && Walk::new(rtype, rdata).all(|item| match item {
            Ok((Field::Opaque, _)) | Err(_) => false,
            Ok((Field::Loc, octets)) => loc::has_text(octets),
            Ok((Field::Ports, octets)) => bitmap::ports_have_text(octets),
            Ok(_) => true,
        })
}

fn write_generic(rdata: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    write!(f, "\\# {}", rdata.len())?;
    if !rdata.is_empty() {
        write!(f, " {}", HEXUPPER.encode_display(rdata))?;
    }
    Ok(())
}

/// Checks that `rdata` is the whole wire form of the type, its names uncompressed.
pub fn check(rtype: Rtype, rdata: &[u8]) -> Result<(), RdataError> {
    check_len(rdata.len())?;
    Walk::new(rtype, rdata).try_for_each(|item| item.map(|_| ()))
}

/// The canonical form that is signed and compared: the embedded names of the types that RFC 4034 §6.2 lists, with the
/// corrections of RFC 6840 §5.1, are in lower case. Malformed data comes back as it is.
pub fn canonical(rtype: Rtype, rdata: &[u8]) -> Cow<'_, [u8]> {
    let folds = |field: &Field| matches!(field, Field::Name(NameUse::Compressible | NameUse::Folded));
    if !layout(rtype).iter().any(folds) {
        return Cow::Borrowed(rdata);
    }
    let mut canonical = Cow::Borrowed(rdata);
    let mut at = 0;
    for (field, octets) in Walk::new(rtype, rdata).map_while(Result::ok) {
        if folds(&field) && octets.iter().any(u8::is_ascii_uppercase) {
            canonical.to_mut()[at..at + octets.len()].make_ascii_lowercase();
        }
        at += octets.len();
    }
    if at == rdata.len() { canonical } else { Cow::Borrowed(rdata) }
}

/// The domain names embedded in `rdata`, in wire form and in their order: the target of NS, the exchange of MX, both
/// names of SOA, the gateway of IPSECKEY if it is a name. Of malformed data, those before the fault.
pub fn names(rtype: Rtype, rdata: &[u8]) -> impl Iterator<Item = &[u8]> {
    Walk::new(rtype, rdata)
        .map_while(Result::ok)
        .filter_map(|(field, octets)| matches!(field, Field::Name(_)).then_some(octets))
}

/// Whether the embedded names of the type may be compressed in a message (RFC 3597 §4: the types of RFC 1035 only).
pub fn has_compressible_names(rtype: Rtype) -> bool {
    layout(rtype).iter().any(|field| matches!(field, Field::Name(NameUse::Compressible)))
}
