//! What the server says about itself in class CH (RFC 4892).

use rokko_wire::compose::{Full, QUESTION_NAME, Section};
use rokko_wire::{Rcode, Rtype, code};

use crate::reply::Reply;
use crate::settings::Settings;

/// The most octets of one character-string (RFC 1035 §3.3).
const TEXT_LEN_MAX: usize = 255;

/// Answers a query of class CH for the lower-case name `qname`.
pub(crate) fn answer(reply: &mut Reply<'_>, settings: &Settings, qname: &[u8], qtype: Rtype) -> Result<(), Full> {
    let text = match qname {
        b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => &settings.version,
        b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => &settings.identity,
        _ => &None,
    };
    let text = text.as_ref().filter(|_| matches!(qtype, Rtype::TXT | Rtype::ANY));
    let Some(text) = text else {
        reply.rcode = Rcode::REFUSED;
        return Ok(());
    };
    let text = &text.as_bytes()[..text.len().min(TEXT_LEN_MAX)];
    let mut rdata = [0; TEXT_LEN_MAX + 1];
    rdata[0] = u8::try_from(text.len()).unwrap_or(u8::MAX);
    rdata[1..=text.len()].copy_from_slice(text);
    reply.authoritative = true;
    let kind = (Rtype::TXT, code::CLASS_CH);
    reply.composer.rrset(Section::Answer, QUESTION_NAME, kind, 0, std::iter::once(&rdata[..=text.len()])).map(|_| ())
}
