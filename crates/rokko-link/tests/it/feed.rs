//! The feed from a control node to nodes that follow it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rokko_feed::message::{Command, FromPop, FromServer, Hello, News, PROTOCOL_VERSION, RefuseCode};
use rokko_link::{Credentials, Dialer, Event, Framed, Link, LinkError, MemoryFleet, Role};
use rokko_mirror::sim::SimDisk;
use rokko_zone::{Digest, Revision};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::nodes::{Control, Plan, open_mirror, until};
use crate::support::{DAY_S, LIMITS, TestFleet, bind, now_s, whole};

fn pop_of(control: &Control, name: &str) -> Plan {
    Plan::new(control.fleet.node(name, Role::Pop, now_s()), control.address)
}

fn news_of(control: &Control, name: &str) -> Vec<News> {
    let all = control.fleet.members.all_news().into_iter();
    all.filter(|(path, _)| path.last().is_some_and(|last| **last == *name)).map(|(_, news)| news).collect()
}

#[tokio::test]
async fn changes_arrive_and_are_acknowledged_with_the_right_digest() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let pops = [pop_of(&control, "tyo1").start(), pop_of(&control, "ber1").start()];
    for round in 0..50 {
        control.change(&format!("z{}.example.", round % 7), round);
    }
    let last = control.mirror.revision();
    for pop in &pops {
        pop.reaches(last).await;
        pop.check(&control);
        pop.has(&control, "z3.example.");
    }
    for name in ["tyo1", "ber1"] {
        let digest = control.mirror.digest().short();
        let is_acknowledged =
            |news: &News| matches!(news, News::Ack(ack) if (ack.revision, ack.digest) == (last, digest));
        until("the acknowledgement", || news_of(&control, name).iter().any(is_acknowledged)).await;
        until("the report", || news_of(&control, name).iter().any(|news| matches!(news, News::Report(_)))).await;
    }
    let status = pops[0].status.borrow().clone();
    assert_eq!((status.server.as_deref(), status.trouble), (Some("control"), None));
    assert_eq!(status.revision, last.0);
}

#[tokio::test]
async fn commands_reach_the_node() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let pop = pop_of(&control, "tyo1").start();
    until("the drain", || control.feed.command("tyo1", Command::Drain(true))).await;
    until("the drain", || pop.was_told("drain true")).await;
    assert!(!control.feed.command("other", Command::Verify));
    assert!(control.feed.command("tyo1", Command::Verify));
    let digest = control.mirror.digest().short();
    let is_verified = |news: &News| matches!(news, News::Verified(verified) if verified.digest == digest);
    until("the proof", || news_of(&control, "tyo1").iter().any(is_verified)).await;
}

#[tokio::test]
async fn a_node_that_is_revoked_is_cut_off_at_once_and_answers_on() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let plan = pop_of(&control, "tyo1");
    let fingerprint = plan.credentials.identity().fingerprint;
    let (pop, other) = (plan.start(), pop_of(&control, "ber1").start());
    pop.reaches(Revision(1)).await;
    control.fleet.members.revoke(fingerprint);
    control.feed.membership_changed();
    // At first by the session, and later when it tries to connect.
    let is_out = || pop.trouble().contains("put out of the fleet") || pop.trouble().contains("was revoked");
    until("the end", is_out).await;
    let last = control.change("b.example.", 3);
    other.reaches(last).await;
    until("the list", || other.downstream.revoked().contains(&fingerprint)).await;
    until("another try", || pop.trouble().contains("was revoked")).await;
    assert_eq!((pop.mirror.revision(), pop.mirror.catalog().len()), (Revision(1), 1));
    assert!(matches!(news_of(&control, "tyo1").first(), Some(News::Disconnected)));
}

#[tokio::test]
async fn a_node_that_is_revoked_is_told_so_in_its_session() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let credentials = control.fleet.node("tyo1", Role::Pop, now_s());
    let mut link = hello(&credentials, control.address).await;
    assert!(matches!(next(&mut link).await, Ok(FromServer::Welcome(_))));
    control.fleet.members.revoke(credentials.identity().fingerprint);
    control.feed.membership_changed();
    let refused = loop {
        if let FromServer::Refuse { code, .. } = next(&mut link).await.unwrap() {
            break code;
        }
    };
    assert_eq!(refused, RefuseCode::Revoked);
    assert!(matches!(next(&mut link).await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn a_node_that_was_away_for_months_gets_a_new_certificate_and_goes_on() {
    let control = Control::start().await;
    let last = control.change("a.example.", 3);
    let old = control.fleet.node("tyo1", Role::Pop, now_s() - 200 * DAY_S);
    let fleet = old.fleet();
    let pop = Plan::new(old, control.address).start();
    pop.reaches(last).await;
    let kept = Credentials::open(pop.folder.path()).unwrap().unwrap();
    assert!(!kept.identity().expired(now_s()) && kept.fleet() == fleet);
    assert_eq!(control.fleet.members.all_issued(), [kept.identity().clone()]);
    assert_eq!(pop.status.borrow().certificate_expires_s, kept.identity().not_after_s);
}

#[tokio::test]
async fn an_expired_certificate_that_was_revoked_is_not_renewed() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let old = control.fleet.node("tyo1", Role::Pop, now_s() - 200 * DAY_S);
    control.fleet.members.revoke(old.identity().fingerprint);
    let pop = Plan::new(old, control.address).start();
    until("the refusal", || pop.trouble().contains("was revoked")).await;
    assert!(control.fleet.members.all_issued().is_empty());
    assert_eq!(pop.mirror.revision(), Revision(0));
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_while_changes_go_on() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    // A third of its time is over.
    let pop = Plan::new(control.fleet.node("tyo1", Role::Pop, now_s() - 31 * DAY_S), control.address).start();
    until("the renewal", || control.fleet.members.all_issued().len() == 1).await;
    let is_kept = || Credentials::open(pop.folder.path()).unwrap().is_some();
    until("the certificate in its folder", is_kept).await;
    let last = control.change("b.example.", 3);
    pop.reaches(last).await;
    pop.check(&control);
    assert_eq!(control.fleet.members.all_issued().len(), 1);
}

/// Says hello as a node without data.
async fn hello(credentials: &Credentials, address: SocketAddr) -> Link<impl AsyncReadWrite + use<>> {
    let dialer = Dialer::new(credentials, Arc::new(MemoryFleet::default())).unwrap();
    let (stream, _) = dialer.dial(&address.to_string()).await.unwrap();
    let mut link = Link::new(stream, LIMITS);
    let digest = Digest::default().short();
    let hello = Hello {
        version: PROTOCOL_VERSION,
        set: None,
        revision: Revision(0),
        expected: digest,
        digest,
        partial: None,
        program: "test".into(),
        relay: false,
    };
    link.send(Framed::new(&FromPop::Hello(hello).encode()));
    link
}

trait AsyncReadWrite: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> AsyncReadWrite for T {}

async fn next(link: &mut Link<impl AsyncReadWrite>) -> Result<FromServer, LinkError> {
    loop {
        if let Event::Message(message) = link.event().await? {
            return Ok(FromServer::decode(&message).unwrap());
        }
    }
}

#[tokio::test]
async fn a_node_that_reads_nothing_keeps_nobody_waiting() {
    let control = Control::start().await;
    control.change("a.example.", 1000);
    let mut slow = hello(&control.fleet.node("slow", Role::Pop, now_s()), control.address).await;
    assert!(matches!(next(&mut slow).await, Ok(FromServer::Welcome(_))));
    let pop = pop_of(&control, "tyo1").start();
    // Far more than a socket and a link hold.
    for round in 0..100 {
        control.change(&format!("z{round}.example."), 1000);
    }
    pop.reaches(control.mirror.revision()).await;
    pop.check(&control);
    // And when it reads, all is there, in order.
    let mut seen = Revision(0);
    while seen < control.mirror.revision() {
        if let FromServer::Frame { more: false, bytes } = next(&mut slow).await.unwrap() {
            let head = rokko_feed::frame::Frame::peek(&bytes).unwrap();
            assert_eq!(head.after, seen);
            seen = head.last;
        }
    }
}

#[tokio::test]
async fn who_does_not_keep_to_the_protocol_is_let_go() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let credentials = control.fleet.node("tyo1", Role::Pop, now_s());
    for message in [Framed::plain(b"garbage"), Framed::new(&FromPop::NeedZones(Vec::new()).encode())] {
        let dialer = Dialer::new(&credentials, Arc::new(MemoryFleet::default())).unwrap();
        let (stream, _) = dialer.dial(&control.address.to_string()).await.unwrap();
        let mut link = Link::new(stream, LIMITS);
        link.send(message);
        assert!(matches!(next(&mut link).await, Err(LinkError::Closed)));
    }
    // Nor may a node that is no relay speak for others.
    let mut link = hello(&credentials, control.address).await;
    while !matches!(next(&mut link).await.unwrap(), FromServer::Welcome(_)) {}
    let relayed = FromPop::Relayed { path: vec!["ber1".into()], news: News::Disconnected };
    link.send(Framed::new(&relayed.encode()));
    while next(&mut link).await.is_ok() {}
    assert!(news_of(&control, "ber1").is_empty());
}

#[tokio::test]
async fn the_newest_connection_of_a_node_counts() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let credentials = control.fleet.node("tyo1", Role::Pop, now_s());
    let mut first = hello(&credentials, control.address).await;
    assert!(matches!(next(&mut first).await, Ok(FromServer::Welcome(_))));
    let mut second = hello(&credentials, control.address).await;
    assert!(matches!(next(&mut second).await, Ok(FromServer::Welcome(_))));
    while next(&mut first).await.is_ok() {}
    assert_eq!(control.feed.connected(), 1);
    assert!(!news_of(&control, "tyo1").iter().any(|news| matches!(news, News::Disconnected)));
    drop(second);
    until("the end", || matches!(news_of(&control, "tyo1").first(), Some(News::Disconnected))).await;
    assert_eq!(control.feed.connected(), 0);
}

#[tokio::test]
async fn another_history_is_refused_and_the_node_answers_on() {
    let (control, other) = (Control::start().await, Control::start().await);
    control.change("a.example.", 3);
    other.change("b.example.", 5);
    let disk = SimDisk::new(2);
    let plan = Plan { disk: disk.clone(), ..pop_of(&control, "tyo1") };
    let pop = plan.start();
    pop.reaches(Revision(1)).await;
    drop(pop);
    // Its certificate of the other fleet does not make the other fleet's data its own.
    let credentials = other.fleet.node("tyo1", Role::Pop, now_s());
    let plan = Plan { disk, ..Plan::new(credentials, other.address) };
    let pop = plan.start();
    until("the refusal", || pop.trouble().contains(RefuseCode::Forked.text())).await;
    pop.has(&control, "a.example.");
}

/// Passes connections on, the first of them only up to so many octets from the server. Counts the octets of all.
async fn proxy(to: SocketAddr, first_octets_max: u64) -> (SocketAddr, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (tcp, address) = bind().await;
    let (octets, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (octets.clone(), connections.clone());
    tokio::spawn(async move {
        let mut left = first_octets_max;
        while let Ok((client, _)) = tcp.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            let Ok(server) = TcpStream::connect(to).await else { continue };
            let octets = octets.clone();
            let max = std::mem::replace(&mut left, u64::MAX);
            tokio::spawn(pass(client, server, max, octets));
        }
    });
    (address, counters.0, counters.1)
}

async fn pass(client: TcpStream, server: TcpStream, max: u64, octets: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
    while let Ok(len @ 1..) = from_server.read(&mut buffer).await {
        passed += len as u64;
        octets.fetch_add(len as u64, Ordering::Relaxed);
        if passed > max || to_client.write_all(&buffer[..len]).await.is_err() {
            break;
        }
    }
    // Not a reset, which might take away what is on its way.
    drop((to_client, from_server));
    let _ = up.await;
}

#[tokio::test]
async fn a_snapshot_goes_on_where_it_was_broken_off() {
    let control = Control::start().await;
    for round in 0..40 {
        control.change(&format!("z{round}.example."), 1000);
    }
    // Two, so that no frames lead from the beginning any more.
    control.compact();
    control.change("a.example.", 3);
    control.compact();
    control.change("b.example.", 3);
    let size = control.mirror.snapshot().unwrap().header().octets;
    assert!(size > 6 << 20, "{size}");
    let (address, octets, connections) = proxy(control.address, size / 2).await;
    let plan = Plan { addresses: vec![address], ..pop_of(&control, "tyo1") };
    let pop = plan.start();
    pop.reaches(control.mirror.revision()).await;
    pop.check(&control);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    let octets = octets.load(Ordering::Relaxed);
    // Less than a quarter came twice.
    assert!(octets < size + size / 4, "{octets} octets for a snapshot of {size}");
}

#[tokio::test]
async fn a_node_goes_on_after_a_restart_and_by_another_address() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let disk = SimDisk::new(2);
    let credentials = || control.fleet.node("tyo1", Role::Pop, now_s());
    let closed = bind().await.1;
    let plan = |control: &Control| Plan {
        disk: disk.clone(),
        addresses: vec![closed, control.address],
        ..Plan::new(credentials(), control.address)
    };
    let pop = plan(&control).start();
    pop.reaches(Revision(1)).await;
    drop(pop);
    // What it had is there without anybody.
    assert_eq!(open_mirror(&disk).revision(), Revision(1));
    let last = control.change("b.example.", 3);
    let pop = plan(&control).start();
    pop.reaches(last).await;
    pop.check(&control);
}

#[tokio::test]
async fn a_server_of_another_fleet_is_no_server() {
    let (control, other) = (Control::start().await, TestFleet::new());
    control.change("a.example.", 3);
    let pop = Plan::new(other.node("tyo1", Role::Pop, now_s()), control.address).start();
    until("the refusal", || pop.trouble().contains("not of this fleet")).await;
    assert_eq!(pop.mirror.revision(), Revision(0));
    assert!(whole(&LinkError::Untrusted("x".to_owned())).contains("refused"));
}
