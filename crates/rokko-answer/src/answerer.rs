//! From the bytes of a query to the bytes of its response.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use rokko_wire::compose::{Composer, Full, NameTable, Section};
use rokko_wire::edns::PAYLOAD_MIN;
use rokko_wire::query::{Additional, HEADER_LEN, Header, MESSAGE_LEN_MAX, Question, flag};
use rokko_wire::{Ede, Opcode, Rcode, Rtype, code};
use rokko_zone::CatalogReader;

use crate::ahead::Asked;
use crate::cookie::Verdict;
use crate::edns::OptReply;
use crate::rate::{Limited, Limiter, Suppression};
use crate::reply::Reply;
use crate::resolve::{Outcome, Resolution, Scratch, zone_of};
use crate::settings::{Client, Service, Settings, Transport};
use crate::{CookieSecrets, Counters, RateClass, RateTable, Shed, chaos};

/// See [`Answerer::AHEAD_MAX`].
const LOOK_AHEAD: usize = 32;
/// The place of a query that was not looked at ahead.
const ALONE: usize = LOOK_AHEAD;
/// With fewer zones nearly all of them are in the caches.
const LOOK_AHEAD_ZONES: usize = 4096;
/// The hash of what has no name.
const NO_NAME: u64 = 0;

/// Answers queries, one at a time; each thread has its own. Holds buffers that are used again for each query.
pub struct Answerer {
    settings: Settings,
    secrets: CookieSecrets,
    counters: Counters,
    scratch: Scratch,
    names: NameTable,
    limiter: Option<Limiter>,
    /// The queries that were looked at ahead, and one that was not.
    asked: Box<[Asked; LOOK_AHEAD + 1]>,
    /// How many were looked at ahead.
    ahead: usize,
}

/// What a query is to be answered with, as far as that is known without its zone.
struct Request {
    /// The number of its question among those that were read.
    at: usize,
    task: Task,
    /// Where the question ends that is to be repeated; `None` if there is none.
    question: Option<Question>,
    opt: Option<OptReply>,
    /// The most octets that the response may have.
    limit: usize,
}

enum Task {
    /// Nothing but this rcode.
    Rcode(Rcode, Option<Ede>),
    /// The server's description of itself.
    Chaos(Question),
    /// Hosted data.
    Zones(Question),
    /// An UPDATE or NOTIFY, which the zone does not take.
    Change,
}

impl Answerer {
    /// How many queries [`Answerer::look_ahead`] takes: what is loaded for them stays in the first-level cache.
    pub const AHEAD_MAX: usize = LOOK_AHEAD;

    /// An answerer with these settings; `secrets` make its DNS cookies.
    pub fn new(settings: Settings, secrets: CookieSecrets) -> Self {
        let udp_payload_max = settings.udp_payload_max.max(PAYLOAD_MIN);
        Self {
            settings: Settings { udp_payload_max, ..settings },
            secrets,
            counters: Counters::default(),
            scratch: Scratch::default(),
            names: NameTable::default(),
            limiter: None,
            asked: Box::new(std::array::from_fn(|_| Asked::default())),
            ahead: 0,
        }
    }

    /// Limits responses over UDP as the settings say; `table` holds what the clients have used, for all threads.
    #[must_use]
    pub fn with_rate_table(mut self, table: Arc<RateTable>) -> Self {
        self.limiter = Some(Limiter::new(table, &self.settings.rate));
        self
    }

    /// Which clients the kernel is to keep away from this thread, going by what was suppressed since the last call. To be
    /// called about four times per second, with the time in milliseconds since 1970.
    pub fn shed(&mut self, now_ms: u64) -> Shed {
        self.limiter.as_mut().map(|limiter| limiter.shed(now_ms)).unwrap_or_default()
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Changes the secrets for DNS cookies.
    pub fn set_cookie_secrets(&mut self, secrets: CookieSecrets) {
        self.secrets = secrets;
    }

    /// Writes the response to `query` into `out` and returns its length in octets; 0 if there must be no response,
    /// that is if the message is a response itself or shorter than a header.
    ///
    /// `out` needs 65,535 octets for TCP and the largest UDP payload of the settings for UDP; what does not fit is
    /// truncated. The message has no length prefix.
    pub fn answer(&mut self, catalog: &CatalogReader, query: &[u8], client: &Client, out: &mut [u8]) -> usize {
        self.asked[ALONE].read(query, catalog);
        self.asked[ALONE].read_source(client.addr, self.limiter.as_ref());
        self.answer_at(ALONE, catalog, query, client, out)
    }

    /// As [`Answerer::answer`], for number `index` of the queries that [`Answerer::look_ahead`] was last given, from the same
    /// address, and with nothing else between. Each is answered at most once.
    pub fn answer_ahead(
        &mut self,
        index: usize,
        catalog: &CatalogReader,
        query: &[u8],
        client: &Client,
        out: &mut [u8],
    ) -> usize {
        if index >= self.ahead {
            return self.answer(catalog, query, client, out);
        }
        self.answer_at(index, catalog, query, client, out)
    }

    fn answer_at(
        &mut self,
        at: usize,
        catalog: &CatalogReader,
        query: &[u8],
        client: &Client,
        out: &mut [u8],
    ) -> usize {
        let Some(header) = Header::parse(query) else {
            self.counters.dropped_short += 1;
            return 0;
        };
        if header.is_response() {
            self.counters.dropped_responses += 1;
            return 0;
        }
        self.counters.queries += 1;
        self.counters.queries_tcp += u64::from(client.transport == Transport::Tcp);
        let mut request = self.read(at, query, &header, client);
        self.respond(catalog, query, &header, &mut request, client, out)
    }

    /// Reads the questions of `queries`, each with its client's address, and asks for the memory that the answers to them
    /// will need, for all of them at once. Returns how many it took: at most [`Answerer::AHEAD_MAX`].
    pub fn look_ahead<'q>(
        &mut self,
        catalog: &CatalogReader,
        queries: impl Iterator<Item = (&'q [u8], IpAddr)>,
    ) -> usize {
        let limiter = self.limiter.as_ref();
        self.ahead = 0;
        for (asked, (query, addr)) in self.asked[..LOOK_AHEAD].iter_mut().zip(queries) {
            asked.read(query, catalog);
            asked.read_source(addr, limiter);
            self.ahead += 1;
        }
        let asked = &self.asked[..self.ahead];
        let is_large = catalog.len() >= LOOK_AHEAD_ZONES;
        let hints = || asked.iter().map(|asked| asked.hint);
        if is_large {
            black_box(catalog.touch_ways(hints()));
        }
        if let Some(limiter) = limiter {
            black_box(limiter.touch(asked.iter().filter_map(|asked| Some((asked.source?, asked.hint.name_hash)))));
        }
        if is_large {
            black_box(catalog.touch_zones(hints()));
        }
        self.ahead
    }

    fn read(&mut self, at: usize, query: &[u8], header: &Header, client: &Client) -> Request {
        let mut request = Request {
            at,
            task: Task::Rcode(Rcode::FORMERR, None),
            question: None,
            opt: None,
            limit: match client.transport {
                Transport::Udp => usize::from(PAYLOAD_MIN),
                Transport::Tcp => MESSAGE_LEN_MAX,
            },
        };
        let opcode = header.opcode();
        if !matches!(opcode, Opcode::QUERY | Opcode::NOTIFY | Opcode::UPDATE) {
            request.task = Task::Rcode(Rcode::NOTIMP, None);
            return request;
        }
        let [questions, answers, authorities, _] = header.counts;
        if questions == 1 {
            request.question = self.asked[at].question;
        }
        let end = match request.question {
            Some(question) => question.end,
            None if questions == 0 => HEADER_LEN,
            None => return request,
        };
        if let Some(question) = request.question.filter(|_| opcode == Opcode::QUERY) {
            self.counters.count_qtype(question.qtype);
            if answers != 0 || authorities != 0 && question.qtype != Rtype::IXFR {
                return request;
            }
        }
        let Ok(additional) = Additional::parse(query, header, end) else { return request };
        if let Some(task) = self.read_edns(&additional, client, &mut request) {
            request.task = task;
            return request;
        }
        request.task = match request.question {
            Some(_) if opcode != Opcode::QUERY => Task::Change,
            Some(_) if additional.tsig => Task::Rcode(Rcode::NOTAUTH, None),
            Some(question) => task_of(question),
            // A query for a cookie alone (RFC 7873 §5.4).
            None if opcode == Opcode::QUERY && request.opt.is_some_and(|opt| opt.cookie_verdict().is_some()) => {
                Task::Rcode(Rcode::NOERROR, None)
            }
            None => Task::Rcode(Rcode::FORMERR, None),
        };
        request
    }

    /// Takes in the OPT record; returns what to do if that decides it.
    fn read_edns(&mut self, additional: &Additional<'_>, client: &Client, request: &mut Request) -> Option<Task> {
        let edns = additional.edns?;
        self.counters.queries_edns += 1;
        self.counters.queries_dnssec_ok += u64::from(edns.dnssec_ok);
        if client.transport == Transport::Udp {
            let size = edns.payload_size.clamp(PAYLOAD_MIN, self.settings.udp_payload_max);
            request.limit = usize::from(size);
        }
        let plain = OptReply::plain(edns.dnssec_ok);
        if edns.version != 0 {
            request.opt = Some(plain);
            return Some(Task::Rcode(Rcode::BADVERS, None));
        }
        let Ok(opt) = OptReply::new(&edns, &self.settings, &self.secrets, client) else {
            request.opt = Some(plain);
            return Some(Task::Rcode(Rcode::FORMERR, None));
        };
        match opt.cookie_verdict() {
            Some(Verdict::New) => self.counters.cookies_new += 1,
            Some(Verdict::Good) => self.counters.cookies_good += 1,
            Some(Verdict::Bad) => self.counters.cookies_bad += 1,
            None => {}
        }
        request.opt = Some(opt);
        None
    }

    fn respond(
        &mut self,
        catalog: &CatalogReader,
        query: &[u8],
        header: &Header,
        request: &mut Request,
        client: &Client,
        out: &mut [u8],
    ) -> usize {
        let limited = self.limited(request, client);
        let early =
            limited.as_ref().zip(self.limiter.as_mut()).and_then(|(client, limiter)| limiter.take_query(client));
        let early = early.map(|suppression| (RateClass::All, suppression));
        let Request { at, ref task, question, ref mut opt, limit } = *request;
        let limit = limit.min(out.len());
        let Some(composer) = Composer::new(out, limit, &mut self.names) else { return 0 };
        let mut reply = Reply {
            composer,
            rcode: Rcode::NOERROR,
            authoritative: false,
            truncated: false,
            dnssec_ok: opt.is_some_and(|opt| opt.dnssec_ok),
        };
        let copied = question.map(|question| reply.composer.question(&query[HEADER_LEN..question.end]));
        if copied == Some(Err(Full)) {
            reply.truncated = true;
        }
        let mark = reply.composer.mark();
        let (mut outcome, mut suppressed) = (None, early);
        if early.is_none() {
            let mut hashes = Hashes { name: NO_NAME, apex: NO_NAME };
            let work = Work {
                catalog,
                settings: &self.settings,
                asked: &mut self.asked[at],
                scratch: &mut self.scratch,
                transport: client.transport,
                hashes: &mut hashes,
            };
            outcome = work.run(task, &mut reply, opt, limit);
            if let (Some(limited), Some(limiter)) = (&limited, &mut self.limiter) {
                let (class, name) = class_of(outcome, reply.rcode, &hashes);
                suppressed = limiter.take_response(limited, class, name).map(|suppression| (class, suppression));
            }
        }
        if let Some((class, suppression)) = suppressed {
            self.counters.count_suppressed(class, suppression);
            if suppression == Suppression::Drop {
                return 0;
            }
            outcome = None;
            *opt = opt.map(OptReply::bare);
            reply.composer.return_to(mark);
            (reply.authoritative, reply.truncated) = (false, suppression == Suppression::Slip);
            reply.rcode = if suppression == Suppression::Slip { Rcode::NOERROR } else { Rcode::BADCOOKIE };
        }
        self.counters.referrals += u64::from(outcome == Some(Outcome::Referral));
        if let Some(opt) = opt {
            reply.composer.set_limit(limit);
            let rcode_high = (reply.rcode.0 >> 4).to_be_bytes()[1];
            reply.truncated |= opt.write(&mut reply.composer, &self.settings, rcode_high).is_err();
        }
        self.counters.count_rcode(reply.rcode);
        self.counters.truncated += u64::from(reply.truncated);
        let is_empty = reply.composer.count(Section::Answer) == 0;
        self.counters.nodata += u64::from(reply.rcode == Rcode::NOERROR && reply.authoritative && is_empty);
        // CD is for resolvers; an authoritative response has it clear (RFC 4035 §3.1.6).
        let mut flags = flag::QR | header.flags & (0x7800 | flag::RD) | reply.rcode.0 & 0x0f;
        flags |= if reply.authoritative { flag::AA } else { 0 };
        flags |= if reply.truncated { flag::TC } else { 0 };
        reply.composer.finish(header.id, flags)
    }
}

impl Answerer {
    /// Who is limited: all that come over UDP but those with a cookie of ours, which a forged address cannot have.
    fn limited(&self, request: &Request, client: &Client) -> Option<Limited> {
        let source = self.asked[request.at].source.filter(|_| client.transport == Transport::Udp)?;
        let verdict = request.opt.and_then(|opt| opt.cookie_verdict());
        if verdict == Some(Verdict::Good) {
            return None;
        }
        let is_forged = verdict == Some(Verdict::Bad);
        let (addr, now_ms) = (client.addr, client.now_ms);
        Some(Limited { addr, source, has_cookie: verdict.is_some(), has_forged_cookie: is_forged, now_ms })
    }
}

/// What limits go by: the hashes of the name that was asked for and of the zone that answers.
struct Hashes {
    name: u64,
    apex: u64,
}

/// The limit that a response counts for, and the hash of the name that it goes by.
fn class_of(outcome: Option<Outcome>, rcode: Rcode, hashes: &Hashes) -> (RateClass, u64) {
    match (outcome, rcode) {
        (Some(Outcome::Referral), _) => (RateClass::Referral, hashes.apex),
        (_, Rcode::NXDOMAIN) => (RateClass::NxDomain, hashes.apex),
        (Some(Outcome::NoData), _) => (RateClass::NoData, hashes.name),
        (_, Rcode::NOERROR) => (RateClass::Answer, hashes.name),
        _ => (RateClass::Error, NO_NAME),
    }
}

fn task_of(question: Question) -> Task {
    match (question.qclass, question.qtype) {
        (code::CLASS_CH, _) => Task::Chaos(question),
        // Only a denial record may say that a name has this type (RFC 9824 §3.2).
        (code::CLASS_IN | code::CLASS_ANY, Rtype::NXNAME) => Task::Rcode(Rcode::FORMERR, Some(Ede::INVALID_QUERY_TYPE)),
        (code::CLASS_IN | code::CLASS_ANY, Rtype::AXFR | Rtype::IXFR) => {
            Task::Rcode(Rcode::REFUSED, Some(Ede::PROHIBITED))
        }
        (code::CLASS_IN | code::CLASS_ANY, _) => Task::Zones(question),
        _ => Task::Rcode(Rcode::REFUSED, Some(Ede::NOT_AUTHORITATIVE)),
    }
}

/// What the tasks work with.
struct Work<'a> {
    catalog: &'a CatalogReader,
    settings: &'a Settings,
    asked: &'a mut Asked,
    scratch: &'a mut Scratch,
    transport: Transport,
    /// Becomes what limits go by.
    hashes: &'a mut Hashes,
}

impl Work<'_> {
    /// Fills in the response but for the OPT record, for which room is left.
    fn run(self, task: &Task, reply: &mut Reply<'_>, opt: &mut Option<OptReply>, limit: usize) -> Option<Outcome> {
        let reserve = |reply: &mut Reply<'_>, opt: &Option<OptReply>| {
            let opt_len = opt.as_ref().map_or(0, |opt| opt.len(self.settings));
            reply.composer.set_limit(limit.saturating_sub(opt_len));
        };
        reserve(reply, opt);
        let service = self.settings.service;
        let (rcode, error) = match *task {
            Task::Rcode(rcode, error) => (rcode, error),
            Task::Chaos(question) => {
                self.hashes.name = self.asked.hint.name_hash;
                let qname = self.asked.name.as_bytes();
                let written = chaos::answer(reply, self.settings, qname, question.qtype);
                reply.truncated |= written.is_err();
                return None;
            }
            Task::Change => match self.catalog.find_by_hint(&self.asked.name, self.asked.hint).zone {
                Some(zone) if zone.apex_bytes() == self.asked.name.as_bytes() => {
                    (Rcode::REFUSED, Some(Ede::PROHIBITED))
                }
                _ => (Rcode::NOTAUTH, Some(Ede::NOT_AUTHORITATIVE)),
            },
            Task::Zones(question) => {
                let found = zone_of(self.catalog, &self.asked.name, self.asked.hint, question.qtype);
                *self.hashes = Hashes { name: found.name_hash, apex: found.apex_hash };
                if let Some(zone) = found.zone.filter(|_| service != Service::Suspended) {
                    if let Some(opt) = opt {
                        opt.set_zone(zone);
                    }
                    reserve(reply, opt);
                    return self.resolve(zone, question, reply, opt);
                }
                match service {
                    Service::Suspended | Service::Incomplete => (Rcode::SERVFAIL, Some(Ede::NOT_READY)),
                    Service::Full => (Rcode::REFUSED, Some(Ede::NOT_AUTHORITATIVE)),
                }
            }
        };
        reply.rcode = rcode;
        if let (Some(opt), Some(error)) = (opt, error) {
            opt.set_error(error);
        }
        None
    }

    fn resolve(
        self,
        zone: rokko_zone::ZoneRef<'_>,
        question: Question,
        reply: &mut Reply<'_>,
        opt: &mut Option<OptReply>,
    ) -> Option<Outcome> {
        let found = Resolution {
            catalog: self.catalog,
            settings: self.settings,
            name: &mut self.asked.name,
            scratch: self.scratch,
            reply,
            qtype: question.qtype,
            transport: self.transport,
            chain: crate::resolve::Chain::default(),
        }
        .run(zone);
        if let (Ok(Outcome::Failure), Some(opt)) = (found, opt.as_mut()) {
            opt.set_error(Ede::NOT_READY);
        }
        reply.truncated |= found == Err(Full);
        // No zone of class ANY exists to be authoritative for.
        reply.authoritative &= question.qclass != code::CLASS_ANY;
        found.ok()
    }
}
