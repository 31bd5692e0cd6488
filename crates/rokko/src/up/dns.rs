//! The glue between the network and the answers: one answerer per thread, over one catalog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rokko_answer::{Answerer, Client, CookieSecrets, Counters, Settings, Transport};
use rokko_net::{Handler, Peer};
use rokko_zone::Catalog;

/// How queries are answered now, and what all threads have counted.
pub(crate) struct DnsShared {
    catalog: Arc<Catalog>,
    /// Rises with each change of `current`; threads look at it once a second.
    generation: AtomicU64,
    current: Mutex<(Settings, CookieSecrets)>,
    counted: Mutex<Vec<Counters>>,
}

impl DnsShared {
    pub(crate) fn new(catalog: Arc<Catalog>, settings: Settings, secrets: CookieSecrets) -> Self {
        Self {
            catalog,
            generation: AtomicU64::new(0),
            current: Mutex::new((settings, secrets)),
            counted: Mutex::default(),
        }
    }

    /// Answers as these settings say, within about a second on all threads.
    pub(crate) fn set_settings(&self, settings: Settings) {
        lock(&self.current).0 = settings;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Makes and checks DNS cookies with these secrets, within about a second on all threads.
    pub(crate) fn set_secrets(&self, secrets: CookieSecrets) {
        lock(&self.current).1 = secrets;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// What all threads have counted; at most about a second old.
    pub(crate) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        lock(&self.counted).iter().for_each(|counters| add(&mut sum, counters));
        sum
    }

    /// The handler of thread number `thread`.
    pub(crate) fn handler(self: &Arc<Self>, thread: usize) -> DnsHandler {
        let mut counted = lock(&self.counted);
        if counted.len() <= thread {
            counted.resize_with(thread + 1, Counters::default);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let (settings, secrets) = lock(&self.current).clone();
        DnsHandler {
            catalog: Arc::clone(&self.catalog),
            shared: Arc::clone(self),
            answerer: Answerer::new(settings, secrets),
            earlier: Counters::default(),
            generation,
            thread,
        }
    }
}

/// Answers on one thread.
pub(crate) struct DnsHandler {
    catalog: Arc<Catalog>,
    shared: Arc<DnsShared>,
    answerer: Answerer,
    /// What answerers with earlier settings counted.
    earlier: Counters,
    generation: u64,
    thread: usize,
}

impl Handler for DnsHandler {
    fn answer(&mut self, query: &[u8], peer: &Peer, unix_ms: u64, out: &mut [u8]) -> usize {
        let transport = match peer.transport {
            rokko_net::Transport::Udp => Transport::Udp,
            rokko_net::Transport::Tcp => Transport::Tcp,
        };
        let client = Client { addr: peer.addr.ip(), transport, now_ms: unix_ms };
        self.answerer.answer(&self.catalog, query, &client, out)
    }

    fn tick(&mut self) {
        let mut total = self.earlier.clone();
        add(&mut total, self.answerer.counters());
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.earlier = total.clone();
            let (settings, secrets) = lock(&self.shared.current).clone();
            self.answerer = Answerer::new(settings, secrets);
        }
        if let Some(slot) = lock(&self.shared.counted).get_mut(self.thread) {
            *slot = total;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutexes hold is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(sum: &mut Counters, counters: &Counters) {
    // Taken apart, so that a new counter cannot be forgotten.
    let Counters {
        queries,
        queries_tcp,
        queries_edns,
        queries_dnssec_ok,
        dropped,
        by_qtype,
        by_rcode,
        truncated,
        referrals,
        nodata,
        cookies_new,
        cookies_good,
        cookies_bad,
    } = counters;
    sum.queries += queries;
    sum.queries_tcp += queries_tcp;
    sum.queries_edns += queries_edns;
    sum.queries_dnssec_ok += queries_dnssec_ok;
    sum.dropped += dropped;
    sum.truncated += truncated;
    sum.referrals += referrals;
    sum.nodata += nodata;
    sum.cookies_new += cookies_new;
    sum.cookies_good += cookies_good;
    sum.cookies_bad += cookies_bad;
    sum.by_qtype.iter_mut().zip(by_qtype).for_each(|(sum, count)| *sum += count);
    sum.by_rcode.iter_mut().zip(by_rcode).for_each(|(sum, count)| *sum += count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outlive_a_change_of_settings() {
        let secrets = CookieSecrets::default();
        let shared = Arc::new(DnsShared::new(Arc::new(Catalog::new(1)), Settings::default(), secrets));
        let mut handler = shared.handler(1);
        let local = "127.0.0.1:53".parse().unwrap();
        let peer = Peer { addr: "127.0.0.1:1024".parse().unwrap(), local, transport: rokko_net::Transport::Tcp };
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
        let mut out = vec![0; 65_535];
        assert!(handler.answer(query, &peer, 0, &mut out) > 12);
        shared.set_settings(Settings { nsid: b"x".to_vec(), ..Settings::default() });
        handler.tick();
        assert!(handler.answer(query, &peer, 0, &mut out) > 12);
        handler.tick();
        handler.tick();
        let counters = shared.counters();
        assert_eq!((counters.queries, counters.queries_tcp, counters.by_rcode[5]), (2, 2, 2));
    }
}
