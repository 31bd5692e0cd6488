//! Asks servers again and again until their answers show changes that were committed.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rokko_wire::Rtype;

use crate::data::query;

/// Queries to one server in one round; those that wait longer than others have their turn in a later round.
const ROUND_QUERIES_MAX: usize = 64;
/// Changes that are waited for at once. There is an id for each.
const WAITING_MAX: usize = 1 << 16;

/// An address that a name has from some moment on.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) name: String,
    pub(super) address: [u8; 4],
    pub(super) at: Instant,
}

/// When a server's answer first showed a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) committed: Instant,
    pub(super) after: Duration,
}

/// What one server showed.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) seen: Vec<Seen>,
    /// How many changes it had not shown when that was given up.
    pub(super) missing: usize,
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// The time between two queries about the same change.
    pub(super) every: Duration,
    /// How long after the last change it goes on.
    pub(super) limit: Duration,
}

/// A change that not all servers have shown.
struct Waiting {
    change: Committed,
    query: Vec<u8>,
    /// Which servers have not.
    without: Vec<bool>,
}

struct Target {
    socket: UdpSocket,
    /// The number of the change that comes first in the next round.
    next: u16,
    shown: Shown,
}

/// Asks by some connected sockets until each server has shown all changes that come by the channel.
pub(super) fn watch(targets: Vec<UdpSocket>, changes: &Receiver<Committed>, asking: Asking) -> Result<Vec<Shown>> {
    let mut targets = targets.into_iter().map(Target::new).collect::<Result<Vec<_>>>()?;
    let mut waiting: HashMap<u16, Waiting> = HashMap::new();
    let (mut next, mut ended) = (0_u16, None);
    loop {
        let round = Instant::now();
        while ended.is_none() && waiting.len() < WAITING_MAX {
            let patience = if waiting.is_empty() { Duration::from_millis(20) } else { Duration::ZERO };
            match changes.recv_timeout(patience) {
                Ok(change) => {
                    while waiting.contains_key(&next) {
                        next = next.wrapping_add(1);
                    }
                    waiting.insert(next, Waiting::new(change, next, targets.len())?);
                    next = next.wrapping_add(1);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => ended = Some(Instant::now()),
            }
        }
        if ended.is_some_and(|ended| waiting.is_empty() || ended.elapsed() > asking.limit) {
            break;
        }
        for (index, target) in targets.iter_mut().enumerate() {
            target.ask(index, &waiting);
        }
        listen(&mut targets, &mut waiting, round + asking.every)?;
    }
    for (index, target) in targets.iter_mut().enumerate() {
        target.shown.missing = waiting.values().filter(|one| one.without[index]).count();
    }
    Ok(targets.into_iter().map(|target| target.shown).collect())
}

/// Takes answers in until `end`.
fn listen(targets: &mut [Target], waiting: &mut HashMap<u16, Waiting>, end: Instant) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let mut fds: Vec<_> =
            targets.iter().map(|target| PollFd::new(target.socket.as_fd(), PollFlags::POLLIN)).collect();
        ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None)?;
        for (index, target) in targets.iter_mut().enumerate() {
            target.take(index, waiting)?;
        }
    }
}

impl Waiting {
    fn new(change: Committed, id: u16, targets: usize) -> Result<Self> {
        let mut query = query(&change.name, Rtype::A, false)?;
        // Without the OPT record the answer's last octets are the address.
        query.truncate(query.len() - 11);
        query[11] = 0;
        query[..2].copy_from_slice(&id.to_be_bytes());
        Ok(Self { change, query, without: vec![true; targets] })
    }
}

impl Target {
    fn new(socket: UdpSocket) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, next: 0, shown: Shown::default() })
    }

    /// Asks about changes that this server has not shown; the next round goes on where this one ends.
    fn ask(&mut self, index: usize, waiting: &HashMap<u16, Waiting>) {
        let mut ids: Vec<u16> = waiting.iter().filter(|(_, one)| one.without[index]).map(|(id, _)| *id).collect();
        ids.sort_unstable_by_key(|id| id.wrapping_sub(self.next));
        for id in ids.iter().take(ROUND_QUERIES_MAX) {
            // One that can't be sent now is sent again.
            let _ = self.socket.send(&waiting[id].query);
        }
        self.next = ids.get(ROUND_QUERIES_MAX).copied().unwrap_or(0);
    }

    /// Takes in what it has answered.
    fn take(&mut self, index: usize, waiting: &mut HashMap<u16, Waiting>) -> Result<()> {
        let mut response = [0; 1500];
        loop {
            let len = match self.socket.recv(&mut response) {
                Ok(len) if len >= 12 => len,
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // It does not listen just now.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let id = u16::from_be_bytes([response[0], response[1]]);
            let Some(one) = waiting.get_mut(&id) else { continue };
            let is_shown = response[7] == 1 && response[..len].ends_with(&one.change.address);
            if is_shown && std::mem::take(&mut one.without[index]) {
                self.shown.seen.push(Seen { committed: one.change.at, after: one.change.at.elapsed() });
                if !one.without.contains(&true) {
                    waiting.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A server that answers the first `late` queries with another address than the one asked for.
    fn server(late: usize, address: [u8; 4]) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            for number in 0.. {
                let (len, from) = socket.recv_from(&mut query).unwrap();
                query[7] = 1;
                let address = if number < late { [0; 4] } else { address };
                socket.send_to(&[&query[..len], &address].concat(), from).unwrap();
            }
        });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(at).unwrap();
        client
    }

    #[test]
    fn a_change_is_seen_when_the_answer_has_it() {
        let (address, (sender, receiver)) = ([10, 1, 2, 3], channel());
        let targets = [server(0, address), server(5, address), server(0, [9; 4])];
        sender.send(Committed { name: "a.example".to_owned(), address, at: Instant::now() }).unwrap();
        drop(sender);
        let asking = Asking { every: Duration::from_millis(1), limit: Duration::from_millis(300) };
        let shown = watch(targets.into(), &receiver, asking).unwrap();
        let counts: Vec<_> = shown.iter().map(|one| (one.seen.len(), one.missing)).collect();
        assert_eq!(counts, [(1, 0), (1, 0), (0, 1)]);
        assert!(shown[1].seen[0].after >= Duration::from_millis(5), "a query a millisecond");
    }
}
