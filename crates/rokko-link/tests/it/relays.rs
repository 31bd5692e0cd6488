//! A relay between the control node and others.

use std::net::SocketAddr;
use std::sync::Arc;

use rokko_feed::message::{Command, News};
use rokko_link::{Credentials, Downstream, Listener, ListenerLimits, Role};
use rokko_mirror::sim::SimDisk;
use rokko_zone::Revision;
use tokio::sync::watch;

use crate::nodes::{Control, Plan, Pop, feed_of, open_mirror, serve, until};
use crate::support::{DAY_S, bind, now_s};

struct Relay {
    pop: Pop,
    address: SocketAddr,
    _stop: watch::Sender<()>,
}

async fn relay_of(control: &Control, name: &str, joined_s: u64) -> Relay {
    let credentials = control.fleet.node(name, Role::Relay, joined_s);
    let downstream: Arc<Downstream> = Arc::default();
    let mirror = open_mirror(&SimDisk::new(7));
    let age = downstream.clone();
    let feed = feed_of(&mirror, downstream.clone(), None, Arc::new(move || age.age_ms()));
    let (tcp, address) = bind().await;
    let listener = Listener::relay(tcp, &credentials, downstream.clone(), ListenerLimits::default()).unwrap();
    let shown = listener.shown();
    let stop = serve(listener, &feed);
    let relay = Some((feed, downstream, shown));
    let plan = Plan { relay, mirror: Some(mirror), ..Plan::new(credentials, control.address) };
    Relay { pop: plan.start(), address, _stop: stop }
}

fn ways_of(control: &Control, name: &str) -> Vec<String> {
    let all = control.fleet.members.all_news().into_iter();
    let of = all.filter(|(path, _)| path.last().is_some_and(|last| **last == *name));
    of.map(|(path, news)| format!("{} {}", path.join("/"), kind(&news))).collect()
}

fn kind(news: &News) -> String {
    match news {
        News::Ack(ack) => format!("ack {}", ack.revision),
        News::Connected { relay, .. } => format!("connected {relay}"),
        News::Disconnected => "disconnected".to_owned(),
        News::Verified(_) => "verified".to_owned(),
        _ => "other".to_owned(),
    }
}

#[tokio::test]
async fn a_relay_passes_on_changes_acknowledgements_and_commands() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let relay = relay_of(&control, "fra", now_s()).await;
    let pop = Plan::new(control.fleet.node("ber1", Role::Pop, now_s()), relay.address).start();
    pop.reaches(Revision(1)).await;
    let last = control.change("b.example.", 300);
    pop.reaches(last).await;
    pop.check(&control);
    assert_eq!(pop.status.borrow().server.as_deref(), Some("fra"));
    until("its acknowledgement", || ways_of(&control, "ber1").contains(&format!("fra/ber1 ack {last}"))).await;
    assert!(ways_of(&control, "fra").contains(&"fra connected true".to_owned()));
    assert!(ways_of(&control, "ber1").contains(&"fra/ber1 connected false".to_owned()));
    assert!(control.feed.command("ber1", Command::Drain(true)));
    until("the drain", || pop.was_told("drain true")).await;
    assert!(control.feed.command("ber1", Command::Verify));
    until("the proof", || ways_of(&control, "ber1").contains(&"fra/ber1 verified".to_owned())).await;
    drop(pop);
    until("the end", || ways_of(&control, "ber1").contains(&"fra/ber1 disconnected".to_owned())).await;
    until("no way", || !control.feed.command("ber1", Command::Drain(false))).await;
}

#[tokio::test]
async fn a_relay_that_comes_back_says_who_is_behind_it() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let relay = relay_of(&control, "fra", now_s()).await;
    let pop = Plan::new(control.fleet.node("ber1", Role::Pop, now_s()), relay.address).start();
    until("the first time", || ways_of(&control, "ber1").contains(&"fra/ber1 ack 1".to_owned())).await;
    let before = ways_of(&control, "ber1").len();
    // The control node lets go of the relay, which the relay's own server does not notice.
    let mut again = Vec::new();
    let name = "fra".parse().unwrap();
    again.push(control.feed.disconnect(&name));
    until("the second time", || {
        let ways = ways_of(&control, "ber1");
        ways[..ways.len() - before].contains(&"fra/ber1 connected false".to_owned())
    })
    .await;
    assert_eq!(again, [true]);
    let last = control.change("b.example.", 3);
    pop.reaches(last).await;
}

#[tokio::test]
async fn who_is_revoked_is_cut_off_by_the_relay() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let relay = relay_of(&control, "fra", now_s()).await;
    let credentials = control.fleet.node("ber1", Role::Pop, now_s());
    let fingerprint = credentials.identity().fingerprint;
    let pop = Plan::new(credentials, relay.address).start();
    pop.reaches(Revision(1)).await;
    control.fleet.members.revoke(fingerprint);
    control.feed.membership_changed();
    until("the end", || pop.trouble().contains("revoked") || pop.trouble().contains("put out")).await;
    until("the list", || relay.pop.downstream.revoked().contains(&fingerprint)).await;
}

#[tokio::test]
async fn a_relay_passes_on_renewals_for_which_it_could_not_ask_itself() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let relay = relay_of(&control, "fra", now_s()).await;
    relay.pop.reaches(Revision(1)).await;
    // One in time, and one whose certificate has expired.
    let soon = Plan::new(control.fleet.node("ber1", Role::Pop, now_s() - 31 * DAY_S), relay.address).start();
    let late = Plan::new(control.fleet.node("muc1", Role::Pop, now_s() - 200 * DAY_S), relay.address).start();
    for pop in [&soon, &late] {
        let kept = || Credentials::open(pop.folder.path()).unwrap();
        until("the certificate", || kept().is_some()).await;
        assert!(!kept().unwrap().identity().expired(now_s()));
        pop.reaches(Revision(1)).await;
    }
    let mut issued: Vec<String> =
        control.fleet.members.all_issued().iter().map(|identity| identity.name.to_string()).collect();
    issued.sort();
    assert_eq!(issued, ["ber1", "muc1"]);
}

#[tokio::test]
async fn a_relay_shows_its_own_renewed_certificate() {
    let control = Control::start().await;
    control.change("a.example.", 3);
    let relay = relay_of(&control, "fra", now_s() - 200 * DAY_S).await;
    relay.pop.reaches(Revision(1)).await;
    // With the certificate of before, nobody would follow it.
    let pop = Plan::new(control.fleet.node("ber1", Role::Pop, now_s()), relay.address).start();
    pop.reaches(Revision(1)).await;
}
