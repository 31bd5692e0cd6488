//! Plots as SVG, readable on light and on dark ground.

mod bars;
mod lines;
mod svg;

pub(crate) use bars::{Bar, Bars};
pub(crate) use lines::{Line, Lines};
