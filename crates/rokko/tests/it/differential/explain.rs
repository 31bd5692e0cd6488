//! Why responses may differ: what the RFCs leave open and servers decide each in their own way.

use std::collections::BTreeMap;

use super::compare::{Case, Difference};

/// A difference that is no fault of Rokko's.
pub(super) struct Explanation {
    pub(super) name: &'static str,
    pub(super) explains: fn(&Case<'_>, &Difference) -> bool,
}

/// How often which explanation was needed, by peer.
pub(super) type Tally = BTreeMap<(&'static str, super::peers::Kind), usize>;

pub(super) const EXPLANATIONS: &[Explanation] = &[];

/// Leaves the differences that nothing explains, and counts each explanation that was used once per case.
pub(super) fn unexplained(case: &Case<'_>, tally: &mut Tally) -> Vec<Difference> {
    let mut used = Vec::new();
    let mut left = case.differences();
    left.retain(|difference| {
        let found = EXPLANATIONS.iter().find(|explanation| (explanation.explains)(case, difference));
        used.extend(found.map(|explanation| explanation.name));
        found.is_none()
    });
    if left.is_empty() {
        used.sort_unstable();
        used.dedup();
        for name in used {
            *tally.entry((name, case.kind)).or_default() += 1;
        }
    }
    left
}
