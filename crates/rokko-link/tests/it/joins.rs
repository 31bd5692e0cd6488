//! Tokens and what they open.

use rokko_link::{Credentials, Fingerprint, JoinError, JoinRefusal, Role, Token, join};

use crate::support::{SET, TestFleet, mode, now_s, say, whole};

#[tokio::test]
async fn a_node_joins_once_and_is_known_from_then_on() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("fleet");
    assert!(Credentials::open(&home).unwrap().is_none());
    let joined = join(&fleet.token("tyo1", Role::Pop, control.address), &home).await.unwrap();
    assert_eq!(joined.set, SET);
    assert_eq!((joined.credentials.identity().name.as_str(), joined.credentials.identity().role), ("tyo1", Role::Pop));
    assert_eq!(fleet.members.all_issued(), [joined.credentials.identity().clone()]);

    let kept = Credentials::open(&home).unwrap().unwrap();
    assert_eq!(kept.identity(), joined.credentials.identity());
    assert_eq!((mode(&home), mode(&home.join("node.key"))), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
    assert_eq!(say(&kept, control.address, "hello").await.unwrap(), "pop tyo1: hello");
}

#[tokio::test]
async fn a_token_lets_in_one_node_only() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let token = fleet.token("tyo1", Role::Pop, control.address);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    join(&token, first.path()).await.unwrap();
    for folder in [&first, &second] {
        let again = join(&token, folder.path()).await;
        assert!(matches!(again, Err(JoinError::Refused(JoinRefusal::Used))));
    }
    assert!(Credentials::open(first.path()).unwrap().is_some());
    assert!(Credentials::open(second.path()).unwrap().is_none());
    assert_eq!(fleet.members.all_issued().len(), 1);
}

#[tokio::test]
async fn a_join_whose_answer_was_lost_can_be_repeated() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let token = fleet.token("tyo1", Role::Pop, control.address);
    let folder = tempfile::tempdir().unwrap();
    let key = rokko_link::PendingKey::open(folder.path()).unwrap().signing_request().unwrap();
    let kept = std::fs::read(folder.path().join("joining.key")).unwrap();
    join(&token, folder.path()).await.unwrap();
    // As if it had not come to an end: the key is there, and no certificate.
    std::fs::remove_file(folder.path().join("node.key")).unwrap();
    std::fs::write(folder.path().join("joining.key"), kept).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("joining.key"), mode).unwrap();
    let joined = join(&token, folder.path()).await.unwrap();
    let request = rokko_link::SigningRequest::read(&key).unwrap();
    assert_eq!(fleet.members.all_issued().len(), 2);
    assert_eq!(joined.credentials.key(), request.key());
    say(&joined.credentials, control.address, "hello").await.unwrap();
}

#[tokio::test]
async fn what_a_token_says_of_name_and_role_counts_for_nothing() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let token = fleet.token("tyo1", Role::Pop, control.address);
    let forged = Token { name: "other".parse().unwrap(), relay: true, ..token };
    let folder = tempfile::tempdir().unwrap();
    let joined = join(&forged, folder.path()).await.unwrap();
    assert_eq!((joined.credentials.identity().name.as_str(), joined.credentials.identity().role), ("tyo1", Role::Pop));
}

#[tokio::test]
async fn wrong_and_expired_tokens_are_refused() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let folder = tempfile::tempdir().unwrap();
    let token = fleet.token("tyo1", Role::Pop, control.address);
    let wrong = Token { secret: [9; 32], ..token.clone() };
    let refused = join(&wrong, folder.path()).await;
    assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::Unknown))));

    let admission = rokko_link::Admission { name: "tyo1".parse().unwrap(), role: Role::Pop };
    fleet.members.offer(token.secret_hash(), admission, now_s() - 10);
    let refused = join(&token, folder.path()).await;
    assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::Expired))));
    assert!(fleet.members.all_issued().is_empty());
}

#[tokio::test]
async fn the_secret_goes_to_the_tokens_own_control_node_only() {
    let (fleet, other) = (TestFleet::new(), TestFleet::new());
    let folder = tempfile::tempdir().unwrap();
    let (control, another) = (fleet.control().await, other.control().await);
    let token = fleet.token("tyo1", Role::Pop, another.address);
    let refused = join(&token, folder.path()).await.err().unwrap();
    assert!(whole(&refused).contains("not of the fleet that the token is for"), "{}", whole(&refused));

    // A relay of the same fleet is no control node, even if it were to take joins.
    let impostor = crate::certificates::join_listener_with(&fleet.node("ber1", Role::Relay, now_s())).await;
    let token = Token { addresses: vec![impostor.to_string()], ..token };
    let refused = join(&token, folder.path()).await.err().unwrap();
    assert!(whole(&refused).contains("role relay"), "{}", whole(&refused));

    let token = Token { authority: Fingerprint([1; 32]), addresses: vec![control.address.to_string()], ..token };
    assert!(join(&token, folder.path()).await.is_err());
}

#[tokio::test]
async fn a_relay_lets_nobody_join() {
    let fleet = TestFleet::new();
    let relay = fleet.relay(&fleet.node("ber1", Role::Relay, now_s())).await;
    let folder = tempfile::tempdir().unwrap();
    let refused = join(&fleet.token("tyo1", Role::Pop, relay.address), folder.path()).await;
    assert!(matches!(refused, Err(JoinError::Link { .. })));
}

#[tokio::test]
async fn each_address_of_a_token_is_tried() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let closed = crate::support::bind().await.1;
    let token = fleet.token("tyo1", Role::Pop, control.address);
    let token = Token { addresses: vec![closed.to_string(), control.address.to_string()], ..token };
    let folder = tempfile::tempdir().unwrap();
    join(&token, folder.path()).await.unwrap();
}
