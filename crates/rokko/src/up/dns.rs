//! The glue between the network and the answers: one answerer per thread, over one catalog.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rokko_answer::{Answerer, Client, CookieSecrets, Counters, RateTable, Settings, Transport};
use rokko_net::{Handler, Peer, Query, Shed, Spare};
use rokko_zone::{Catalog, CatalogReader};

/// How the end of a query looks that has a server cookie: the head of a COOKIE option of 24 octets (RFC 9018 §4), which
/// most clients send last.
const SERVER_COOKIE_AT_END: Spare = Spare { from_end: 28, value: 0x000a_0018 };

const _: () = assert!(rokko_net::ANNOUNCED_MAX <= Answerer::AHEAD_MAX);

/// How queries are answered now, and what all threads have counted.
pub(crate) struct DnsShared {
    catalog: Arc<Catalog>,
    /// Rises with each change of `current`; threads look at it once a second.
    generation: AtomicU64,
    current: Mutex<(Settings, CookieSecrets)>,
    counted: Mutex<Vec<Counters>>,
    /// What all threads' answers count for the rate limits; none if there are no limits.
    rates: Option<Arc<RateTable>>,
    /// The client prefixes that are shed, each with the number of threads that do so.
    shed: Mutex<BTreeMap<(IpAddr, u8), usize>>,
}

impl DnsShared {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        settings: Settings,
        secrets: CookieSecrets,
        rates: Option<RateTable>,
    ) -> Self {
        Self {
            catalog,
            generation: AtomicU64::new(0),
            current: Mutex::new((settings, secrets)),
            counted: Mutex::default(),
            rates: rates.map(Arc::new),
            shed: Mutex::default(),
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

    /// How many client prefixes are shed.
    pub(crate) fn shed_prefixes(&self) -> usize {
        lock(&self.shed).len()
    }

    fn answerer(&self) -> Answerer {
        let (settings, secrets) = lock(&self.current).clone();
        let answerer = Answerer::new(settings, secrets);
        match &self.rates {
            Some(table) => answerer.with_rate_table(Arc::clone(table)),
            None => answerer,
        }
    }

    /// Takes note that a thread sheds `new` in place of `old`, and tells what begins and what ends.
    fn shed_instead(&self, old: &[(IpAddr, u8)], new: &[(IpAddr, u8)]) {
        let mut shed = lock(&self.shed);
        let before: Vec<_> = shed.keys().copied().collect();
        for prefix in new {
            *shed.entry(*prefix).or_default() += 1;
        }
        for prefix in old {
            if let Some(threads) = shed.get_mut(prefix) {
                *threads -= 1;
            }
        }
        shed.retain(|_, threads| *threads > 0);
        let after: Vec<_> = shed.keys().copied().collect();
        drop(shed);
        let begun = listed(&after, &before);
        if !begun.is_empty() {
            tracing::info!("a flood: most queries from {begun} are kept away by the kernel from now on");
        }
        let ended = listed(&before, &after);
        if !ended.is_empty() {
            tracing::info!("the flood from {ended} is over: all queries from there are taken again");
        }
    }

    /// The handler of thread number `thread`.
    pub(crate) fn handler(self: &Arc<Self>, thread: usize) -> DnsHandler {
        let mut counted = lock(&self.counted);
        if counted.len() <= thread {
            counted.resize_with(thread + 1, Counters::default);
        }
        let generation = self.generation.load(Ordering::Acquire);
        DnsHandler {
            catalog: CatalogReader::new(Arc::clone(&self.catalog)),
            shared: Arc::clone(self),
            answerer: self.answerer(),
            earlier: Counters::default(),
            shed: Shed::default(),
            generation,
            thread,
        }
    }
}

/// Answers on one thread.
pub(crate) struct DnsHandler {
    catalog: CatalogReader,
    shared: Arc<DnsShared>,
    answerer: Answerer,
    /// What answerers with earlier settings counted.
    earlier: Counters,
    /// What this thread sheds.
    shed: Shed,
    generation: u64,
    thread: usize,
}

impl Handler for DnsHandler {
    fn answer(&mut self, query: Query<'_>, peer: &Peer, unix_ms: u64, out: &mut [u8]) -> usize {
        let transport = match peer.transport {
            rokko_net::Transport::Udp => Transport::Udp,
            rokko_net::Transport::Tcp => Transport::Tcp,
        };
        let client = Client { addr: peer.addr.ip(), transport, now_ms: unix_ms };
        if let Some(index) = query.announced {
            return self.answerer.answer_ahead(index, &self.catalog, query.octets, &client, out);
        }
        self.catalog.refresh();
        self.answerer.answer(&self.catalog, query.octets, &client, out)
    }

    fn announce<'q>(&mut self, queries: impl Iterator<Item = (&'q [u8], IpAddr)>) {
        self.catalog.refresh();
        self.answerer.look_ahead(&self.catalog, queries);
    }

    fn tick(&mut self) {
        // A thread without queries must not hold on to what was replaced.
        self.catalog.refresh();
        let mut total = self.earlier.clone();
        add(&mut total, self.answerer.counters());
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.earlier = total.clone();
            self.answerer = self.shared.answerer();
        }
        if let Some(slot) = lock(&self.shared.counted).get_mut(self.thread) {
            *slot = total;
        }
    }

    fn shed(&mut self, unix_ms: u64) -> Option<Shed> {
        let rokko_answer::Shed { prefixes, pass_one_in, spare_cookies } = self.answerer.shed(unix_ms);
        let shed = Shed { prefixes, pass_one_in, spare: spare_cookies.then_some(SERVER_COOKIE_AT_END) };
        if shed == self.shed {
            return None;
        }
        self.shared.shed_instead(&self.shed.prefixes, &shed.prefixes);
        self.shed.clone_from(&shed);
        Some(shed)
    }
}

/// The prefixes of `some` that are not among `others`, as text.
fn listed(some: &[(IpAddr, u8)], others: &[(IpAddr, u8)]) -> String {
    let only = some.iter().filter(|prefix| !others.contains(prefix));
    only.map(|(network, len)| format!("{network}/{len}")).collect::<Vec<_>>().join(", ")
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
        dropped_short,
        dropped_responses,
        dropped_rate,
        rate_limited,
        rate_slips,
        rate_badcookies,
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
    sum.dropped_short += dropped_short;
    sum.dropped_responses += dropped_responses;
    sum.dropped_rate += dropped_rate;
    sum.rate_slips += rate_slips;
    sum.rate_badcookies += rate_badcookies;
    sum.rate_limited.iter_mut().zip(rate_limited).for_each(|(sum, count)| *sum += count);
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
        let shared = Arc::new(DnsShared::new(Arc::new(Catalog::new(1)), Settings::default(), secrets, None));
        let mut handler = shared.handler(1);
        let local = "127.0.0.1:53".parse().unwrap();
        let peer = Peer { addr: "127.0.0.1:1024".parse().unwrap(), local, transport: rokko_net::Transport::Tcp };
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
        let mut out = vec![0; 65_535];
        assert!(handler.answer(Query::new(query), &peer, 0, &mut out) > 12);
        shared.set_settings(Settings { nsid: b"x".to_vec(), ..Settings::default() });
        handler.tick();
        assert!(handler.answer(Query::new(query), &peer, 0, &mut out) > 12);
        handler.tick();
        handler.tick();
        let counters = shared.counters();
        assert_eq!((counters.queries, counters.queries_tcp, counters.by_rcode[5]), (2, 2, 2));
    }
}
