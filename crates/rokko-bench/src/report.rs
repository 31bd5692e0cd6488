//! What a run works with, and how figures are printed: as Markdown tables, or a JSON object per line.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::stats::{Spread, ratios};

/// What every measurement needs.
pub(crate) struct Bench {
    pub(crate) rokko: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) json: bool,
    /// Where plots go; none are drawn without it.
    pub(crate) plots: Option<PathBuf>,
    pub(crate) table: RefCell<Table>,
}

/// A table that grows until it is printed: a row for each measure, a column for each server.
#[derive(Debug, Default)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    measure: String,
    cells: Vec<(String, Spread)>,
}

impl Bench {
    /// Begins a table; the one before is printed.
    pub(crate) fn title(&self, text: &str) {
        self.flush();
        progress(text);
        text.clone_into(&mut self.table.borrow_mut().title);
    }

    /// Takes in one figure of one server with its spread. Units stand at the end of the measure's name.
    pub(crate) fn row(&self, measure: &str, server: &str, figures: &[f64]) {
        let spread = Spread::of(figures);
        let mut table = self.table.borrow_mut();
        if self.json {
            let value = serde_json::json!({"title": table.title, "measure": measure, "server": server,
                "least": spread.least, "median": spread.median, "greatest": spread.greatest, "runs": spread.runs});
            say(&format!("{value}\n"));
        } else {
            progress(&format!("{measure}, {server}: {}", spread.to_text()));
        }
        table.put(measure, server, spread);
    }

    /// Takes in how the first server's figures stand to another's, round by round.
    pub(crate) fn ratio(&self, measure: &str, mine: &[f64], theirs: &[f64], peer: &str) {
        self.row(&format!("**Rokko / peer, {measure}**"), peer, &ratios(mine, theirs));
    }

    /// Prints the table if there is one.
    pub(crate) fn flush(&self) {
        let table = self.table.take();
        if !self.json && !table.rows.is_empty() {
            say(&format!("\n{}\n{}", table.title, table.to_markdown()));
        }
    }

    /// Writes a plot if plots are wanted.
    pub(crate) fn plot(&self, name: &str, svg: impl FnOnce() -> String) -> Result<()> {
        let Some(folder) = &self.plots else { return Ok(()) };
        write_plot(folder, name, &svg())
    }
}

fn write_plot(folder: &Path, name: &str, svg: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("{name}.svg"));
    std::fs::write(&file, svg).with_context(|| format!("{} could not be written", file.display()))
}

impl Table {
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    fn put(&mut self, measure: &str, server: &str, spread: Spread) {
        if !self.columns.iter().any(|column| column == server) {
            self.columns.push(server.to_owned());
        }
        let at = self.rows.iter().position(|row| row.measure == measure).unwrap_or_else(|| {
            self.rows.push(Row { measure: measure.to_owned(), cells: Vec::new() });
            self.rows.len() - 1
        });
        self.rows[at].cells.push((server.to_owned(), spread));
    }

    fn to_markdown(&self) -> String {
        let mut lines = vec![[&[String::new()], &self.columns[..]].concat()];
        for row in &self.rows {
            let cell = |column: &String| {
                let found = row.cells.iter().find(|(server, _)| server == column);
                found.map_or(String::new(), |(_, spread)| spread.to_text())
            };
            let mut line = vec![row.measure.clone()];
            line.extend(self.columns.iter().map(cell));
            lines.push(line);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=self.columns.len()).map(width).collect();
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if index == 0 {
                let _ = writeln!(text, "{}|", "|---".repeat(line.len()));
            }
        }
        text
    }
}

/// Writes to standard output; a reader that went away is not an error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Tells whoever watches what goes on.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "  {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::default();
        table.put("CPU, µs", "Rokko", Spread::of(&[1.0, 2.0, 3.0]));
        table.put("CPU, µs", "NSD", Spread::of(&[4.0]));
        table.put("ratio", "NSD", Spread::of(&[0.5]));
        let expected = "\
|         | Rokko               | NSD  |\n\
|---|---|---|\n\
| CPU, µs | 2.00 (1.00 to 3.00) | 4.00 |\n\
| ratio   |                     | 0.50 |\n";
        assert_eq!(table.to_markdown(), expected);
    }
}
