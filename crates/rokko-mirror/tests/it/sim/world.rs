//! What happens to a fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use rokko_feed::follow::{FollowEvent, Following};
use rokko_feed::message::{Ack, FromPop, FromServer, News};
use rokko_feed::serve::{ServeEvent, ServeOptions, Serving};
use rokko_mirror::feed::Copy;
use rokko_wire::Name;
use rokko_zone::Revision;

use super::Random;
use super::network::{Agenda, DELAY_MS_MAX, Event, Link};
use super::node::Node;
use crate::origin::Origin;

const TICK_MS: u64 = 400;
/// How long things go wrong at most.
const TROUBLE_MS_MAX: u64 = 1_500;
/// How long everything may take to be right afterwards.
const QUIET_MS_MAX: u64 = 900_000;

pub(super) struct World {
    random: Random,
    now: u64,
    agenda: Agenda,
    origin: Origin,
    names: Vec<Name>,
    nodes: Vec<Node>,
    links: BTreeMap<u64, Link>,
    links_made: u64,
    /// Connections lose and repeat messages, which no carrier does.
    is_unruly: bool,
    is_quiet: bool,
    /// What the control node knows of each PoP.
    acks: BTreeMap<Box<str>, Ack>,
    /// When each PoP was first and last seen to come to a revision, by the control node's clock.
    applied: BTreeMap<(Box<str>, Revision), (u64, u64)>,
    is_told: bool,
}

impl World {
    pub(super) fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::new(seed);
        let count = if random.one_in(16) { 1 + random.index(12) } else { 1 + random.index(2) };
        let zones = 1 + random.below(6);
        let large = if random.one_in(30) { 3 } else { 1_000 };
        let mut nodes = vec![Node::new(0, None, true, &mut random)];
        for number in 1..=count {
            let relays: Vec<usize> = nodes.iter().filter(|node| node.is_relay).map(|node| node.number).collect();
            let upstream = relays[random.index(relays.len())];
            let is_relay = random.one_in(2);
            nodes.push(Node::new(number, Some(upstream), is_relay, &mut random));
        }
        let names = (0..zones).map(|number| format!("z{number}.example.").parse().unwrap()).collect();
        let origin = Origin::new(random.below(u64::MAX), zones, large);
        let is_unruly = random.one_in(5);
        Self {
            random,
            now: 10_000,
            agenda: Agenda::default(),
            origin,
            names,
            nodes,
            links: BTreeMap::new(),
            links_made: 0,
            is_unruly,
            is_quiet: false,
            acks: BTreeMap::new(),
            applied: BTreeMap::new(),
            is_told,
        }
    }

    pub(super) fn run(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        self.agenda.at(self.now, Event::Commit);
        self.agenda.at(self.now, Event::Fault);
        let quiet_from = self.now + 300 + self.random.below(TROUBLE_MS_MAX);
        while let Some((time, event)) = self.agenda.pop() {
            self.now = time;
            for node in &self.nodes {
                node.set_clock(time);
            }
            if !self.is_quiet && self.now >= quiet_from {
                self.be_quiet();
            }
            if self.is_quiet && matches!(event, Event::Tick { .. }) && self.is_in_sync() {
                self.check_all();
                return;
            }
            assert!(self.now < quiet_from + QUIET_MS_MAX, "the fleet did not come to rest: {}", self.state());
            self.happen(event);
        }
    }

    /// Ends all trouble.
    fn be_quiet(&mut self) {
        self.is_quiet = true;
        self.tell("quiet");
        for node in 0..self.nodes.len() {
            self.nodes[node].is_reachable = true;
            self.nodes[node].disk.set_capacity(None);
            self.nodes[node].disk.fail_syncs(0);
            if self.nodes[node].dies_at.is_some() {
                self.die(node);
            }
        }
        if self.is_unruly {
            // What got lost for good is made up for on new connections.
            let links: Vec<u64> = self.links.keys().copied().collect();
            for link in links {
                self.close(link, true);
                self.close(link, false);
            }
        }
    }

    fn is_in_sync(&self) -> bool {
        let head = self.origin.revision();
        let digest = self.origin.digest.short();
        self.nodes.iter().all(|node| node.is_in_sync(&self.origin))
            && self.nodes[1..]
                .iter()
                .all(|node| self.acks.get(&node.name()).is_some_and(|ack| (ack.revision, ack.digest) == (head, digest)))
    }

    fn check_all(&mut self) {
        for node in &mut self.nodes {
            node.check(&self.origin, &self.names);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { link, to_server, bytes } => self.deliver(link, to_server, &bytes),
            Event::Connect { pop } => self.connect(pop),
            Event::Gone { link, at_server } => self.close(link, at_server),
            Event::Tick { node, life } => self.tick(node, life),
            Event::Settle { link } => self.settle(link),
            Event::Done { link, at_server, job } => self.done(link, at_server, job),
            Event::Start { node } => self.start(node),
            Event::Commit => self.commit(),
            Event::Fault => self.fault(),
            Event::Reach { pop } => self.nodes[pop].is_reachable = true,
            Event::Room { node } => self.nodes[node].disk.set_capacity(None),
        }
    }

    fn start(&mut self, number: usize) {
        if self.nodes[number].running.is_some() {
            return;
        }
        let node = &mut self.nodes[number];
        node.set_clock(self.now);
        node.start(&self.origin);
        node.check(&self.origin, &self.names);
        let life = node.life;
        self.tell(&format!("node {number} starts: {}", self.nodes[number].revision_text()));
        self.agenda.at(self.now + self.random.below(TICK_MS), Event::Tick { node: number, life });
        if number > 0 {
            self.agenda.at(self.now + self.random.below(50), Event::Connect { pop: number });
        }
    }

    fn commit(&mut self) {
        if self.is_quiet {
            return;
        }
        self.agenda.at(self.now + 1 + self.random.below(250), Event::Commit);
        if self.nodes[0].running.is_none() {
            return;
        }
        let before = self.origin.revision();
        let changes = 1 + self.random.below(3);
        let bytes = self.origin.frame(changes);
        // It can die between the log and the mirror.
        if self.random.one_in(40) {
            return self.die(0);
        }
        let frame = rokko_feed::frame::Frame::decode(&bytes).unwrap();
        let zones: BTreeMap<Name, _> = frame
            .entries
            .iter()
            .map(|entry| (entry.zone.clone(), self.origin.zones.get(&entry.zone).cloned()))
            .collect();
        let Some(running) = &self.nodes[0].running else { return };
        // The control node took over all that was committed before when it started.
        assert_eq!(running.mirror.revision(), before);
        running.mirror.publish(bytes, zones, self.origin.digest.clone()).unwrap();
        self.tell(&format!("commit {}", frame.last));
        self.after(0);
    }

    fn connect(&mut self, pop: usize) {
        let Some(server) = self.nodes[pop].upstream else { return };
        let is_free = self.nodes[pop].running.as_ref().is_some_and(|running| running.following.is_none());
        if !is_free {
            return;
        }
        let can = self.nodes[pop].is_reachable && self.nodes[server].running.is_some();
        if !can {
            self.agenda.at(self.now + 200 + self.random.below(1_000), Event::Connect { pop });
            return;
        }
        let number = self.links_made;
        self.links_made += 1;
        self.links.insert(number, Link::new(pop, server, &mut self.random));
        let is_relay = self.nodes[pop].is_relay;
        let (now_pop, now_server) = (self.nodes[pop].set_clock(self.now), self.nodes[server].set_clock(self.now));
        let options = ServeOptions { name: self.nodes[pop].name(), is_origin: server == 0, may_relay: is_relay };
        let clock = Arc::clone(&self.nodes[pop].clock);
        if let Some(running) = &mut self.nodes[server].running {
            // The session before is over, whether its end was noticed or not.
            for (old, _) in running.serving.extract_if(.., |old, _| self.links[old].pop == pop) {
                self.agenda.at(self.now, Event::Gone { link: old, at_server: true });
            }
            running.serving.insert(number, Serving::new(options, now_server));
        }
        if let Some(running) = &mut self.nodes[pop].running {
            let mut copy =
                Copy::new(Arc::clone(&running.mirror), move || clock.load(std::sync::atomic::Ordering::Relaxed));
            let behind = is_relay.then_some(&running.behind);
            let following = Following::new(&mut copy, "sim", behind, now_pop, running.fresh_ms);
            running.following = Some((number, following, copy));
        }
        self.pump(pop);
    }

    fn deliver(&mut self, number: u64, to_server: bool, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.way(to_server).unread -= 1;
        let (sender, receiver) = if to_server { (link.pop, link.server) } else { (link.server, link.pop) };
        if link.is_dead {
            return;
        }
        let is_open = if to_server { link.server_open } else { link.pop_open };
        let now = self.nodes[receiver].set_clock(self.now);
        if is_open && to_server {
            self.server_receives(number, receiver, now, bytes);
        } else if is_open {
            self.pop_receives(number, receiver, now, bytes);
        }
        self.pump(sender);
    }

    fn server_receives(&mut self, number: u64, node: usize, now: u64, bytes: &[u8]) {
        let message = FromPop::decode(bytes).unwrap();
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some(serving) = running.serving.get_mut(&number) else { return };
        let mut out = Vec::new();
        serving.receive(message, now, &running.source, &mut out);
        self.served(number, node, out);
        self.after(node);
    }

    fn pop_receives(&mut self, number: u64, node: usize, now: u64, bytes: &[u8]) {
        let message = FromServer::decode(bytes).unwrap();
        let settles = matches!(message, FromServer::Frame { .. });
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some((link, following, copy)) = &mut running.following else { return };
        if *link != number {
            return;
        }
        let mut out = Vec::new();
        following.receive(message, now, copy, &mut out);
        running.fresh_ms = following.fresh_ms();
        self.followed(number, node, out);
        if settles {
            let wait = if self.random.one_in(2) { 0 } else { self.random.below(30) };
            self.agenda.at(self.now + wait, Event::Settle { link: number });
        }
        self.after(node);
    }

    fn settle(&mut self, number: u64) {
        let Some(node) = self.links.get(&number).filter(|link| link.pop_open).map(|link| link.pop) else { return };
        let now = self.nodes[node].set_clock(self.now);
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some((link, following, copy)) = &mut running.following else { return };
        if *link != number {
            return;
        }
        let mut out = Vec::new();
        following.settle(now, copy, &mut out);
        self.followed(number, node, out);
        self.after(node);
    }

    fn done(&mut self, number: u64, at_server: bool, job: rokko_feed::audit::Job) {
        let Some(link) = self.links.get(&number) else { return };
        let node = if at_server { link.server } else { link.pop };
        let now = self.nodes[node].set_clock(self.now);
        let Some(running) = &mut self.nodes[node].running else { return };
        let what = if self.is_told { format!("{number} at server {at_server}: {job:.60?}") } else { String::new() };
        let mut out = Vec::new();
        if at_server {
            let Some(serving) = running.serving.get_mut(&number) else { return };
            serving.job_done(job.run(&running.mirror.view()), now, &mut out);
            self.served(number, node, out);
        } else {
            let Some((_, following, _)) = running.following.as_mut().filter(|(link, ..)| *link == number) else {
                return;
            };
            following.job_done(job.run(&running.mirror.view()), now);
        }
        self.tell(&what);
        self.after(node);
    }

    fn tick(&mut self, number: usize, life: u64) {
        if self.nodes[number].life != life || self.nodes[number].running.is_none() {
            return;
        }
        self.agenda.at(self.now + TICK_MS, Event::Tick { node: number, life });
        let now = self.nodes[number].set_clock(self.now);
        let Some(running) = &mut self.nodes[number].running else { return };
        let age = if number == 0 { 0 } else { now.saturating_sub(running.fresh_ms) };
        let mut followed = Vec::new();
        let mut link = None;
        if let Some((number, following, copy)) = &mut running.following {
            following.tick(now, copy, &mut followed);
            link = Some(*number);
        }
        let mut served = Vec::new();
        for (link, serving) in &mut running.serving {
            let mut out = Vec::new();
            serving.tick(now, age, &running.source, &mut out);
            served.push((*link, out));
        }
        if let Some(link) = link {
            self.followed(link, number, followed);
        }
        for (link, out) in served {
            self.served(link, number, out);
        }
        self.compact(number);
        if self.random.one_in(8) {
            self.nodes[number].check(&self.origin, &self.names);
        }
        self.after(number);
    }

    /// Compacts step by step.
    fn compact(&mut self, number: usize) {
        let Some(running) = &mut self.nodes[number].running else { return };
        if running.compaction.is_none() && running.mirror.wants_compaction() {
            running.compaction = running.mirror.start_compaction().ok().flatten();
        }
        let octets = if self.random.one_in(3) { 1 } else { u64::MAX };
        if let Some(compaction) = &mut running.compaction
            && compaction.step(octets).unwrap_or(true)
        {
            running.compaction = None;
        }
    }

    /// What a serving session asks for.
    fn served(&mut self, number: u64, node: usize, events: Vec<ServeEvent>) {
        for event in events {
            match event {
                ServeEvent::News { path, news } if node == 0 => self.news(number, &path, &news),
                ServeEvent::News { path, news } => {
                    let Some(running) = &mut self.nodes[node].running else { continue };
                    running.behind.note(&path, &news);
                    if let Some((_, following, _)) = &mut running.following {
                        following.relay(path, news);
                    }
                }
                ServeEvent::Job(job) => {
                    let at = self.now + self.random.below(500);
                    self.agenda.at(at, Event::Done { link: number, at_server: true, job });
                }
                ServeEvent::SnapshotWanted => {
                    let Some(running) = &mut self.nodes[node].running else { continue };
                    if running.compaction.is_none() {
                        running.compaction = running.mirror.start_compaction().ok().flatten();
                    }
                }
                ServeEvent::Close(why) => {
                    self.tell(&format!("node {node} closes {number}: {why}"));
                    self.pump(node);
                    self.hang_up(number, true);
                }
            }
        }
    }

    /// What a follower asks for.
    fn followed(&mut self, number: u64, node: usize, events: Vec<FollowEvent>) {
        for event in events {
            match event {
                FollowEvent::Job(job) => {
                    let at = self.now + self.random.below(500);
                    self.agenda.at(at, Event::Done { link: number, at_server: false, job });
                }
                FollowEvent::Applied(position) => {
                    self.tell(&format!(
                        "node {node} has {} {}",
                        position.revision,
                        position.digest == position.expected
                    ));
                    let at = self.now + self.nodes[0].ahead_ms;
                    self.applied.entry((self.nodes[node].name(), position.revision)).or_insert((at, at)).1 = at;
                }
                FollowEvent::Close(why) => {
                    self.tell(&format!("node {node} closes {number}: {why}"));
                    self.hang_up(number, false);
                }
                FollowEvent::Suspects(names) => {
                    self.tell(&format!("node {node} suspects {names:?}"));
                    assert!(self.nodes[node].was_damaged, "an undamaged mirror suspects {names:?}");
                }
                FollowEvent::Refused(code, _) => self.tell(&format!("node {node} is refused: {code:?}")),
                _ => {}
            }
        }
    }

    /// The control node hears of a PoP.
    fn news(&mut self, link: u64, path: &[Box<str>], news: &News) {
        let Some(name) = path.last() else { return };
        let News::Ack(ack) = *news else { return };
        assert!(ack.at_ms <= self.now + self.nodes[0].ahead_ms, "a time to come");
        let serving = self.nodes[0].running.as_ref().and_then(|running| running.serving.get(&link));
        let round_trip = serving.and_then(|serving| serving.clock().round_trip_ms());
        let is_first = self.acks.get(name).is_none_or(|last| last.revision < ack.revision);
        if let Some(&(first, last)) = self.applied.get(&(name.clone(), ack.revision))
            && path.len() == 1
        {
            // At worst one direction took all the time.
            let error = round_trip.map_or(0, |way| way / 2 + 1);
            assert!(ack.at_ms + error >= first, "{name} had {} at {first}, not at {}", ack.revision, ack.at_ms);
            let is_late = round_trip.is_some() && is_first && !self.is_unruly && ack.at_ms > last + error;
            assert!(!is_late, "{name} had {} at {last}, not at {}", ack.revision, ack.at_ms);
        }
        self.acks.insert(name.clone(), ack);
    }

    /// After something happened to a node: it is looked at, it may have died, and it may have something to say.
    fn after(&mut self, node: usize) {
        if self.nodes[node].dies_at.is_some_and(|step| self.nodes[node].disk.steps() >= step) {
            return self.die(node);
        }
        self.pump(node);
    }

    /// Sends what there is to send and room for.
    fn pump(&mut self, number: usize) {
        let Some(running) = &mut self.nodes[number].running else { return };
        let mut sent = Vec::new();
        if let Some((link, following, _)) = &mut running.following {
            let way = &mut self.links.get_mut(link).unwrap().to_server;
            while way.has_room()
                && let Some(message) = following.next_message()
            {
                sent.push((*link, true, way.send(self.now, &mut self.random), message.encode()));
            }
        }
        for (link, serving) in &mut running.serving {
            let way = &mut self.links.get_mut(link).unwrap().to_pop;
            while way.has_room()
                && let Some(message) = serving.next_message(&running.source)
            {
                sent.push((*link, false, way.send(self.now, &mut self.random), message.encode()));
            }
        }
        for (link, to_server, time, bytes) in sent {
            if self.is_unruly && !self.is_quiet && self.random.one_in(60) {
                let way = self.links.get_mut(&link).unwrap().way(to_server);
                if self.random.one_in(2) {
                    way.unread -= 1;
                    continue;
                }
                way.unread += 1;
                self.agenda.at(time, Event::Deliver { link, to_server, bytes: bytes.clone() });
            }
            self.agenda.at(time, Event::Deliver { link, to_server, bytes });
        }
    }

    /// One end closes a connection; the other learns of it later, or not at all.
    fn hang_up(&mut self, number: u64, at_server: bool) {
        let Some(link) = self.links.get_mut(&number) else { return };
        // What was sent before gets there first.
        let last = link.way(!at_server).send(self.now, &mut self.random);
        link.way(!at_server).unread -= 1;
        if self.random.one_in(8) {
            link.is_dead = true;
        } else {
            self.agenda.at(last, Event::Gone { link: number, at_server: !at_server });
        }
        self.close(number, at_server);
    }

    fn close(&mut self, number: u64, at_server: bool) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let node = if at_server { link.server } else { link.pop };
        if at_server {
            link.server_open = false;
        } else {
            link.pop_open = false;
        }
        if link.is_over() {
            link.is_dead = true;
        }
        let Some(running) = &mut self.nodes[node].running else { return };
        if at_server {
            if let Some(mut serving) = running.serving.remove(&number) {
                let mut out = Vec::new();
                serving.closed(&mut out);
                self.served(number, node, out);
                self.pump(node);
            }
        } else if running.following.as_ref().is_some_and(|(link, ..)| *link == number) {
            running.following = None;
            self.agenda.at(self.now + 100 + self.random.below(1_500), Event::Connect { pop: node });
        }
    }

    /// A process ends without a word, or the whole machine does.
    fn die(&mut self, number: usize) {
        self.tell(&format!("node {number} dies"));
        let is_crash = self.random.one_in(2);
        let node = &mut self.nodes[number];
        let Some(running) = node.running.take() else { return };
        drop(running);
        node.dies_at = None;
        if is_crash {
            node.disk.crash();
        } else {
            node.disk.kill();
        }
        let links: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| link.pop == number || link.server == number)
            .map(|(id, _)| *id)
            .collect();
        for id in links {
            let link = self.links.get_mut(&id).unwrap();
            let is_server = link.server == number;
            let is_open = if is_server { link.server_open } else { link.pop_open };
            if !is_open {
                continue;
            }
            if is_server {
                link.server_open = false;
            } else {
                link.pop_open = false;
            }
            // A machine that is gone says nothing; a process leaves a kernel that does.
            if is_crash {
                link.is_dead = true;
            } else {
                self.agenda
                    .at(self.now + self.random.below(DELAY_MS_MAX), Event::Gone { link: id, at_server: !is_server });
            }
        }
        self.agenda.at(self.now + 1 + self.random.below(500), Event::Start { node: number });
    }

    fn fault(&mut self) {
        if self.is_quiet {
            return;
        }
        self.agenda.at(self.now + 30 + self.random.below(400), Event::Fault);
        let node = self.random.index(self.nodes.len());
        match self.random.below(8) {
            0 => self.die(node),
            // In the middle of something.
            1 => {
                let steps = self.random.below(12);
                if self.nodes[node].running.is_some() {
                    let disk = &self.nodes[node].disk;
                    disk.stop_after(steps);
                    self.nodes[node].dies_at = Some(disk.steps() + steps + 1);
                    self.tell(&format!("node {node} will die after {steps} steps"));
                }
            }
            2 => {
                let links: Vec<u64> = self.links.keys().copied().collect();
                if !links.is_empty() {
                    let link = links[self.random.index(links.len())];
                    let at_server = self.random.one_in(2);
                    self.hang_up(link, at_server);
                }
            }
            3 if node > 0 => {
                self.tell(&format!("node {node} is cut off"));
                self.nodes[node].is_reachable = false;
                for link in self.links.values_mut().filter(|link| link.pop == node) {
                    link.is_dead = true;
                }
                self.agenda.at(self.now + self.random.below(2_000), Event::Reach { pop: node });
            }
            4 => {
                self.tell(&format!("the disk of node {node} is full"));
                let used: u64 = self.nodes[node].disk.files().values().sum();
                self.nodes[node].disk.set_capacity(Some(used + self.random.below(400)));
                self.agenda.at(self.now + self.random.below(2_000), Event::Room { node });
            }
            5 => self.nodes[node].disk.fail_syncs(1),
            6 if self.random.one_in(2) => self.rot(node),
            7 if node > 0 => self.forge(node),
            _ => {}
        }
    }

    /// A bit of a file flips.
    fn rot(&mut self, number: usize) {
        let files: Vec<(String, u64)> = self.nodes[number].disk.files().into_iter().collect();
        if files.is_empty() {
            return;
        }
        let (name, len) = &files[self.random.index(files.len())];
        let (offset, bit) = (self.random.below(*len), self.random.below(8));
        self.nodes[number].disk.flip(name, usize::try_from(offset).unwrap(), 1 << bit);
        (self.nodes[number].was_damaged, self.nodes[number].has_rotted) = (true, true);
        self.tell(&format!("{name} of node {number} rots"));
        if self.random.one_in(2) {
            self.die(number);
        }
    }

    /// A zone becomes what it was once, or goes, though the feed says nothing of it.
    fn forge(&mut self, number: usize) {
        let Some(running) = &self.nodes[number].running else { return };
        let mirror = Arc::clone(&running.mirror);
        let name = self.names[self.random.index(self.names.len())].clone();
        let revision = mirror.revision();
        let old = self.random.below(revision.0 + 1);
        let zone = self.origin.states[usize::try_from(old).unwrap()].0.get(&name).cloned();
        self.nodes[number].was_damaged = true;
        self.tell(&format!("{name} of node {number} becomes what it was at {old}"));
        // Even if it fails, it may be there after a start.
        self.nodes[number].has_rotted |= mirror.repair(revision, vec![(name, zone)]).is_err();
        self.nodes[number].check(&self.origin, &self.names);
        self.after(number);
    }

    fn tell(&self, what: &str) {
        if self.is_told {
            println!("{:>7} {what}", self.now);
        }
    }

    fn state(&self) -> String {
        let of = |node: &Node| format!("{}: {}", node.number, node.revision_text());
        let nodes: Vec<String> = self.nodes.iter().map(of).collect();
        format!("head {}, {nodes:?}, acks {:?}", self.origin.revision(), self.acks)
    }
}

impl Node {
    fn revision_text(&self) -> String {
        self.running.as_ref().map_or_else(
            || "down".to_owned(),
            |running| {
                let (revision, _, expected, digest) = running.mirror.position();
                format!("{revision} {} {:?}", expected == digest, running.mirror.suspects())
            },
        )
    }
}
