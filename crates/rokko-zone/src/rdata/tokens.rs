//! One line of record data, cut into tokens.

use super::{RdataError, Token};

/// Cuts `text` into tokens as a zone file's line is cut (RFC 1035 §5.1), but a comment is an error: the data of a record
/// that an API carries has none, and a text that lost its quotes must not lose its end as well.
///
/// The columns of the tokens count octets; [`column`] turns them into characters.
pub(super) fn split(text: &str) -> Result<Vec<Token<'_>>, RdataError> {
    let mut splitter = Splitter { text: text.as_bytes(), at: 0, tokens: Vec::new(), depth: 0 };
    while splitter.step()? {}
    if splitter.depth > 0 {
        return Err(splitter.error("the end of the record", "a closing parenthesis"));
    }
    Ok(splitter.tokens)
}

struct Splitter<'a> {
    text: &'a [u8],
    at: usize,
    tokens: Vec<Token<'a>>,
    depth: u32,
}

impl Splitter<'_> {
    /// Passes one token, parenthesis or blank; says whether there was one.
    fn step(&mut self) -> Result<bool, RdataError> {
        let Some(&octet) = self.text.get(self.at) else { return Ok(false) };
        match octet {
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'\n' if self.depth > 0 || self.text[self.at..].trim_ascii().is_empty() => self.at += 1,
            b'\n' => return Err(self.error("a line break", "one line, or parentheses around the lines")),
            b';' => return Err(self.error("a semicolon", "quotes around the text that has it, or \\;")),
            b'(' => {
                self.depth += 1;
                self.at += 1;
            }
            b')' => {
                let outer = self.depth.checked_sub(1);
                self.depth = outer.ok_or_else(|| self.error("a closing parenthesis", "an opening one before it"))?;
                self.at += 1;
            }
            b'"' => self.quoted()?,
            _ => self.word()?,
        }
        Ok(true)
    }

    fn quoted(&mut self) -> Result<(), RdataError> {
        let start = self.at;
        let end = self.closing_quote(start)?;
        self.push(start, start + 1, end, true);
        self.at = end + 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), RdataError> {
        let start = self.at;
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b'\\' => self.at = (self.at + 2).min(self.text.len()),
                b'"' if self.at > start && self.text[self.at - 1] == b'=' => {
                    self.at = self.closing_quote(self.at)? + 1;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                _ => self.at += 1,
            }
        }
        self.push(start, start, self.at, false);
        Ok(())
    }

    /// The index of the quote that closes the one at `open`.
    fn closing_quote(&self, open: usize) -> Result<usize, RdataError> {
        let mut at = open + 1;
        while let Some(&octet) = self.text.get(at) {
            match octet {
                b'"' => return Ok(at),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        Err(self.error("a quoted string without end", "a closing quote"))
    }

    fn push(&mut self, start: usize, from: usize, to: usize, quoted: bool) {
        let column = u32::try_from(start + 1).unwrap_or(u32::MAX);
        self.tokens.push(Token { text: &self.text[from..to], quoted, line: 1, column });
    }

    fn error(&self, found: &str, expected: &str) -> RdataError {
        let found = format!("{found} at column {}", column(self.text, self.at));
        RdataError::new(found, expected).at(self.tokens.len())
    }
}

/// The column of the character at `index`, from 1.
pub(super) fn column(text: &[u8], index: usize) -> usize {
    let before = text.get(..index).unwrap_or(text);
    before.iter().filter(|octet| *octet & 0xc0 != 0x80).count() + 1
}
