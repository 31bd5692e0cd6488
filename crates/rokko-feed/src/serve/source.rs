//! Where the next frame or block for a PoP comes from.

use std::sync::Arc;

use rokko_zone::Revision;

use super::{History, Next, Outgoing, Snapshot};
use crate::message::{FromServer, PART_OCTETS_MAX, Partial, SnapshotStart};

/// What was sent, and what is being sent.
#[derive(Default)]
pub(super) struct Source {
    /// The last revision that was sent.
    pub(super) cursor: Revision,
    /// The snapshot of which the PoP has a part.
    pub(super) partial: Option<Partial>,
    sending: Sending,
    /// There is no snapshot that leads on.
    lacks_snapshot: bool,
}

#[derive(Default)]
enum Sending {
    #[default]
    Nothing,
    Frame {
        bytes: Arc<[u8]>,
        sent: usize,
        last: Revision,
    },
    Blocks {
        snapshot: Box<dyn Snapshot>,
        start: SnapshotStart,
        /// The block that comes next; `None`: the snapshot is to be announced first.
        next: Option<u64>,
    },
}

impl Source {
    /// Whether no frame or snapshot is begun that has not ended.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.sending, Sending::Nothing)
    }

    pub(super) fn wants_snapshot(&self) -> bool {
        self.lacks_snapshot
    }

    pub(super) fn next(&mut self, history: &dyn History) -> Option<Outgoing> {
        match &mut self.sending {
            Sending::Nothing => self.next_frame(history),
            Sending::Frame { .. } => self.next_part().map(Outgoing::Message),
            Sending::Blocks { next: None, .. } => self.announce().map(Outgoing::Message),
            Sending::Blocks { .. } => self.next_block().map(Outgoing::Message),
        }
    }

    fn next_frame(&mut self, history: &dyn History) -> Option<Outgoing> {
        match history.frame_after(self.cursor) {
            Next::Nothing => None,
            Next::Frame { last, bytes } if bytes.len() <= PART_OCTETS_MAX => {
                self.cursor = last;
                Some(Outgoing::Frame(bytes))
            }
            Next::Frame { last, bytes } => {
                self.sending = Sending::Frame { bytes, sent: 0, last };
                self.next_part().map(Outgoing::Message)
            }
            Next::TooOld if self.start_snapshot(history) => self.announce().map(Outgoing::Message),
            Next::TooOld => {
                self.lacks_snapshot = true;
                None
            }
        }
    }

    fn next_part(&mut self) -> Option<FromServer> {
        let Sending::Frame { bytes, sent, last } = &mut self.sending else { return None };
        let end = bytes.len().min(*sent + PART_OCTETS_MAX);
        let part = bytes[*sent..end].to_vec();
        let more = end < bytes.len();
        *sent = end;
        if !more {
            self.cursor = *last;
            self.sending = Sending::Nothing;
        }
        Some(FromServer::Frame { more, bytes: part })
    }

    /// Begins with the snapshot that the PoP has a part of, or else the newest, if it leads on.
    fn start_snapshot(&mut self, history: &dyn History) -> bool {
        let after = self.cursor;
        let leads_on = |snapshot: &dyn Snapshot| snapshot.start().revision > after;
        let begun = self.partial.take().and_then(|partial| {
            let snapshot = history.snapshot_at(partial.revision)?;
            let start = snapshot.start();
            let fits = start.digest == partial.digest && partial.blocks <= start.blocks && leads_on(&*snapshot);
            fits.then_some((snapshot, partial.blocks))
        });
        let newest = || Some((history.snapshot().filter(|snapshot| leads_on(&**snapshot))?, 0));
        let Some((snapshot, from_block)) = begun.or_else(newest) else { return false };
        let start = SnapshotStart { from_block, ..snapshot.start() };
        self.lacks_snapshot = false;
        self.sending = Sending::Blocks { snapshot, start, next: None };
        true
    }

    fn announce(&mut self) -> Option<FromServer> {
        let Sending::Blocks { start, next, .. } = &mut self.sending else { return None };
        *next = Some(start.from_block);
        Some(FromServer::SnapshotStart(*start))
    }

    fn next_block(&mut self) -> Option<FromServer> {
        let Sending::Blocks { snapshot, start, next } = &mut self.sending else { return None };
        let index = next.unwrap_or(start.from_block);
        if index == start.blocks {
            self.cursor = start.revision;
            self.sending = Sending::Nothing;
            return Some(FromServer::SnapshotEnd);
        }
        let Some(bytes) = snapshot.block(index) else {
            // It can't be read any more: the next call begins with another.
            self.sending = Sending::Nothing;
            self.lacks_snapshot = true;
            return None;
        };
        *next = Some(index + 1);
        Some(FromServer::SnapshotBlock { index, bytes })
    }
}
