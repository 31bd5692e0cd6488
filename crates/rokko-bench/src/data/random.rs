//! Pseudo-random numbers, uniform and after Zipf.

/// A small pseudo-random generator (`SplitMix64`); the same seed gives the same data.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// A number from 0 up to, but not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers below a limit of which the one of rank k comes with a probability proportional to k to the power of minus
/// `exponent`. The ranks are scattered over the numbers, so that popular ones are not neighbours.
///
/// Rejection-inversion sampling (Hörmann and Derflinger 1996): no table, whatever the limit.
pub(crate) struct Zipf {
    end: usize,
    exponent: f64,
    area_first: f64,
    area_last: f64,
    accept: f64,
}

/// A prime greater than any limit in use, so that multiplying by it permutes the numbers below the limit.
const SCATTER: u128 = 1_000_000_000_039;

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    pub(crate) fn new(end: usize, exponent: f64) -> Self {
        let mut zipf = Self { end: end.max(1), exponent, area_first: 0.0, area_last: 0.0, accept: 0.0 };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_last = zipf.area(zipf.end as f64 + 0.5);
        zipf.accept = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let scattered = (self.rank(random) as u128 * SCATTER) % self.end as u128;
        usize::try_from(scattered).unwrap_or(0)
    }

    /// From 0, the most popular one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks lie between 1 and the limit"
    )]
    fn rank(&self, random: &mut Random) -> usize {
        loop {
            let area = self.area_last + random.share() * (self.area_first - self.area_last);
            let at = self.area_inverse(area);
            let rank = at.round().clamp(1.0, self.end as f64);
            if rank - at <= self.accept || area >= self.area(rank + 0.5) - self.weight(rank) {
                return rank as usize - 1;
            }
        }
    }

    fn weight(&self, at: f64) -> f64 {
        at.powf(-self.exponent)
    }

    /// The integral of the weight.
    fn area(&self, at: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 { at.ln() } else { at.powf(power) / power }
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 { area.exp() } else { (area * power).powf(1.0 / power) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random(seed);
            (0..8).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(5), numbers(5));
        assert_ne!(numbers(5), numbers(6));
    }

    #[test]
    fn ranks_are_as_frequent_as_their_weights() {
        for exponent in [0.8, 1.0, 1.3] {
            let (zipf, mut random, draws) = (Zipf::new(1000, exponent), Random(1), 400_000);
            let mut counts = vec![0_u32; 1000];
            for _ in 0..draws {
                counts[zipf.rank(&mut random)] += 1;
            }
            let whole: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-exponent)).sum();
            for rank in [1_u16, 2, 3, 10, 50] {
                let expected = f64::from(rank).powf(-exponent) / whole * f64::from(draws);
                let found = f64::from(counts[usize::from(rank) - 1]);
                assert!(
                    (found / expected - 1.0).abs() < 0.08,
                    "{exponent}, {rank}: {found} where {expected} had to be"
                );
            }
            assert!(counts[999] > 0, "the last rank comes up too");
        }
    }

    #[test]
    fn scattering_is_a_permutation() {
        let end = 12_345_u128;
        let mut all: Vec<u128> = (0..end).map(|rank| rank * SCATTER % end).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..end));
    }

    #[test]
    fn one_number_is_enough() {
        assert_eq!(Zipf::new(1, 1.0).draw(&mut Random(9)), 0);
    }
}
