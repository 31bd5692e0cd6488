//! `$ORIGIN`, `$TTL` and `$INCLUDE`.

use rokko_wire::Name;
use rokko_wire::name::{append_text, unescape};

use super::reader::{Problem, Reader, parse_ttl, shown};
use super::{INCLUDE_DEPTH_MAX, INCLUDES_MAX};
use crate::rdata::Token;

impl Reader<'_, '_> {
    /// Carries out the directive that `tokens` start with.
    pub(super) fn directive(&mut self, tokens: &[Token<'_>], depth: u32) -> Result<(), Problem> {
        let (name, arguments) = (&tokens[0], &tokens[1..]);
        match name.text.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => self.origin_directive(name, arguments),
            b"$TTL" => self.ttl_directive(name, arguments),
            b"$INCLUDE" => self.include_directive(name, arguments, depth),
            b"$GENERATE" => self.generate_directive(name, arguments),
            _ => {
                let expected = "$ORIGIN, $TTL, $INCLUDE or $GENERATE; an owner name that starts with $ is written \\$";
                Err(Problem::unexpected(Some(name), name, "unknown-directive", expected))
            }
        }
    }

    fn origin_directive(&mut self, name: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Problem> {
        let origin = self.name_argument(arguments.first(), name)?;
        no_more(arguments.get(1))?;
        if self.first_origin.is_none() {
            self.first_origin = Name::from_wire(&origin).ok().map(|(name, _)| name);
        }
        self.origin = Some(origin);
        Ok(())
    }

    fn ttl_directive(&mut self, name: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Problem> {
        let Some(token) = arguments.first() else {
            return Err(Problem::unexpected(None, name, "bad-ttl", "a TTL"));
        };
        self.default_ttl = Some(parse_ttl(token)?);
        no_more(arguments.get(1))
    }

    fn include_directive(&mut self, name: &Token<'_>, arguments: &[Token<'_>], depth: u32) -> Result<(), Problem> {
        let Some(file) = arguments.first() else {
            return Err(Problem::unexpected(None, name, "include", "the name of a file"));
        };
        let refuse = |message: &str| Problem::at(name, "include", message.to_owned());
        let origin = match arguments.get(1) {
            Some(token) => Some(self.name_argument(Some(token), file)?),
            None => self.origin.clone(),
        };
        no_more(arguments.get(2))?;
        let path = unescaped(file)?;
        let Some(load) = self.include.as_mut() else {
            return Err(refuse("found $INCLUDE, which is not allowed here: put the records into this file"));
        };
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(refuse("found $INCLUDE nested more than 10 deep: check whether a file includes itself"));
        }
        let index = u16::try_from(self.files.len()).ok().filter(|&index| index <= INCLUDES_MAX);
        let Some(index) = index else {
            return Err(refuse("found more than 1000 $INCLUDE, expected fewer: join the files"));
        };
        let text =
            load(&path).map_err(|error| Problem::at(file, "include", format!("found {}, but {error}", shown(file))))?;
        self.files.push(String::from_utf8_lossy(&path).into());
        let before = (self.file, self.owner.clone(), self.owner_state, std::mem::replace(&mut self.origin, origin));
        self.file = index;
        self.read_text(&text, depth + 1);
        (self.file, self.owner, self.owner_state, self.origin) = before;
        Ok(())
    }

    /// The name in an argument, completed with the current origin; `before` is the token in front of it.
    fn name_argument(&self, token: Option<&Token<'_>>, before: &Token<'_>) -> Result<Vec<u8>, Problem> {
        let Some(token) = token else {
            return Err(Problem::unexpected(None, before, "bad-origin", "a domain name"));
        };
        let mut wire = Vec::new();
        append_text(token.text, self.origin.as_deref(), &mut wire)
            .map_err(|error| Problem::at(token, "bad-origin", format!("found {}, but {error}", shown(token))))?;
        Ok(wire)
    }
}

fn no_more(token: Option<&Token<'_>>) -> Result<(), Problem> {
    match token {
        Some(token) => Err(Problem::unexpected(Some(token), token, "extra-text", "the end of the line")),
        None => Ok(()),
    }
}

fn unescaped(token: &Token<'_>) -> Result<Vec<u8>, Problem> {
    let (mut octets, mut at) = (Vec::with_capacity(token.text.len()), 0);
    while let Some(&octet) = token.text.get(at) {
        at += 1;
        if octet == b'\\' {
            let (octet, used) = unescape(&token.text[at..])
                .map_err(|error| Problem::at(token, "escape", format!("found {}, but {error}", shown(token))))?;
            octets.push(octet);
            at += used;
        } else {
            octets.push(octet);
        }
    }
    Ok(octets)
}
