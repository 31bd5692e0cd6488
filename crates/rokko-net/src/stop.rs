//! The signal that ends the threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// An eventfd that every thread has in its epoll set. It is written once and never read, so that every thread sees it.
#[derive(Debug)]
pub(crate) struct Stop {
    event: EventFd,
    deadline: OnceLock<Instant>,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event, deadline: OnceLock::new() })
    }

    /// Tells the threads to end within `grace`. The first call decides.
    pub(crate) fn signal(&self, grace: Duration) -> io::Result<()> {
        let now = Instant::now();
        // A grace beyond what the clock can say is as good as a day.
        let deadline = now.checked_add(grace).unwrap_or(now + Duration::from_secs(86_400));
        if self.deadline.set(deadline).is_ok() {
            self.event.write(1)?;
        }
        Ok(())
    }

    /// When the threads must have ended, once they were told to.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// The descriptor that becomes readable with the signal and stays so.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(crate) fn register(&self, epoll: &Epoll, token: u64) -> io::Result<()> {
        Ok(epoll.add(&self.event, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Takes the signal out of a thread's set, so that the thread can wait for something else while it ends.
    pub(crate) fn unregister(&self, epoll: &Epoll) -> io::Result<()> {
        Ok(epoll.delete(&self.event)?)
    }
}
