//! What a run works with, and how figures are printed.

use std::io::Write;
use std::path::PathBuf;

/// What every measurement needs.
pub(crate) struct Bench {
    pub(crate) rokko: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) json: bool,
}

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&sorted, share);
        Self { least: at(0.0), median: at(0.5), greatest: at(1.0) }
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

impl Bench {
    /// Prints a title.
    pub(crate) fn title(&self, text: &str) {
        if !self.json {
            say(&format!("\n{text}\n"));
        }
    }

    /// Prints one figure of one server with its spread.
    pub(crate) fn row(&self, measure: &str, server: &str, unit: &str, figures: &[f64]) {
        let Spread { least, median, greatest } = Spread::of(figures);
        if self.json {
            let value = serde_json::json!({"measure": measure, "server": server, "unit": unit,
                "least": least, "median": median, "greatest": greatest, "runs": figures.len()});
            say(&format!("{value}\n"));
        } else {
            say(&format!("  {measure:<40} {server:<6} {median:>10.3} {unit:<6} ({least:.3} to {greatest:.3})\n"));
        }
    }

    /// Prints how one server's figures stand to another's, round by round.
    pub(crate) fn ratio(&self, measure: &str, mine: &[f64], theirs: &[f64], peer: &str) {
        let ratios: Vec<f64> = mine.iter().zip(theirs).map(|(a, b)| a / b).collect();
        self.row(&format!("{measure}, Rokko / {peer}"), "ratio", "", &ratios);
    }
}

/// Writes to standard output; a reader that went away is not an error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
