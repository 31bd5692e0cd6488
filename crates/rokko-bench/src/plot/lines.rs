//! Lines over two logarithmic axes.

use super::svg::{Anchor, COLOURS, INK, Svg, WIDTH};
use crate::stats::short;

const LEFT: f64 = 74.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 76.0;
const HEIGHT: f64 = 420.0;
const BOTTOM: f64 = 52.0;

/// Points in their order from left to right.
pub(crate) struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    /// Points that have no place on a logarithmic axis are left out.
    pub(crate) fn new(label: &str, points: impl Iterator<Item = (f64, f64)>) -> Self {
        let fits = |number: f64| number.is_finite() && number > 0.0;
        Self { label: label.to_owned(), points: points.filter(|&(x, y)| fits(x) && fits(y)).collect() }
    }
}

/// A line chart.
pub(crate) struct Lines {
    pub(crate) title: String,
    /// What is on the horizontal axis.
    pub(crate) across: String,
    /// What is on the vertical axis.
    pub(crate) unit: String,
    pub(crate) series: Vec<Line>,
}

/// A logarithmic axis from one place on the drawing to another.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Takes in all numbers; it spans a factor of two at least.
    fn over(numbers: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) = numbers
            .fold((f64::INFINITY, 0.0), |(least, most), number| (f64::min(least, number), f64::max(most, number)));
        if least > most {
            return Self { least: 1.0, most: 10.0, from, to };
        }
        Self { least: least / 1.25, most: (most * 1.25).max(least * 2.0), from, to }
    }

    fn place(&self, number: f64) -> f64 {
        let share = (number / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// Round numbers on the axis: powers of ten, and with few of them their doubles and fives.
    fn ticks(&self) -> Vec<f64> {
        let all = |steps: &[f64]| -> Vec<f64> {
            let powers = -9..=15;
            let ticks = powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
            ticks.filter(|tick| (self.least..=self.most).contains(tick)).collect()
        };
        let powers = all(&[1.0]);
        if powers.len() > 3 { powers } else { all(&[1.0, 2.0, 5.0]) }
    }
}

impl Lines {
    pub(crate) fn to_svg(&self) -> String {
        let points = || self.series.iter().flat_map(|line| line.points.iter());
        let across = Axis::over(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let up = Axis::over(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = Svg::new(HEIGHT, &self.title);
        svg.text(12.0, TOP - 14.0, Anchor::Start, 12.0, INK, &self.unit);
        svg.text(WIDTH - RIGHT, HEIGHT - 10.0, Anchor::End, 12.0, INK, &self.across);
        for tick in up.ticks() {
            let y = up.place(tick);
            svg.line((LEFT, y), (WIDTH - RIGHT, y), INK, 1.0, 0.35);
            svg.text(LEFT - 8.0, y + 4.0, Anchor::End, 12.0, INK, &tick_text(tick));
        }
        for tick in across.ticks() {
            let x = across.place(tick);
            svg.line((x, TOP), (x, HEIGHT - BOTTOM), INK, 1.0, 0.35);
            svg.text(x, HEIGHT - BOTTOM + 18.0, Anchor::Middle, 12.0, INK, &tick_text(tick));
        }
        let mut x = LEFT;
        for (line, colour) in self.series.iter().zip(COLOURS) {
            let places: Vec<(f64, f64)> = line.points.iter().map(|&(x, y)| (across.place(x), up.place(y))).collect();
            svg.path(&places, colour);
            svg.rectangle((x, 36.0), (14.0, 10.0), colour, 1.0);
            svg.text(x + 20.0, 45.0, Anchor::Start, 13.0, INK, &line.label);
            #[expect(clippy::cast_precision_loss, reason = "a short label")]
            let width = line.label.chars().count() as f64;
            x += 44.0 + 7.2 * width;
        }
        svg.finish()
    }
}

/// A round number in few characters.
fn tick_text(tick: f64) -> String {
    match tick {
        1e9.. => format!("{:.0} G", tick / 1e9),
        1e6.. => format!("{:.0} M", tick / 1e6),
        1e4.. => format!("{:.0} k", tick / 1e3),
        1.0.. => format!("{tick:.0}"),
        _ => short(tick),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic() {
        let axis = Axis { least: 1.0, most: 10_000.0, from: 0.0, to: 400.0 };
        for (number, place) in [(1.0, 0.0), (10.0, 100.0), (1000.0, 300.0)] {
            assert!((axis.place(number) - place).abs() < 1e-6, "{number}");
        }
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn a_short_axis_has_more_ticks() {
        let axis = Axis::over([3.0, 12.0].into_iter(), 0.0, 1.0);
        assert_eq!(axis.ticks(), [5.0, 10.0]);
    }

    #[test]
    fn points_without_a_place_are_left_out() {
        let line = Line::new("l", [(1.0, 0.0), (1.0, 2.0), (f64::NAN, 3.0), (10.0, 4.0)].into_iter());
        assert_eq!(line.points, [(1.0, 2.0), (10.0, 4.0)]);
        let lines = Lines { title: "t".to_owned(), across: "x".to_owned(), unit: "y".to_owned(), series: vec![line] };
        assert_eq!(lines.to_svg().matches("<circle").count(), 2);
        let none = Lines { title: String::new(), across: String::new(), unit: String::new(), series: Vec::new() };
        assert!(none.to_svg().ends_with("</svg>\n"));
    }

    #[test]
    fn ticks_are_short() {
        let texts = [0.5, 1.0, 5000.0, 20_000.0, 2e6, 1e9].map(tick_text);
        assert_eq!(texts, ["0.50", "1", "5000", "20 k", "2 M", "1 G"]);
    }
}
