//! Zone files: presentation format in and out (RFC 1035 §5, RFC 2308 §4, RFC 3597).
//!
//! Beside the RFCs' format the reader knows `$GENERATE` as BIND has it (`range lhs [ttl] [class] type rhs`, the range
//! with an optional `/step`, and `${offset,width,base}` in either side), TTLs with units (`1h30m`), and TTL and
//! class in either order. The class is always IN. What a file leaves open is settled as follows:
//!
//! * No TTL: the last `$TTL`, else the TTL that a record stated last, else the SOA's minimum with a warning.
//! * No origin: the owner of the SOA record, if that is absolute. A relative name before that is an error.
//! * `$INCLUDE` is refused unless the caller gives a loader. The included file starts with the given origin or the
//!   current one; behind it, origin and last owner are again what they were before (RFC 1035 §5.1).
//!
//! Reading goes on after an error, so that all errors of a file come in one go.

mod diagnostic;
mod directive;
mod generate;
mod lexer;
mod load;
mod reader;
mod ttl;
mod writer;

use rokko_wire::Name;

use crate::{Record, Ttl};
pub use diagnostic::{Diagnostic, Position, Severity};
pub use load::{Loaded, load};
pub use writer::{signature_ttl, write_rrsets, write_snapshot, write_zone};

/// How deep `$INCLUDE` may nest.
pub const INCLUDE_DEPTH_MAX: u32 = 10;
/// How many files one zone file may include in all.
pub const INCLUDES_MAX: u16 = 1_000;
/// How many octets one side of a `$GENERATE` may come to.
pub const GENERATE_TEXT_MAX: usize = 2_048;

/// Fetches the file that an `$INCLUDE` names; the error is a sentence for the user.
///
/// Which folders may be read, and what a relative path is relative to, is the loader's business.
pub type Loader<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, String> + 'a;

/// How to read a zone file.
pub struct Options<'a> {
    /// The file's name for diagnostics.
    pub file: &'a str,
    /// The origin at the start of the file; also the zone's apex.
    pub origin: Option<Name>,
    /// The TTL of records without one, up to the first `$TTL`.
    pub default_ttl: Option<Ttl>,
    /// Fetches what `$INCLUDE` names; `None` refuses `$INCLUDE`.
    pub include: Option<&'a mut Loader<'a>>,
    /// How many errors, and how many warnings, are reported one by one; the rest is only counted. 100 by default.
    pub errors_max: usize,
    /// How many records `$GENERATE` may make in all. 1,000,000 by default.
    pub generate_max: u64,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { file: "-", origin: None, default_ttl: None, include: None, errors_max: 100, generate_max: 1_000_000 }
    }
}

/// What came of reading a zone file.
#[derive(Debug)]
pub struct Outcome {
    /// The zone's apex as far as the file tells: the origin given, else the first SOA's owner, else the first `$ORIGIN`.
    pub origin: Option<Name>,
    /// Errors and warnings in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many records went to the sink.
    pub records: u64,
    /// How many errors there were, those not reported one by one included.
    pub errors: usize,
}

/// Reads a zone file and hands each record with its line (in the file that holds it) to `sink`.
///
/// The records are valid each for itself: no meta types, rdata that fits the type. Whether they make a zone is for
/// [`crate::check`] to say. Memory in use does not grow with the file, nor does it depend on its content beyond the
/// limits above.
pub fn read(text: &[u8], options: Options<'_>, sink: &mut dyn FnMut(Record, u32)) -> Outcome {
    reader::read(text, options, &mut |record, place| sink(record, place.line)).0
}
