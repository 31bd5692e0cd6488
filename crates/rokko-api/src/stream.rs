//! Long answers in pieces: nothing is built whole, and no thread waits for a slow client.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use rokko_control::ControlError;
use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::file::{signature_ttl, write_zone};
use rokko_zone::{RrsetRef, Ttl, Zone};
use tokio::sync::mpsc;

use crate::task::blocking;

/// How many octets a piece has at least before it is handed over.
const PIECE_OCTETS: usize = 64 << 10;
/// How many pieces wait for a slow client.
const PIECES_MAX: usize = 2;

/// Something that can be written down part by part. The calls block.
pub trait Source: Send + 'static {
    /// Appends the next part to `out`; false once nothing is left.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError>;
}

/// A body that holds all of `source`. If the first piece is all there is, it has a length.
///
/// An error in the first piece is the caller's to answer. A later one breaks the connection off, so that no client
/// takes a part for the whole.
pub async fn body_of(source: impl Source) -> Result<Body, ControlError> {
    let (piece, source) = blocking(move || piece_of(source)).await?;
    let Some(source) = source else { return Ok(Body::from(piece)) };
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        if sender.send(Ok(Bytes::from(piece))).await.is_err() {
            return;
        }
        let mut rest = Some(source);
        while let Some(source) = rest.take() {
            let piece = match blocking(move || piece_of(source)).await {
                Ok((piece, source)) => {
                    rest = source;
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    Ok(Body::new(Pieces(receiver)))
}

/// The next piece, and the source if there is more in it.
fn piece_of<S: Source>(mut source: S) -> Result<(Vec<u8>, Option<S>), ControlError> {
    let mut piece = Vec::new();
    while piece.len() < PIECE_OCTETS {
        if !source.fill(&mut piece)? {
            return Ok((piece, None));
        }
    }
    Ok((piece, Some(source)))
}

/// A body of what comes through a channel.
pub(crate) struct Pieces(pub(crate) mpsc::Receiver<Result<Bytes, ControlError>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = ControlError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ControlError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|result| result.map(Frame::data)))
    }
}

/// Appends a value as JSON.
pub(crate) fn push_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("plain structures of text and numbers can be written to memory");
}

/// The text of a zone in its canonical form (see [`rokko_zone::file`]).
pub struct ZoneText {
    zone: Zone,
    /// The last owner written.
    after: Option<Name>,
}

impl ZoneText {
    /// The text of a zone.
    pub fn new(zone: Zone) -> Self {
        Self { zone, after: None }
    }
}

impl Source for ZoneText {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError> {
        let apex = &self.zone.apex();
        let key = self.after.as_ref().and_then(|owner| KeyBuf::below(owner, apex)).unwrap_or_default();
        let mut rrsets = self.zone.rrsets_from(key.as_bytes()).filter(|(owner, _)| self.after.as_ref() != Some(owner));
        let mut text = String::new();
        let mut write = |rrsets: &[(Name, RrsetRef<'_>)]| {
            let records = rrsets.iter().flat_map(|(owner, rrset)| {
                let zone = &self.zone;
                let of_record = move |rdata| (owner, rrset.rtype(), ttl_of(zone, owner, *rrset, rdata), rdata);
                rrset.rdatas().map(of_record)
            });
            write_zone(apex, records, &mut text).expect("writing to a string does not fail");
        };
        // All of a name in one go, so that the SOA can come before the rest of the apex.
        let Some(first) = rrsets.next() else {
            if self.after.is_none() {
                write(&[]);
                out.extend_from_slice(text.as_bytes());
            }
            return Ok(false);
        };
        let owner = first.0.clone();
        let mut node = vec![first];
        node.extend(rrsets.take_while(|(next, _)| *next == owner));
        write(&node);
        let header_len = if self.after.is_none() { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        out.extend_from_slice(&text.as_bytes()[header_len..]);
        self.after = Some(owner);
        Ok(true)
    }
}

pub(crate) fn ttl_of(zone: &Zone, owner: &Name, rrset: RrsetRef<'_>, rdata: &[u8]) -> Ttl {
    let covered = match rrset.rtype() {
        Rtype::RRSIG => signature_ttl(rdata, |rtype| zone.rrset(owner, rtype).map(RrsetRef::ttl)),
        _ => None,
    };
    covered.unwrap_or(rrset.ttl())
}
