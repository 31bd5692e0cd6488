//! A bar for each server, with the least and the greatest figure as whiskers.

use super::svg::{Anchor, COLOURS, INK, Svg, WIDTH};
use crate::stats::{Spread, short};

const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 52.0;
const STEP: f64 = 40.0;
const THICK: f64 = 22.0;

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) whole: Spread,
    /// What part of the whole is, and its size: drawn in full colour.
    pub(crate) part: Option<(String, f64)>,
}

/// A bar chart.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) servers: Vec<Bar>,
}

impl Bars {
    pub(crate) fn to_svg(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a few bars")]
        let rows = self.servers.len() as f64;
        let mut svg = Svg::new(TOP + rows * STEP + 14.0, &self.title);
        let part =
            self.servers.iter().find_map(|bar| bar.part.as_ref()).map(|(name, _)| format!("; full colour: {name}"));
        svg.text(12.0, 42.0, Anchor::Start, 12.0, INK, &format!("{}{}", self.unit, part.unwrap_or_default()));
        let most =
            self.servers.iter().map(|bar| bar.whole.greatest).filter(|most| most.is_finite()).fold(0.0, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / if most > 0.0 { most } else { 1.0 };
        let mut y = TOP;
        for (index, bar) in self.servers.iter().enumerate() {
            let colour = COLOURS[usize::from(index > 0)];
            let middle = y + THICK / 2.0;
            svg.text(LEFT - 8.0, middle + 4.0, Anchor::End, 13.0, INK, &bar.label);
            let opacity = if bar.part.is_some() { 0.55 } else { 1.0 };
            svg.rectangle((LEFT, y), (bar.whole.median * scale, THICK), colour, opacity);
            if let Some((_, part)) = &bar.part {
                svg.rectangle((LEFT, y), (part * scale, THICK), colour, 1.0);
            }
            let (least, greatest) = (LEFT + bar.whole.least * scale, LEFT + bar.whole.greatest * scale);
            if bar.whole.runs > 1 {
                svg.line((least, middle), (greatest, middle), INK, 1.5, 1.0);
                for end in [least, greatest] {
                    svg.line((end, middle - 5.0), (end, middle + 5.0), INK, 1.5, 1.0);
                }
            }
            svg.text(greatest + 8.0, middle + 4.0, Anchor::Start, 13.0, INK, &short(bar.whole.median));
            y += STEP;
        }
        svg.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width() {
        let bar = |label: &str, figure| Bar { label: label.to_owned(), whole: Spread::of(&[figure]), part: None };
        let bars = Bars { title: "t".to_owned(), unit: "µs".to_owned(), servers: vec![bar("a", 5.0), bar("b", 10.0)] };
        let svg = bars.to_svg();
        assert!(svg.contains(&format!("width=\"{:.1}\"", WIDTH - LEFT - RIGHT)));
        assert!(svg.contains(&format!("width=\"{:.1}\"", (WIDTH - LEFT - RIGHT) / 2.0)));
        assert!(svg.contains(">10.0</text>") && svg.contains(">a</text>"));
    }

    #[test]
    fn no_figure_is_no_failure() {
        let bar = Bar { label: "a".to_owned(), whole: Spread::of(&[]), part: None };
        let svg = Bars { title: String::new(), unit: String::new(), servers: vec![bar] }.to_svg();
        assert!(svg.contains(">–</text>"));
    }
}
