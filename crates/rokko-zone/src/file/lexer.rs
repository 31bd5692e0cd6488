//! Splits the text of a zone file into entries, and each entry into tokens (RFC 1035 §5.1).

use crate::rdata::Token;

/// The most tokens in one entry: a TXT record of 65,535 empty strings still fits.
pub(super) const ENTRY_TOKENS_MAX: usize = 70_000;
/// How often reading goes on behind a parenthesis that is never closed; each time costs a scan of the rest.
const PAREN_RECOVERIES_MAX: u32 = 8;

/// Where an entry starts, and whether it starts with white space, which stands for the last owner name.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) blank_owner: bool,
}

/// Text that gives no tokens.
pub(super) struct LexError {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) code: &'static str,
    pub(super) found: &'static str,
    pub(super) expected: &'static str,
}

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
    paren_recoveries: u32,
}

/// The position of a token's or an entry's start.
#[derive(Clone, Copy)]
struct Mark {
    at: usize,
    line: u32,
    line_start: usize,
}

/// What an octet means outside a quoted string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Space,
    NewLine,
    Comment,
    Open,
    Close,
    Quote,
    Backslash,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    table[b' ' as usize] = Class::Space;
    table[b'\t' as usize] = Class::Space;
    table[b'\r' as usize] = Class::Space;
    table[b'\n' as usize] = Class::NewLine;
    table[b';' as usize] = Class::Comment;
    table[b'(' as usize] = Class::Open;
    table[b')' as usize] = Class::Close;
    table[b'"' as usize] = Class::Quote;
    table[b'\\' as usize] = Class::Backslash;
    table
};

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self { text, at: 0, line: 1, line_start: 0, paren_recoveries: 0 }
    }

    /// Fills `tokens` with the next entry that has any; `None` at the end of the text. After an error the next
    /// call goes on with the following line.
    pub(super) fn next_entry(&mut self, tokens: &mut Vec<Token<'a>>) -> Option<Result<Entry, LexError>> {
        loop {
            tokens.clear();
            let first = *self.text.get(self.at)?;
            let entry = Entry { line: self.line, blank_owner: matches!(CLASSES[usize::from(first)], Class::Space) };
            match self.entry(tokens) {
                Ok(()) if tokens.is_empty() => {}
                Ok(()) => return Some(Ok(entry)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads tokens up to the end of the line, or of the line that closes the outermost parenthesis.
    fn entry(&mut self, tokens: &mut Vec<Token<'a>>) -> Result<(), LexError> {
        let mut depth = 0_u32;
        let mut outermost = self.mark();
        while let Some(&octet) = self.text.get(self.at) {
            match CLASSES[usize::from(octet)] {
                Class::Space => self.at += 1,
                Class::Plain | Class::Backslash => tokens.push(self.word()?),
                Class::Quote => tokens.push(self.quoted()?),
                Class::Comment => self.skip_line(),
                Class::NewLine => {
                    self.new_line();
                    if depth == 0 {
                        return Ok(());
                    }
                }
                Class::Open => {
                    if depth == 0 {
                        outermost = self.mark();
                    }
                    depth += 1;
                    self.at += 1;
                }
                Class::Close => {
                    if depth == 0 {
                        return Err(self.fail_line("parenthesis", "a closing parenthesis", "an opening one before it"));
                    }
                    depth -= 1;
                    self.at += 1;
                }
            }
            if tokens.len() > ENTRY_TOKENS_MAX {
                let expected = "at most 70000: check whether a parenthesis is left open";
                return Err(self.fail_entry(
                    outermost,
                    "entry-too-long",
                    "an entry of more than 70000 fields",
                    expected,
                ));
            }
        }
        if depth > 0 {
            let found = "an opening parenthesis without its closing one";
            return Err(self.fail_entry(
                outermost,
                "parenthesis",
                found,
                "a closing parenthesis before the end of the file",
            ));
        }
        Ok(())
    }

    /// Reads an unquoted token. A quoted string right behind an equals sign belongs to it (RFC 9460 §2.1).
    fn word(&mut self) -> Result<Token<'a>, LexError> {
        let start = self.mark();
        while let Some(&octet) = self.text.get(self.at) {
            match CLASSES[usize::from(octet)] {
                Class::Plain => self.at += 1,
                Class::Backslash => match self.text.get(self.at + 1) {
                    None | Some(b'\n') => {
                        let expected = "a character or three digits behind it";
                        return Err(self.fail_line("escape", "a backslash at the end of the line", expected));
                    }
                    Some(_) => self.at += 2,
                },
                Class::Quote if self.at > start.at && self.text[self.at - 1] == b'=' => {
                    self.quoted()?;
                }
                _ => break,
            }
        }
        Ok(Token { text: &self.text[start.at..self.at], quoted: false, line: start.line, column: column(start) })
    }

    fn quoted(&mut self) -> Result<Token<'a>, LexError> {
        let start = self.mark();
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') if self.text.get(self.at + 1).is_some_and(|&octet| octet != b'\n') => self.at += 2,
                Some(octet) if *octet != b'\n' => self.at += 1,
                _ => {
                    let end = self.at;
                    self.at = start.at;
                    let error =
                        self.error("quote", "a quoted string without its end", "a closing quote on the same line");
                    self.at = end;
                    self.skip_line();
                    self.skip_new_line();
                    return Err(error);
                }
            }
        }
        let text = &self.text[start.at + 1..self.at];
        self.at += 1;
        Ok(Token { text, quoted: true, line: start.line, column: column(start) })
    }

    fn error(&self, code: &'static str, found: &'static str, expected: &'static str) -> LexError {
        LexError { line: self.line, column: column(self.mark()), code, found, expected }
    }

    /// An error here, after which reading goes on behind this line.
    fn fail_line(&mut self, code: &'static str, found: &'static str, expected: &'static str) -> LexError {
        let error = self.error(code, found, expected);
        self.skip_line();
        self.skip_new_line();
        error
    }

    /// An error at `mark`, after which reading goes on with the next line that has an owner name, since indented lines
    /// most likely belong to the entry in error; or not at all if that has happened too often.
    fn fail_entry(&mut self, mark: Mark, code: &'static str, found: &'static str, expected: &'static str) -> LexError {
        (self.at, self.line, self.line_start) = (mark.at, mark.line, mark.line_start);
        let error = self.error(code, found, expected);
        if self.paren_recoveries == PAREN_RECOVERIES_MAX {
            self.at = self.text.len();
        } else {
            self.paren_recoveries += 1;
            self.skip_line();
            self.skip_new_line();
            while self.text.get(self.at).is_some_and(|&octet| matches!(CLASSES[usize::from(octet)], Class::Space)) {
                self.skip_line();
                self.skip_new_line();
            }
        }
        error
    }

    fn mark(&self) -> Mark {
        Mark { at: self.at, line: self.line, line_start: self.line_start }
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn skip_new_line(&mut self) {
        if self.at < self.text.len() {
            self.new_line();
        }
    }

    fn new_line(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
    }
}

fn column(mark: Mark) -> u32 {
    u32::try_from(mark.at - mark.line_start + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Vec<String> {
        let (mut lexer, mut tokens, mut seen) = (Lexer::new(text.as_bytes()), Vec::new(), Vec::new());
        while let Some(entry) = lexer.next_entry(&mut tokens) {
            seen.push(match entry {
                Ok(entry) => {
                    let words: Vec<String> = tokens
                        .iter()
                        .map(|t| {
                            format!(
                                "{}:{}:{}{}",
                                t.line,
                                t.column,
                                if t.quoted { "q:" } else { "" },
                                t.text.escape_ascii()
                            )
                        })
                        .collect();
                    format!("{}{}", if entry.blank_owner { "- " } else { "" }, words.join(" "))
                }
                Err(error) => format!("{}:{}: {}", error.line, error.column, error.code),
            });
        }
        seen
    }

    #[test]
    fn entries_and_tokens() {
        assert_eq!(lex("a b ; c\n\n ; d\n\te f\r\n"), ["1:1:a 1:3:b", "- 4:2:e 4:4:f"]);
        assert_eq!(lex("a ( b ;x\n c ) d\ne"), ["1:1:a 1:5:b 2:2:c 2:6:d", "3:1:e"]);
        assert_eq!(lex("a \"b ;( c\"d\\ e\\\"f"), ["1:1:a 1:3:q:b ;( c 1:11:d\\\\ e\\\\\\\"f"]);
        assert_eq!(lex("a k=\"b c\",d \"\""), ["1:1:a 1:3:k=\\\"b c\\\",d 1:13:q:"]);
        assert_eq!(lex(""), Vec::<String>::new());
    }

    #[test]
    fn reading_goes_on_after_an_error() {
        assert_eq!(lex("a )\nb"), ["1:3: parenthesis", "2:1:b"]);
        assert_eq!(lex("a \"b\nc"), ["1:3: quote", "2:1:c"]);
        assert_eq!(lex("a (\nc\nd"), ["1:3: parenthesis", "2:1:c", "3:1:d"]);
        assert_eq!(lex("a (\n c\n d\ne"), ["1:3: parenthesis", "4:1:e"]);
        assert_eq!(lex("a \\\nb"), ["1:3: escape", "2:1:b"]);
        assert_eq!(lex("a\\"), ["1:2: escape"]);
        assert_eq!(lex(&"(\n".repeat(50)).len(), 9);
    }
}
