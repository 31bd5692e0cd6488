//! Zones that are signed: at once, in parts, through changes of all kinds, and over the life of their keys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rokko_control::dnssec::{DEFAULT_POLICY, DnssecOptions, DnssecView, Parents};
use rokko_control::{ControlError, Identity, Options};
use rokko_dnssec::life::{Command, DenialPolicy, DnssecPolicy, DsSet, Layout, ParentView, Role, ServerView};
use rokko_keys::{KeyRing, KeyRingOptions, MasterKey};
use rokko_model::{ChangeKind, Expect, Request, Signing, ZoneMeta};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Rrset, Zone};

use super::{Node, edit, name, rrset, set};

const ZONE: &str = "example.com.";

/// A parent in memory: its one server has what the test puts there.
#[derive(Default)]
struct Parent(Mutex<Vec<Box<[u8]>>>);

struct ParentAt(Arc<Parent>, Arc<OnceLock<Arc<AtomicU64>>>);

impl Parents for ParentAt {
    fn look(&self, _zone: &Name) -> Result<ParentView, String> {
        let clock = self.1.get().ok_or("not yet")?;
        let at = clock.load(Ordering::Relaxed) / 1000;
        let rdatas = self.0.0.lock().unwrap().clone();
        let ttl_s = if rdatas.is_empty() { 0 } else { 60 };
        let server = ServerView { server: "192.0.2.53:53".parse().unwrap(), answer: Ok(DsSet { rdatas, ttl_s }) };
        Ok(ParentView { at, servers: vec![server] })
    }
}

/// A policy whose waits are minutes.
fn quick(keys: Layout, denial: DenialPolicy) -> DnssecPolicy {
    DnssecPolicy {
        keys,
        denial,
        dnskey_ttl_s: 60,
        parent_ds_ttl_s: 60,
        parent_propagation_s: 60,
        parent_registration_s: 3600,
        zone_propagation_s: 0,
        safety_s: 0,
        ..DnssecPolicy::default()
    }
}

struct Signed {
    node: Node,
    parent: Arc<Parent>,
}

impl Signed {
    fn new(policy: DnssecPolicy) -> Self {
        Self::open(tempfile::tempdir().unwrap(), policy, Arc::default())
    }

    fn open(folder: tempfile::TempDir, policy: DnssecPolicy, parent: Arc<Parent>) -> Self {
        policy.check().unwrap();
        let path = folder.path().join("master.key");
        let master = if path.exists() {
            MasterKey::load(&rokko_keys::MasterKeySource::File(path)).unwrap()
        } else {
            MasterKey::create(&path).unwrap()
        };
        let clock = Arc::new(OnceLock::new());
        let dnssec = DnssecOptions {
            policies: BTreeMap::from([(DEFAULT_POLICY.to_owned(), policy)]),
            sign_new_zones: true,
            keys: Arc::new(KeyRing::new(master, KeyRingOptions::default())),
            parents: Arc::new(ParentAt(Arc::clone(&parent), Arc::clone(&clock))),
        };
        let node = Node::open_with(folder, Options { dnssec: Some(dnssec), ..Options::default() });
        // The parent is asked by the node's clock.
        clock.set(Arc::clone(&node.clock_ms)).unwrap();
        Self { node, parent }
    }

    fn create(&self, contents: Vec<Rrset>) {
        let (zone, meta) = (name(ZONE), ZoneMeta::default());
        self.node.submit(Request::Create { zone, meta, contents, signing: Signing::Default }).unwrap();
    }

    fn zone(&self) -> Zone {
        self.node.zone(ZONE).unwrap()
    }

    fn view(&self) -> DnssecView {
        self.node.control.dnssec(&Identity::local(), &name(ZONE)).unwrap().unwrap()
    }

    /// What a validator would find wrong.
    fn fault(&self) -> Option<String> {
        self.node.control.dnssec_verify(&Identity::local(), &name(ZONE)).unwrap()
    }

    fn command(&self, command: &Command) {
        self.node.control.dnssec_command(&Identity::local(), &name(ZONE), "test", None, command).unwrap();
    }

    /// Lets time pass.
    fn pass(&self, seconds: u64) {
        self.node.clock_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
        self.node.control.accept_clock(&Identity::local()).unwrap();
    }

    /// Waits until something holds, and says what the zone waits for if it never does.
    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < end, "{what} did not come about:\n{}", self.view().explanation);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets minutes pass until something holds.
    fn in_time(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self) {
                return;
            }
            assert_eq!(self.fault(), None, "while waiting for {what}");
            self.pass(60);
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{what} did not come about:\n{}", self.view().explanation);
    }

    /// Does as the parent of the zone what the zone's CDS records ask for.
    fn follow_cds(&self) {
        let zone = self.zone();
        let Some(cds) = zone.rrset(&name(ZONE), Rtype::CDS) else { return };
        let wanted: Vec<Box<[u8]>> = cds.rdatas().filter(|cds| *cds != [0; 5]).map(Into::into).collect();
        *self.parent.0.lock().unwrap() = wanted;
    }

    fn has_ds(&self) -> bool {
        !self.parent.0.lock().unwrap().is_empty()
    }
}

fn contents(names: usize) -> Vec<Rrset> {
    let mut contents = vec![
        rrset(ZONE, Rtype::NS, 300, &["ns1.hosting.example."]),
        rrset("child.example.com.", Rtype::NS, 300, &["ns.child.example.com."]),
        rrset("ns.child.example.com.", Rtype::A, 300, &["192.0.2.9"]),
        rrset("*.wild.example.com.", Rtype::TXT, 300, &["wild"]),
        rrset("a.b.c.example.com.", Rtype::A, 300, &["192.0.2.1"]),
    ];
    contents.extend((0..names).map(|n| rrset(&format!("n{n}.example.com."), Rtype::A, 300, &["192.0.2.7"])));
    contents
}

#[test]
fn a_new_zone_is_signed_with_its_first_revision() {
    for denial in [DenialPolicy::Nsec, DenialPolicy::Nsec3 { opt_out: false }] {
        let signed = Signed::new(quick(Layout::Csk, denial));
        signed.create(contents(3));
        let history = signed.node.control.history(&Identity::local(), &name(ZONE), None, 10).unwrap();
        assert_eq!(history.last().map(|entry| entry.kind), Some(ChangeKind::Create));
        assert_eq!(signed.fault(), None);
        let has = |rtype| signed.zone().rrset(&name(ZONE), rtype).is_some();
        assert!(has(Rtype::DNSKEY) && has(Rtype::RRSIG), "{denial:?}");
        assert_eq!(
            (has(Rtype::NSEC), has(Rtype::NSEC3PARAM)),
            (denial == DenialPolicy::Nsec, denial != DenialPolicy::Nsec)
        );
        assert!(!has(Rtype::CDS), "nothing is asked of the parent before caches know the keys");
    }
}

#[test]
fn changes_of_all_kinds_keep_a_zone_valid() {
    let signed = Signed::new(quick(Layout::Split, DenialPolicy::Nsec));
    signed.create(contents(3));
    let serial = signed.zone().serial();
    let submit = |request| {
        let outcome = signed.node.submit(request);
        assert_eq!(signed.fault(), None);
        outcome
    };
    let with_www = submit(edit(ZONE, vec![set("www.example.com.", Rtype::A, &["192.0.2.80"])])).unwrap().revision;
    assert!(signed.zone().serial().is_after(serial));
    submit(edit(ZONE, vec![Edit::Delete { owner: name("n1.example.com."), rtype: Rtype::A }])).unwrap();
    submit(edit(ZONE, vec![set("x.y.example.com.", Rtype::NS, &["ns.elsewhere.example."])])).unwrap();
    submit(Request::Import {
        zone: name(ZONE),
        expect: Expect::Any,
        contents: {
            let mut contents = contents(5);
            contents.push(rrset(ZONE, Rtype::SOA, 300, &["ns1.hosting.example. host.example. 1 3600 600 86400 60"]));
            contents
        },
    })
    .unwrap();
    assert!(signed.node.rrset(ZONE, "www.example.com.", Rtype::A).is_none());
    submit(Request::Rollback { zone: name(ZONE), expect: Expect::Any, to: with_www }).unwrap();
    assert!(signed.node.rrset(ZONE, "www.example.com.", Rtype::A).is_some());
    for made in [Rtype::RRSIG, Rtype::NSEC, Rtype::DNSKEY, Rtype::CDS] {
        let error = submit(edit(ZONE, vec![Edit::Delete { owner: name(ZONE), rtype: made }]));
        let is_there = signed.zone().rrset(&name(ZONE), made).is_some();
        assert_eq!(matches!(error, Err(ControlError::MadeBySigning { .. })), is_there, "{made}");
    }
    let deleted = submit_delete(&signed);
    signed.node.submit(Request::Rollback { zone: name(ZONE), expect: Expect::Any, to: deleted }).unwrap();
    assert_eq!(signed.fault(), None, "brought back with the same keys");
}

/// Deletes the zone; the revision before.
fn submit_delete(signed: &Signed) -> rokko_zone::Revision {
    let before = signed.zone().revision();
    signed.node.submit(Request::Delete { zone: name(ZONE), expect: Expect::Any }).unwrap();
    before
}

#[test]
fn a_large_zone_is_signed_in_parts_while_it_changes_and_the_node_restarts() {
    for denial in [DenialPolicy::Nsec, DenialPolicy::Nsec3 { opt_out: true }] {
        let policy = quick(Layout::Csk, denial);
        let mut signed = Signed::new(policy.clone());
        signed.create(contents(4_000));
        for n in 0..20 {
            let owner = format!("n{}.example.com.", n * 150);
            let edits = vec![
                Edit::Delete { owner: name(&owner), rtype: Rtype::A },
                set(&format!("m{n}.example.com."), Rtype::A, &["192.0.2.8"]),
            ];
            signed.node.submit(edit(ZONE, edits)).unwrap();
            if n == 10 {
                let Signed { mut node, parent } = signed;
                let folder = node.folder.take().unwrap();
                drop(node);
                signed = Signed::open(folder, policy.clone(), parent);
            }
        }
        signed.until("the whole zone signed", |signed| signed.view().complete);
        assert_eq!(signed.fault(), None);
        let history = signed.node.control.history(&Identity::local(), &name(ZONE), None, 1000).unwrap();
        assert!(history.iter().filter(|entry| entry.kind == ChangeKind::Sign).count() > 10, "not at once");
    }
}

#[test]
fn keys_live_without_anybody_and_the_zone_is_valid_throughout() {
    let signed = Signed::new(quick(Layout::Split, DenialPolicy::Nsec));
    signed.create(contents(3));
    signed.in_time("a request for a DS", |signed| signed.zone().rrset(&name(ZONE), Rtype::CDS).is_some());
    signed.follow_cds();
    let settled = |signed: &Signed| signed.view().explanation.waits.is_empty();
    signed.in_time("a secure zone", settled);
    for role in [Role::Zsk, Role::Ksk] {
        let tags = |signed: &Signed| signed.view().state.keys.iter().map(|key| key.public.tag()).collect::<Vec<_>>();
        let before = tags(&signed);
        signed.command(&Command::Roll { role: Some(role), emergency: false });
        signed.in_time("a new key", |signed| {
            signed.follow_cds();
            let after = tags(signed);
            after.len() == 2 && after != before && settled(signed)
        });
    }
    signed.command(&Command::Unsign);
    signed.in_time("an unsigned zone", |signed| {
        signed.follow_cds();
        signed.node.control.dnssec(&Identity::local(), &name(ZONE)).unwrap().is_none()
    });
    assert!(!signed.has_ds());
    let made =
        |rtype: Rtype| rtype.is_signing_product() || [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY].contains(&rtype);
    assert!(!signed.zone().rrsets().any(|(_, rrset)| made(rrset.rtype())));
}

#[test]
fn a_request_that_comes_while_a_zone_is_signed_in_parts_is_not_lost() {
    let signed = Signed::new(quick(Layout::Csk, DenialPolicy::Nsec));
    signed.create(contents(4_000));
    signed.until("a part that is signed", |signed| {
        signed.zone().rrset(&name("a.b.c.example.com."), Rtype::RRSIG).is_some()
    });
    assert!(!signed.view().complete, "the request comes in between");
    let before = signed.view().state.keys[0].public.tag();
    signed.command(&Command::Roll { role: None, emergency: false });
    signed.until("the whole zone signed by a new key", |signed| {
        let view = signed.view();
        view.complete && view.state.keys.iter().any(|key| key.public.tag() != before)
    });
    assert_eq!(signed.fault(), None);
}
