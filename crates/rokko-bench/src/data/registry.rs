//! A zone like a registry's: delegations, and hardly anything else.

use std::fmt::Write as _;

use super::random::Random;

/// The apex of the registry's zone.
pub(super) const APEX: &str = "tld.example";
/// How many hosters the delegations without glue go to.
const HOSTERS: usize = 5000;

/// What one delegation consists of.
pub(super) struct Delegation {
    /// How many name servers it has.
    pub(super) servers: usize,
    /// Whether they are below the cut, so that they need glue.
    pub(super) has_glue: bool,
    /// Whether the child is signed.
    pub(super) has_ds: bool,
    hoster: usize,
    digest: [u64; 4],
}

/// The name of the `index`th delegated domain.
pub(super) fn domain(index: usize) -> String {
    format!("d-{index:08}.{APEX}")
}

/// Two to four name servers; glue for three in ten, a DS record for one in four.
pub(super) fn delegation(index: usize) -> Delegation {
    let mut random = Random(index as u64 ^ 0x7265_6769_7374_7279);
    Delegation {
        servers: 2 + usize::from(random.below(5) == 0) + usize::from(random.below(10) == 0),
        has_glue: random.below(10) < 3,
        has_ds: random.below(4) == 0,
        hoster: random.below(HOSTERS),
        digest: std::array::from_fn(|_| random.next()),
    }
}

/// The zone with so many delegations.
pub(super) fn text(delegations: usize) -> String {
    let mut text = format!(
        "$ORIGIN {APEX}.\n$TTL 3600\n@ IN SOA a.nic hostmaster.nic 1 1800 900 604800 900\n@ IN NS a.nic\n@ IN NS b.nic\n\
         a.nic IN A 192.0.2.1\na.nic IN AAAA 2001:db8::1\nb.nic IN A 192.0.2.2\n"
    );
    for index in 0..delegations {
        // Writing to a string does not fail.
        let _ = write(&mut text, index, &delegation(index));
    }
    text
}

fn write(text: &mut String, index: usize, delegation: &Delegation) -> std::fmt::Result {
    let name = format!("d-{index:08}");
    for server in 1..=delegation.servers {
        if delegation.has_glue {
            writeln!(text, "{name} 86400 IN NS ns{server}.{name}")?;
            writeln!(text, "ns{server}.{name} 86400 IN A 198.51.{}.{}", index / 250 % 256, 1 + index % 250)?;
            if server == 1 {
                writeln!(text, "ns{server}.{name} 86400 IN AAAA 2001:db8:{:x}::{server}", index % 0x1_0000)?;
            }
        } else {
            writeln!(text, "{name} 86400 IN NS ns{server}.hoster-{:04}.test.", delegation.hoster)?;
        }
    }
    if delegation.has_ds {
        let [a, b, c, d] = delegation.digest;
        writeln!(text, "{name} 86400 IN DS {} 13 2 {a:016x}{b:016x}{c:016x}{d:016x}", index % 65_536)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_said() {
        let all: Vec<Delegation> = (0..10_000).map(delegation).collect();
        let count = |of: fn(&Delegation) -> bool| all.iter().filter(|one| of(one)).count();
        assert!((2800..3200).contains(&count(|one| one.has_glue)));
        assert!((2300..2700).contains(&count(|one| one.has_ds)));
        assert!(all.iter().all(|one| (2..=4).contains(&one.servers)));
        assert!(count(|one| one.servers == 4) > 50);
    }

    #[test]
    fn a_delegation_is_the_same_in_every_zone() {
        let of = |zone: &str, name: &str| {
            zone.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (small, large) = (text(10), text(100));
        assert!(!of(&small, "d-00000007").is_empty());
        assert_eq!(of(&small, "d-00000007"), of(&large, "d-00000007"));
    }
}
