//! The tokens of one record, taken one after another.

use std::borrow::Cow;

use super::{RdataError, Token};

/// How many characters of a token an error repeats.
const FOUND_CHARS_MAX: usize = 60;

/// A cursor over the tokens of one record.
pub(super) struct Words<'t, 'a> {
    tokens: &'t [Token<'a>],
    next: usize,
    pub(super) origin: Option<&'t [u8]>,
}

impl<'t, 'a> Words<'t, 'a> {
    pub(super) fn new(tokens: &'t [Token<'a>], origin: Option<&'t [u8]>) -> Self {
        Self { tokens, next: 0, origin }
    }

    /// The next token without taking it.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    /// Takes a token, quoted or not.
    pub(super) fn take(&mut self, expected: &str) -> Result<Token<'a>, RdataError> {
        let token = self.peek().ok_or_else(|| self.missing(expected))?;
        self.next += 1;
        Ok(token)
    }

    /// Takes a token that must not be quoted.
    pub(super) fn take_word(&mut self, expected: &str) -> Result<&'a [u8], RdataError> {
        let token = self.take(expected)?;
        if token.quoted { Err(self.wrong(expected)) } else { Ok(token.text) }
    }

    /// Takes the remaining tokens, which must not be quoted, as one text.
    pub(super) fn take_rest(&mut self, expected: &str) -> Result<Cow<'a, [u8]>, RdataError> {
        let Some(_) = self.peek() else { return Ok(Cow::Borrowed(b"")) };
        let mut text = Cow::Borrowed(self.take_word(expected)?);
        while self.peek().is_some() {
            let word = self.take_word(expected)?;
            text.to_mut().extend_from_slice(word);
        }
        Ok(text)
    }

    /// Takes a decimal number up to `max`.
    pub(super) fn number(&mut self, max: u32) -> Result<u32, RdataError> {
        match self.peek() {
            Some(token) if !token.quoted => {
                self.next += 1;
                decimal(token.text, max).ok_or_else(|| self.wrong(range(max)))
            }
            Some(_) => {
                self.next += 1;
                Err(self.wrong(range(max)))
            }
            None => Err(self.missing(range(max))),
        }
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Result<(), RdataError> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(RdataError::new(shown(token), "the end of the record").at(self.next)),
        }
    }

    /// The index of the token that is next.
    pub(super) fn position(&self) -> usize {
        self.next
    }

    /// The error about the token taken last.
    pub(super) fn wrong(&self, expected: impl Into<String>) -> RdataError {
        self.wrong_at(self.next.saturating_sub(1), expected)
    }

    /// The error about the token at `index`.
    pub(super) fn wrong_at(&self, index: usize, expected: impl Into<String>) -> RdataError {
        match self.tokens.get(index) {
            Some(token) => RdataError::new(shown(*token), expected).at(index),
            None => self.missing(expected),
        }
    }

    fn missing(&self, expected: impl Into<String>) -> RdataError {
        RdataError::new("the end of the record", expected).at(self.tokens.len())
    }
}

/// The number that `text` is in decimal digits, if it is at most `max`.
pub(super) fn decimal(text: &[u8], max: u32) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut value: u32 = 0;
    for digit in text {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    (value <= max).then_some(value)
}

/// How an error names a number up to `max`.
pub(super) fn range(max: u32) -> String {
    format!("a number from 0 to {max}")
}

fn shown(token: Token<'_>) -> String {
    let text = String::from_utf8_lossy(token.text);
    let mut shown: String = text.chars().take(FOUND_CHARS_MAX).flat_map(printable).collect();
    if text.chars().nth(FOUND_CHARS_MAX).is_some() {
        shown.push('…');
    }
    if token.quoted { format!("\"{shown}\"") } else { shown }
}

fn printable(char: char) -> impl Iterator<Item = char> {
    let control = char.is_control();
    let escaped = control.then(|| char.escape_default()).into_iter().flatten();
    escaped.chain((!control).then_some(char))
}
