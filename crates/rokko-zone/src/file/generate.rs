//! `$GENERATE range lhs [ttl] [class] type rhs`, as BIND has it.
//!
//! In both sides `$` is the iterator's value and `${offset,width,base}` the value plus `offset`, filled with zeros
//! to `width`, in base `d`, `o`, `x`, `X`, or as reversed nibbles with dots between them, `n` or `N`, where the width
//! counts the dots too. `$$` is a plain `$`; behind a backslash a `$` is an octet like any other. The right side
//! is read as record data after that, so a string in quotes may hold several fields.

use std::io::Write as _;

use super::GENERATE_TEXT_MAX;
use super::lexer::Lexer;
use super::reader::{OwnerState, Problem, Reader, shown};
use crate::rdata::Token;

/// The widest field of a modifier.
const WIDTH_MAX: usize = 255;

struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads `start-stop` or `start-stop/step`.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (ends, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = ends.split_once('-')?;
        let range = Self { start: number(start)?, stop: number(stop)?, step: number(step)? };
        (range.start <= range.stop && range.step > 0).then_some(range)
    }

    fn count(&self) -> u64 {
        u64::from((self.stop - self.start) / self.step) + 1
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|&number: &u32| digits && number <= 0x7fff_ffff)
}

/// A piece of one side.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Value { offset: i64, width: usize, base: u8 },
}

/// Splits one side; `None` for a malformed modifier.
fn pieces(text: &[u8]) -> Option<Vec<Piece>> {
    let (mut pieces, mut literal, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(&octet) = text.get(at) {
        at += 1;
        match (octet, text.get(at)) {
            (b'\\', Some(&next)) => {
                literal.extend([octet, next]);
                at += 1;
            }
            (b'$', Some(b'$')) => {
                literal.push(b'$');
                at += 1;
            }
            (b'$', next) => {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                if next == Some(&b'{') {
                    let len = text[at..].iter().position(|&octet| octet == b'}')?;
                    pieces.push(modifier(&text[at + 1..at + len])?);
                    at += len + 1;
                } else {
                    pieces.push(Piece::Value { offset: 0, width: 0, base: b'd' });
                }
            }
            _ => literal.push(octet),
        }
    }
    pieces.push(Piece::Literal(literal));
    Some(pieces)
}

/// Reads `offset[,width[,base]]`.
fn modifier(text: &[u8]) -> Option<Piece> {
    let mut parts = std::str::from_utf8(text).ok()?.split(',');
    let offset = parts.next()?.parse::<i32>().ok()?;
    let width = parts.next().map_or(Some(0), |text| text.parse().ok().filter(|&width| width <= WIDTH_MAX))?;
    let base = match parts.next().unwrap_or("d") {
        "d" => b'd',
        "o" => b'o',
        "x" => b'x',
        "X" => b'X',
        "n" => b'n',
        "N" => b'N',
        _ => return None,
    };
    parts.next().is_none().then_some(Piece::Value { offset: offset.into(), width, base })
}

/// Puts `value` into the pieces; an error says what is wrong.
fn expand(pieces: &[Piece], value: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.clear();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text),
            &Piece::Value { offset, width, base } => {
                let value = i64::from(value) + offset;
                if value < 0 && base != b'd' {
                    return Err("a negative value has no octal or hexadecimal form");
                }
                let written = match base {
                    b'd' => write!(out, "{value:0width$}"),
                    b'o' => write!(out, "{value:0width$o}"),
                    b'x' => write!(out, "{value:0width$x}"),
                    b'X' => write!(out, "{value:0width$X}"),
                    _ => {
                        nibbles(value.unsigned_abs(), width, base == b'N', out);
                        Ok(())
                    }
                };
                written.map_err(|_| "it cannot be written")?;
            }
        }
        if out.len() > GENERATE_TEXT_MAX {
            return Err("it comes to more than 2048 octets");
        }
    }
    Ok(())
}

/// Writes the nibbles from the lowest up with dots between them, until `width` characters are reached.
fn nibbles(mut value: u64, width: usize, upper: bool, out: &mut Vec<u8>) {
    let digits = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut left = width;
    loop {
        out.push(digits[usize::try_from(value & 15).unwrap_or(0)]);
        value >>= 4;
        left = left.saturating_sub(1);
        if left > 0 || value != 0 {
            out.push(b'.');
            left = left.saturating_sub(1);
        }
        if left == 0 && value == 0 {
            return;
        }
    }
}

/// The text of the right side: the inside of a single quoted string, else the fields as they stand.
fn right_side(tokens: &[Token<'_>]) -> Vec<u8> {
    let mut text = Vec::new();
    if let [Token { text: inner, quoted: true, .. }] = tokens {
        let mut rest = *inner;
        while let [octet, tail @ ..] = rest {
            match (octet, tail) {
                (b'\\', [b'"', after @ ..]) => {
                    text.push(b'"');
                    rest = after;
                }
                (b'\\', [next, after @ ..]) => {
                    text.extend([*octet, *next]);
                    rest = after;
                }
                _ => {
                    text.push(*octet);
                    rest = tail;
                }
            }
        }
        return text;
    }
    for token in tokens {
        let quote: &[u8] = if token.quoted { b"\"" } else { b"" };
        for part in [quote, token.text, quote, b" "] {
            text.extend_from_slice(part);
        }
    }
    text
}

impl Reader<'_, '_> {
    /// Makes the records of a `$GENERATE`; stops at the first that is in error.
    pub(super) fn generate_directive(&mut self, name: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Problem> {
        let last = arguments.last().unwrap_or(name);
        let [range_token, lhs, rest @ ..] = arguments else {
            return Err(Problem::unexpected(None, last, "generate", "a range, an owner name, a type and record data"));
        };
        let Some(range) = Range::parse(range_token.text) else {
            let expected = "a range such as 1-254 or 0-100/2, its start not above its stop";
            return Err(Problem::unexpected(Some(range_token), last, "generate", expected));
        };
        let fields = self.fields(rest, last)?;
        let rdata = &rest[fields.used..];
        let Some(rhs) = rdata.first() else {
            return Err(Problem::unexpected(None, last, "generate", "record data"));
        };
        let bad = |token: &Token<'_>| {
            let expected = "$ or a modifier ${offset,width,base} with base d, o, x, X, n or N and a width up to 255";
            Problem::unexpected(Some(token), token, "generate", expected)
        };
        let lhs_pieces = pieces(lhs.text).ok_or_else(|| bad(lhs))?;
        let rhs_pieces = pieces(&right_side(rdata)).ok_or_else(|| bad(rhs))?;
        if range.count() > self.generate_left {
            let message = format!(
                "found a range of {}, expected at most {} more records made by $GENERATE",
                range.count(),
                self.generate_left
            );
            return Err(Problem::at(range_token, "generate-limit", message));
        }
        self.generate_left -= range.count();
        let before = (std::mem::take(&mut self.owner), self.owner_state);
        let done = (|| {
            let (mut owner, mut text) = (Vec::new(), Vec::new());
            for value in (range.start..=range.stop).step_by(usize::try_from(range.step).unwrap_or(usize::MAX)) {
                let wrong = |token: &Token<'_>, error: &dyn std::fmt::Display| {
                    let message = format!("found {}, which fails for the value {value}: {error}", shown(token));
                    Problem { rtype: Some(fields.rtype), ..Problem::at(token, "generate", message) }
                };
                expand(&lhs_pieces, value, &mut owner).map_err(|error| wrong(lhs, &error))?;
                self.set_owner_text(&owner).map_err(|error| wrong(lhs, &error))?;
                expand(&rhs_pieces, value, &mut text).map_err(|error| wrong(rhs, &error))?;
                let (mut lexer, mut tokens) = (Lexer::new(&text), Vec::new());
                if let Some(Err(error)) = lexer.next_entry(&mut tokens) {
                    return Err(wrong(rhs, &format_args!("found {}, expected {}", error.found, error.expected)));
                }
                let end = tokens.last().copied().unwrap_or(*rhs);
                self.emit(&fields, &tokens, &end, name.line).map_err(|problem| wrong(rhs, &problem.message))?;
            }
            Ok(())
        })();
        if let Err(problem) = done {
            self.report(problem);
        }
        (self.owner, self.owner_state) = before;
        if self.owner_state == OwnerState::Bad {
            self.owner.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, value: u32) -> Option<String> {
        let mut out = Vec::new();
        expand(&pieces(text.as_bytes())?, value, &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn modifiers() {
        for (text, value, expected) in [
            ("h$", 7, "h7"),
            ("h${0}", 7, "h7"),
            ("${1,3}", 7, "008"),
            ("${-10,3,d}", 7, "-03"),
            ("${0,4,x}-${0,4,X}-${0,4,o}", 254, "00fe-00FE-0376"),
            ("${0,0,n}", 0xab, "b.a"),
            ("${0,8,n}", 0xab, "b.a.0.0."),
            ("${0,7,N}", 0xab, "B.A.0.0"),
            ("a$$b\\$c$", 1, "a$b\\$c1"),
        ] {
            assert_eq!(expanded(text, value).as_deref(), Some(expected), "{text}");
        }
        for text in ["${", "${}", "${1,2,3}", "${1,2,d,x}", "${1,-2}", "${a}", "${0,256}", "${-8,0,x}"] {
            assert_eq!(expanded(text, 7), None, "{text}");
        }
    }

    #[test]
    fn ranges() {
        for (text, count) in [("0-0", 1), ("1-10", 10), ("1-10/3", 4), ("0-2147483647", 0x8000_0000)] {
            assert_eq!(Range::parse(text.as_bytes()).map(|range| range.count()), Some(count), "{text}");
        }
        for text in ["", "1", "2-1", "1-2/0", "1-2/", "-1-2", "+1-2", "1-2147483648"] {
            assert!(Range::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
