use proptest::prelude::*;

use super::*;

const NOW_MS: u64 = 1_800_000_000_000;

fn table() -> Arc<RateTable> {
    Arc::new(RateTable::new(1 << 12, [1, 2]))
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn limited(limiter: &Limiter, addr: IpAddr, has_cookie: bool, has_forged_cookie: bool, now_ms: u64) -> Limited {
    Limited { addr, source: limiter.source(addr), has_cookie, has_forged_cookie, now_ms }
}

/// No limits but one, and nobody exempt.
fn unlimited() -> RateLimits {
    let none =
        RateLimits { all: 0, answers: 0, nodata: 0, nxdomain: 0, referrals: 0, errors: 0, ..RateLimits::default() };
    RateLimits { exempt: Vec::new(), ..none }
}

fn limiter(limits: &RateLimits) -> Limiter {
    Limiter::new(table(), limits)
}

/// Whether a query of this client at this time is within the limit of its prefix.
fn is_taken(limiter: &mut Limiter, client: &str, now_ms: u64) -> bool {
    let client = limited(limiter, addr(client), false, false, now_ms);
    limiter.take_query(&client).is_none()
}

#[test]
fn a_burst_and_then_the_rate() {
    let mut limiter = limiter(&RateLimits { all: 100, ..unlimited() });
    let taken = |limiter: &mut Limiter, now_ms| (0..1000).filter(|_| is_taken(limiter, "192.0.2.1", now_ms)).count();
    assert_eq!(taken(&mut limiter, NOW_MS), 100);
    assert_eq!(taken(&mut limiter, NOW_MS), 0);
    assert_eq!(taken(&mut limiter, NOW_MS + 10), 1);
    assert_eq!(taken(&mut limiter, NOW_MS + 510), 50);
    // The neighbour in the prefix has used up nothing of its own; another prefix has all of it.
    assert!(!is_taken(&mut limiter, "192.0.2.255", NOW_MS + 510));
    assert!(is_taken(&mut limiter, "192.0.3.1", NOW_MS + 510));
    assert_eq!(taken(&mut limiter, NOW_MS + 60_000), 100);
}

#[test]
fn a_clock_that_is_set_back_limits_nobody_for_long() {
    let mut limiter = limiter(&RateLimits { all: 100, ..unlimited() });
    while is_taken(&mut limiter, "192.0.2.1", NOW_MS) {}
    // Another thread's clock may be a little behind.
    assert!(!is_taken(&mut limiter, "192.0.2.1", NOW_MS - 500));
    assert!(is_taken(&mut limiter, "192.0.2.1", NOW_MS - 3_600_000));
}

#[test]
fn prefixes_are_as_long_as_set() {
    let mut limiter = limiter(&RateLimits { all: 1, ipv4_prefix_len: 31, ipv6_prefix_len: 64, ..unlimited() });
    for (client, taken) in [
        ("192.0.2.2", true),
        ("192.0.2.3", false),
        ("192.0.2.4", true),
        ("2001:db8:0:1::1", true),
        ("2001:db8:0:1:ffff::", false),
        ("2001:db8:0:2::", true),
        ("::192.0.2.2", true),
    ] {
        assert_eq!(is_taken(&mut limiter, client, NOW_MS), taken, "{client}");
    }
}

#[test]
fn classes_and_names_are_limited_apart() {
    let limits = RateLimits { answers: 1, nxdomain: 1, ..unlimited() };
    let mut limiter = limiter(&limits);
    let client = limited(&limiter, addr("192.0.2.1"), false, false, NOW_MS);
    let mut is_taken = |class, name| limiter.take_response(&client, class, name).is_none();
    assert!(is_taken(RateClass::Answer, 1) && !is_taken(RateClass::Answer, 1));
    assert!(is_taken(RateClass::Answer, 2));
    assert!(is_taken(RateClass::NxDomain, 1) && !is_taken(RateClass::NxDomain, 1));
    for _ in 0..100 {
        assert!(is_taken(RateClass::Error, 0), "no limit is set");
    }
}

#[test]
fn what_is_over_the_limit_slips_at_random() {
    for (slip, expected) in [(0, 0..=0), (1, 10_000..=10_000), (2, 4_700..=5_300), (10, 800..=1_200)] {
        let mut limiter = limiter(&RateLimits { all: 1, slip, ..unlimited() });
        let mut count = |has_cookie, suppression| {
            let client = limited(&limiter, addr("192.0.2.1"), has_cookie, false, NOW_MS);
            limiter.take_query(&client);
            (0..10_000).filter(|_| limiter.take_query(&client) == Some(suppression)).count()
        };
        assert!(expected.contains(&count(false, Suppression::Slip)), "{slip}");
        assert!(expected.contains(&count(true, Suppression::BadCookie)), "{slip}");
    }
}

#[test]
fn the_exempt_are_never_suppressed() {
    let exempt = vec![Prefix::new(addr("192.0.2.7"), 32), Prefix::new(addr("2001:db8::1"), 32)];
    let mut limiter = limiter(&RateLimits { all: 1, exempt, ..unlimited() });
    for _ in 0..10 {
        assert!(is_taken(&mut limiter, "192.0.2.7", NOW_MS) && is_taken(&mut limiter, "2001:db8:1::", NOW_MS));
    }
    assert!(!is_taken(&mut limiter, "192.0.2.8", NOW_MS));
}

#[test]
fn keys_seen_once_do_not_push_out_those_near_their_limits() {
    let table = table();
    let limit = Limit::new(100, 1000).unwrap();
    let hot = table.mix(1, 2);
    while table.take(hot, limit, NOW_MS) {}
    // A hundred times as many keys as there is room for, within the time in which the hot one gets ten more.
    for key in 0..100 * table.entries() as u64 {
        table.take(table.mix(key, 3), limit, NOW_MS);
    }
    let taken = (0..1000).filter(|_| table.take(hot, limit, NOW_MS + 100)).count();
    assert!((10..=11).contains(&taken), "{taken}");
}

#[test]
fn spoofed_addresses_leave_others_their_answers() {
    let mut limiter = limiter(&RateLimits { all: 100, ..unlimited() });
    let mut suppressed = 0;
    for second in 0..10_u64 {
        for step in 0..20_000_u32 {
            let now_ms = NOW_MS + second * 1000 + u64::from(step / 20);
            let forged =
                IpAddr::from((step ^ u32::try_from(second).unwrap()).wrapping_mul(2_654_435_761).to_be_bytes());
            let client = limited(&limiter, forged, false, false, now_ms);
            limiter.take_query(&client);
            if step % 400 == 0 {
                suppressed += u32::from(!is_taken(&mut limiter, "198.51.100.1", now_ms));
            }
        }
    }
    assert_eq!(suppressed, 0);
    assert_eq!(limiter.shed(NOW_MS + 10_000), Shed { pass_one_in: 32, spare_cookies: true, ..Shed::default() });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the table is made to be shared by threads")]
fn threads_share_one_limit() {
    let table = table();
    let limit = Limit::new(100_000, 1000).unwrap();
    let key = table.mix(1, 2);
    let taken: usize = std::thread::scope(|scope| {
        let count = || (0..50_000).filter(|_| table.take(key, limit, NOW_MS)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // A thread that is pushed aside again and again lets a query through uncounted.
    assert!((100_000..110_000).contains(&taken), "{taken}");
}

#[test]
fn a_flood_from_few_prefixes_is_shed_until_it_is_over() {
    let limits = RateLimits { all: 100, shed_above: 1000, shed_pass_one_in: 10, ..unlimited() };
    let mut limiter = limiter(&limits);
    let second = |limiter: &mut Limiter, at_s: u64, client: &str, queries: u64| {
        for query in 0..queries {
            is_taken(limiter, client, NOW_MS + at_s * 1000 + query * 1000 / queries);
        }
    };
    let prefixes = |shed: Shed| shed.prefixes.iter().map(|(addr, len)| format!("{addr}/{len}")).collect::<Vec<_>>();
    second(&mut limiter, 0, "192.0.2.1", 1150);
    assert!(limiter.shed(NOW_MS + 1000).prefixes.is_empty(), "below the threshold");
    second(&mut limiter, 1, "192.0.2.1", 1500);
    second(&mut limiter, 1, "2001:db8::1", 2000);
    let mut shed = prefixes(limiter.shed(NOW_MS + 2000));
    shed.sort();
    assert_eq!(shed, ["192.0.2.0/24", "2001:db8::/56"]);
    // What comes through now is a tenth, and below the limit.
    for at_s in 2..6 {
        second(&mut limiter, at_s, "192.0.2.99", 60);
        assert!(
            prefixes(limiter.shed(NOW_MS + at_s * 1000 + 1000)).contains(&"192.0.2.0/24".to_owned()),
            "second {at_s}"
        );
    }
    for at_s in 6..8 {
        second(&mut limiter, at_s, "192.0.2.99", 40);
        assert_eq!(prefixes(limiter.shed(NOW_MS + at_s * 1000 + 1000)), ["192.0.2.0/24"], "second {at_s}");
    }
    assert!(limiter.shed(NOW_MS + 9000).prefixes.is_empty());
}

#[test]
fn a_flood_with_forged_cookies_is_not_spared() {
    let mut limiter = limiter(&RateLimits { all: 1, shed_above: 1000, ..unlimited() });
    for (forged, spared, at_s) in [(500, true, 1), (1000, false, 2), (0, false, 3)] {
        for query in 0..2000 {
            let client = limited(&limiter, addr("192.0.2.1"), true, query < forged, NOW_MS);
            limiter.take_query(&client);
        }
        assert_eq!(limiter.shed(NOW_MS + at_s * 1000).spare_cookies, spared, "{forged}");
    }
    for at_s in 4..6 {
        assert!(!limiter.shed(NOW_MS + at_s * 1000).spare_cookies);
    }
    assert!(limiter.shed(NOW_MS + 6000).spare_cookies);
}

#[test]
fn no_more_is_shed_than_the_kernel_is_told() {
    let mut limiter = limiter(&RateLimits { all: 1, shed_above: 10, ..unlimited() });
    for prefix in 0..100_u8 {
        for _ in 0..1000 {
            is_taken(&mut limiter, &format!("10.0.{prefix}.1"), NOW_MS);
        }
    }
    let shed = limiter.shed(NOW_MS).prefixes.len();
    assert!((50..=heavy::SHED_MAX).contains(&shed), "{shed}");
}

#[test]
fn prefixes_hold_what_they_say() {
    let all = Prefix::new(addr("192.0.2.1"), 0);
    assert!(all.contains(addr("203.0.113.1")) && !all.contains(addr("::1")));
    assert_eq!(Prefix::new(addr("2001:db8::1"), 200), Prefix::new(addr("2001:db8::1"), 128));
    assert_eq!(Prefix::new(addr("192.0.2.129"), 25).network(), addr("192.0.2.128"));
}

proptest! {
    #[test]
    fn below_the_limit_nothing_is_suppressed(rate in 1_u32..50_000, share in 1_u64..=100, offset in 0_u64..100_000) {
        let mut limiter = limiter(&RateLimits { all: rate, ..unlimited() });
        let queries = (u64::from(rate) * share / 100).max(1);
        for second in 0..3 {
            for query in 0..queries {
                let now_ms = NOW_MS + offset + second * 1000 + query * 1000 / queries;
                prop_assert!(is_taken(&mut limiter, "192.0.2.1", now_ms), "second {second}, query {query}");
            }
        }
    }

    #[test]
    fn beyond_the_limit_a_client_gets_its_share(rate in 10_u32..2_000, times in 2_u64..20) {
        const SECONDS: u64 = 5;
        let mut limiter = limiter(&RateLimits { all: rate, ..unlimited() });
        let per_second = u64::from(rate) * times;
        let sent = (0..SECONDS * per_second).map(|query| NOW_MS + query * 1000 / per_second);
        let taken = sent.filter(|&now_ms| is_taken(&mut limiter, "192.0.2.1", now_ms)).count() as u64;
        // The burst, and what became free in the time.
        let expected = u64::from(rate) * (SECONDS + 1);
        prop_assert!(taken <= expected + expected / 50 + 1 && taken + expected / 50 + 2 >= expected, "{taken} of {expected}");
    }
}

#[test]
fn a_flood_is_seen_in_a_part_of_a_second_and_a_few_queries_are_none() {
    let mut limiter = limiter(&RateLimits { all: 1, shed_above: 1000, ..unlimited() });
    limiter.shed(NOW_MS);
    for _ in 0..260 {
        is_taken(&mut limiter, "192.0.2.1", NOW_MS + 100);
    }
    assert_eq!(limiter.shed(NOW_MS + 250).prefixes.len(), 1);
    for _ in 0..20 {
        is_taken(&mut limiter, "192.0.3.1", NOW_MS + 250);
    }
    assert_eq!(limiter.shed(NOW_MS + 251).prefixes.len(), 1);
}
