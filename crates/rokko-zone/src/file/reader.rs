//! Turns entries into records and keeps what one entry leaves for the next: origin, owner, TTLs.

use std::sync::Arc;

use rokko_wire::name::append_text;
use rokko_wire::{Name, Rtype};

use super::diagnostic::{Collector, Diagnostic, Position, Severity};
use super::lexer::{Entry, LexError, Lexer};
use super::ttl::{self, TtlError};
use super::{Loader, Options, Outcome};
use crate::rdata::{self, RdataError, Token};
use crate::{Record, Ttl};

/// The most octets of a token that a message repeats.
const SHOWN_MAX: usize = 60;

/// Where a record stands: the index of the file among those read, and the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u16,
    pub(crate) line: u32,
}

/// Reads as [`super::read`] does; also returns the names of the files, for the places.
pub(super) fn read(text: &[u8], options: Options<'_>, sink: &mut dyn FnMut(Record, Place)) -> (Outcome, Vec<Arc<str>>) {
    let mut reader = Reader {
        include: options.include,
        sink,
        collector: Collector::new(options.errors_max),
        generate_left: options.generate_max,
        files: vec![options.file.into()],
        file: 0,
        origin: options.origin.as_ref().map(|name| name.as_bytes().to_vec()),
        owner: Vec::new(),
        owner_state: OwnerState::Unknown,
        rdata: Vec::new(),
        default_ttl: options.default_ttl,
        last_ttl: None,
        first_origin: None,
        soa_owner: None,
        records: 0,
    };
    reader.read_text(text, 0);
    let outcome = Outcome {
        origin: options.origin.or(reader.soa_owner).or(reader.first_origin),
        errors: reader.collector.errors(),
        diagnostics: reader.collector.finish(),
        records: reader.records,
    };
    (outcome, reader.files)
}

/// What an entry without owner name refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// There was no owner yet.
    Unknown,
    /// The last owner name was in error, which has been reported.
    Bad,
    /// `Reader::owner` holds it.
    Known,
}

/// An error at a place in the current file.
pub(super) struct Problem {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) rtype: Option<Rtype>,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn at(token: &Token<'_>, code: &'static str, message: String) -> Self {
        Self { line: token.line, column: token.column, rtype: None, code, message }
    }

    /// The token `found`, or the end of the line behind `last`, is not what was expected there.
    pub(super) fn unexpected(found: Option<&Token<'_>>, last: &Token<'_>, code: &'static str, expected: &str) -> Self {
        if let Some(token) = found {
            return Self::at(token, code, format!("found {}, expected {expected}", shown(token)));
        }
        let message = format!("found the end of the line, expected {expected}");
        Self { column: end_column(last), ..Self::at(last, code, message) }
    }
}

/// What stands between an owner name and the rdata.
pub(super) struct Fields {
    pub(super) ttl: Option<Ttl>,
    pub(super) rtype: Rtype,
    /// How many tokens the fields took.
    pub(super) used: usize,
}

pub(super) struct Reader<'a, 's> {
    pub(super) include: Option<&'a mut Loader<'a>>,
    sink: &'s mut dyn FnMut(Record, Place),
    collector: Collector,
    pub(super) generate_left: u64,
    pub(super) files: Vec<Arc<str>>,
    pub(super) file: u16,
    pub(super) origin: Option<Vec<u8>>,
    pub(super) owner: Vec<u8>,
    pub(super) owner_state: OwnerState,
    rdata: Vec<u8>,
    pub(super) default_ttl: Option<Ttl>,
    last_ttl: Option<Ttl>,
    pub(super) first_origin: Option<Name>,
    soa_owner: Option<Name>,
    records: u64,
}

impl Reader<'_, '_> {
    /// Reads the text of one file, `depth` levels of `$INCLUDE` down.
    pub(super) fn read_text(&mut self, text: &[u8], depth: u32) {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::with_capacity(64);
        while let Some(entry) = lexer.next_entry(&mut tokens) {
            let done = match entry {
                Err(error) => Err(lex_problem(&error)),
                Ok(entry) if is_directive(entry, &tokens) => self.directive(&tokens, depth),
                Ok(entry) => self.record(entry, &tokens),
            };
            if let Err(problem) = done {
                self.report(problem);
            }
        }
    }

    fn record(&mut self, entry: Entry, tokens: &[Token<'_>]) -> Result<(), Problem> {
        let rest = if entry.blank_owner {
            match self.owner_state {
                OwnerState::Known => tokens,
                OwnerState::Bad => return Ok(()),
                OwnerState::Unknown => {
                    let message =
                        "found no owner name and there is none before it, expected the owner name in the first column";
                    return Err(Problem::at(&tokens[0], "no-owner", message.to_owned()));
                }
            }
        } else {
            self.set_owner(&tokens[0])?;
            &tokens[1..]
        };
        let last = &tokens[tokens.len() - 1];
        let fields = self.fields(rest, last)?;
        self.emit(&fields, &rest[fields.used..], last, entry.line)
    }

    pub(super) fn set_owner(&mut self, token: &Token<'_>) -> Result<(), Problem> {
        self.owner_state = OwnerState::Bad;
        if token.quoted {
            return Err(Problem::unexpected(Some(token), token, "bad-owner", "an owner name without quotes"));
        }
        self.set_owner_text(token.text)
            .map_err(|error| Problem::at(token, "bad-owner", format!("found {}, but {error}", shown(token))))
    }

    pub(super) fn set_owner_text(&mut self, text: &[u8]) -> Result<(), rokko_wire::NameError> {
        self.owner_state = OwnerState::Bad;
        self.owner.clear();
        append_text(text, self.origin.as_deref(), &mut self.owner)?;
        self.owner.make_ascii_lowercase();
        self.owner_state = OwnerState::Known;
        Ok(())
    }

    /// Reads TTL and class, in either order and both optional, and the type. `last` is the entry's last token.
    pub(super) fn fields(&mut self, tokens: &[Token<'_>], last: &Token<'_>) -> Result<Fields, Problem> {
        let (mut ttl, mut class) = (None, false);
        for (index, token) in tokens.iter().enumerate() {
            if token.quoted {
                return Err(Problem::unexpected(Some(token), last, "unknown-type", "a record type"));
            }
            if token.text.first().is_some_and(u8::is_ascii_digit) {
                if ttl.is_some() {
                    return Err(Problem::unexpected(
                        Some(token),
                        last,
                        "bad-ttl",
                        "a record type, since there is a TTL already",
                    ));
                }
                ttl = Some(parse_ttl(token)?);
            } else if !class && token.text.eq_ignore_ascii_case(b"IN") {
                class = true;
            } else if let Some(rtype) = parse_type(token.text) {
                if rtype.is_meta() {
                    let message = format!(
                        "found {}, which is a meta type and never zone data, expected another type",
                        shown(token)
                    );
                    return Err(Problem::at(token, "meta-type", message));
                }
                self.last_ttl = ttl.or(self.last_ttl);
                return Ok(Fields { ttl, rtype, used: index + 1 });
            } else {
                class = other_field(token, last, class)?;
            }
        }
        Err(Problem::unexpected(None, last, "unknown-type", "a record type"))
    }

    /// Reads the rdata and hands the record on.
    pub(super) fn emit(
        &mut self,
        fields: &Fields,
        tokens: &[Token<'_>],
        last: &Token<'_>,
        line: u32,
    ) -> Result<(), Problem> {
        let rtype = fields.rtype;
        if rtype == Rtype::SOA && self.origin.is_none() {
            self.origin = Some(self.owner.clone());
        }
        self.rdata.clear();
        rdata::parse(rtype, tokens, self.origin.as_deref(), &mut self.rdata)
            .map_err(|error| rdata_problem(rtype, tokens, last, &error))?;
        let ttl = self.ttl(fields, last)?;
        let (owner, _) = Name::from_wire(&self.owner).expect("set_owner keeps a valid name");
        if rtype == Rtype::SOA && self.soa_owner.is_none() {
            self.soa_owner = Some(owner.clone());
        }
        self.records += 1;
        let record = Record { owner, rtype, ttl, rdata: self.rdata.as_slice().into() };
        (self.sink)(record, Place { file: self.file, line });
        Ok(())
    }

    /// The TTL of the record whose rdata was just read.
    fn ttl(&mut self, fields: &Fields, last: &Token<'_>) -> Result<Ttl, Problem> {
        if let Some(ttl) = fields.ttl.or(self.default_ttl).or(self.last_ttl) {
            return Ok(ttl);
        }
        let here = |code, message| Problem { rtype: Some(fields.rtype), ..Problem::at(last, code, message) };
        let minimum = self.rdata.last_chunk::<4>().filter(|_| fields.rtype == Rtype::SOA);
        let Some(minimum) = minimum.map(|octets| Ttl::from_wire(u32::from_be_bytes(*octets))) else {
            let message = "found no TTL for this record, expected one here or a $TTL before it";
            return Err(Problem { column: 0, ..here("no-ttl", message.to_owned()) });
        };
        self.default_ttl = Some(minimum);
        let message = format!("found no TTL, so the SOA's minimum, {minimum}, is taken; state it with $TTL");
        let problem = Problem { column: 0, ..here("no-ttl", message) };
        self.collect(problem, Severity::Warning);
        Ok(minimum)
    }

    pub(super) fn report(&mut self, problem: Problem) {
        self.collect(problem, Severity::Error);
    }

    fn collect(&mut self, problem: Problem, severity: Severity) {
        let known = self.owner_state == OwnerState::Known;
        let owner = known.then(|| Name::from_wire(&self.owner).ok().map(|(name, _)| name)).flatten();
        let file = Arc::clone(&self.files[usize::from(self.file)]);
        self.collector.push(Diagnostic {
            severity,
            position: Some(Position { file, line: problem.line, column: problem.column }),
            owner,
            rtype: problem.rtype,
            code: problem.code,
            message: problem.message,
        });
    }
}

fn is_directive(entry: Entry, tokens: &[Token<'_>]) -> bool {
    !entry.blank_owner && tokens.first().is_some_and(|token| !token.quoted && token.text.starts_with(b"$"))
}

/// A field that is no TTL, type or first `IN`: the class CLASS1 is taken, all else is an error.
fn other_field(token: &Token<'_>, last: &Token<'_>, class: bool) -> Result<bool, Problem> {
    let number = token.text.get(..5).filter(|head| head.eq_ignore_ascii_case(b"CLASS")).map(|_| &token.text[5..]);
    if !class && number == Some(b"1") {
        return Ok(true);
    }
    let named = [&b"CH"[..], b"HS", b"CS", b"NONE"].iter().any(|name| token.text.eq_ignore_ascii_case(name));
    if named || number.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)) {
        return Err(Problem::unexpected(Some(token), last, "class", "class IN, the only one that is hosted"));
    }
    if token.text.eq_ignore_ascii_case(b"IN") {
        return Err(Problem::unexpected(Some(token), last, "class", "a record type, since there is a class already"));
    }
    let expected = "a TTL, the class IN, or a record type such as AAAA or TYPE65280";
    Err(Problem::unexpected(Some(token), last, "unknown-type", expected))
}

pub(super) fn parse_ttl(token: &Token<'_>) -> Result<Ttl, Problem> {
    ttl::parse(token.text).map_err(|error| {
        let expected = match error {
            TtlError::Syntax => "a TTL in seconds or with units, such as 1h30m",
            TtlError::TooLarge => "a TTL of at most 2147483647 seconds",
        };
        Problem::unexpected(Some(token), token, "bad-ttl", expected)
    })
}

/// The type of a mnemonic, the frequent ones first.
fn parse_type(text: &[u8]) -> Option<Rtype> {
    match text {
        b"A" => Some(Rtype::A),
        b"AAAA" => Some(Rtype::AAAA),
        b"NS" => Some(Rtype::NS),
        b"CNAME" => Some(Rtype::CNAME),
        b"MX" => Some(Rtype::MX),
        b"TXT" => Some(Rtype::TXT),
        b"SOA" => Some(Rtype::SOA),
        b"PTR" => Some(Rtype::PTR),
        b"SRV" => Some(Rtype::SRV),
        b"CAA" => Some(Rtype::CAA),
        b"DS" => Some(Rtype::DS),
        b"RRSIG" => Some(Rtype::RRSIG),
        b"NSEC" => Some(Rtype::NSEC),
        b"NSEC3" => Some(Rtype::NSEC3),
        _ => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

fn lex_problem(error: &LexError) -> Problem {
    let message = format!("found {}, expected {}", error.found, error.expected);
    Problem { line: error.line, column: error.column, rtype: None, code: error.code, message }
}

fn rdata_problem(rtype: Rtype, tokens: &[Token<'_>], last: &Token<'_>, error: &RdataError) -> Problem {
    let (line, column) = match tokens.get(error.token) {
        Some(token) => (token.line, token.column),
        None => (last.line, end_column(last)),
    };
    let message = format!("found {}, expected {}", error.found, error.expected);
    Problem { line, column, rtype: Some(rtype), code: "bad-rdata", message }
}

/// The column behind a token.
fn end_column(token: &Token<'_>) -> u32 {
    let quotes = if token.quoted { 2 } else { 0 };
    let len = u32::try_from(token.text.len()).unwrap_or(u32::MAX);
    token.column.saturating_add(len).saturating_add(quotes)
}

/// A token as messages show it: in quotes, not printable octets escaped, and cut if it is long.
pub(super) fn shown(token: &Token<'_>) -> String {
    let cut = token.text.len() > SHOWN_MAX;
    let head = &token.text[..token.text.len().min(SHOWN_MAX)];
    let mut text = String::from("\"");
    for chunk in head.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text.push_str(if cut { "…\"" } else { "\"" });
    text
}
