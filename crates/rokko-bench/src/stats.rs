//! Figures in short: medians, spreads, ratios.

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
    pub(crate) runs: usize,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&sorted, share);
        Self { least: at(0.0), median: at(0.5), greatest: at(1.0), runs: figures.len() }
    }

    /// As a person reads it: the median, and if there is more than one figure the least and the greatest.
    pub(crate) fn to_text(self) -> String {
        if self.runs < 2 {
            return short(self.median);
        }
        format!("{} ({} to {})", short(self.median), short(self.least), short(self.greatest))
    }
}

/// The figure below which a share of the sorted figures lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a small list"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// How figures stand to others that were taken in the same rounds.
pub(crate) fn ratios(mine: &[f64], theirs: &[f64]) -> Vec<f64> {
    mine.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// Three digits or so, which is more than such measurements are worth.
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return "–".to_owned();
    }
    if size >= 1000.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size is not negative")]
        let digits = crate::data::grouped(size.round() as usize);
        return if number < 0.0 { format!("-{digits}") } else { digits };
    }
    match size {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        0.1.. | 0.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_median() {
        let spread = Spread::of(&[5.0, 1.0, 9.0, 2.0, 3.0]);
        assert_eq!((spread.least, spread.median, spread.greatest, spread.runs), (1.0, 3.0, 9.0, 5));
        assert!(Spread::of(&[]).median.is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(ratios(&[1.0, 6.0], &[2.0, 3.0]), [0.5, 2.0]);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.01234, 0.5, 5.478, 54.78, 547.8, 54_780.4, f64::NAN].map(short);
        assert_eq!(texts, ["0.00", "0.0123", "0.50", "5.48", "54.8", "548", "54,780", "–"]);
    }

    #[test]
    fn one_figure_has_no_spread() {
        assert_eq!(Spread::of(&[2.0]).to_text(), "2.00");
        assert_eq!(Spread::of(&[2.0, 4.0, 3.0]).to_text(), "3.00 (2.00 to 4.00)");
    }
}
