//! Which crate may use which, directly and by detours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{File, Report, find};
use crate::shell;

/// The table of what is allowed.
const TABLE: &str = "crates/xtask/edges.txt";

pub(super) fn check(files: &[File], report: &mut Report) -> Result<()> {
    let table = Table::parse(&find(files, TABLE)?.text)?;
    let mut cargo = shell::cargo();
    let host = shell::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let metadata = shell::output(cargo.args(["metadata", "--format-version", "1", "--filter-platform", host]))?;
    let graph = Graph::parse(&serde_json::from_str(&metadata)?).context("cargo metadata has another form")?;
    for problem in problems(&table, &graph) {
        report.error(problem);
    }
    let architecture = find(files, "ARCHITECTURE.md")?;
    for member in &graph.members {
        if !architecture.text.contains(&format!("`{member}`")) {
            report.error(format!("ARCHITECTURE.md: the crate `{member}` is not named"));
        }
    }
    Ok(())
}

/// What the checked-in table says.
#[derive(Default)]
struct Table {
    /// For each crate, the crates of the workspace that it may use.
    allowed: BTreeMap<String, BTreeSet<String>>,
    /// Crates, and what they never reach by any path.
    never: Vec<(Vec<String>, Vec<String>)>,
}

impl Table {
    fn parse(text: &str) -> Result<Self> {
        let mut table = Self::default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            if let Some((crates, never)) = line.split_once(" never ") {
                table.never.push((words(crates), words(never)));
            } else {
                let (name, uses) = line.split_once(':').with_context(|| format!("{TABLE}: no colon in {line:?}"))?;
                table.allowed.insert(name.to_owned(), words(uses).into_iter().collect());
            }
        }
        Ok(table)
    }
}

/// The crates of a build and their normal dependencies.
#[derive(Default)]
struct Graph {
    members: BTreeSet<String>,
    uses: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn parse(metadata: &Value) -> Option<Self> {
        let packages = metadata["packages"].as_array()?.iter();
        let names: BTreeMap<&str, &str> =
            packages.filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();
        let mut graph = Self::default();
        for id in metadata["workspace_members"].as_array()? {
            graph.members.insert((*names.get(id.as_str()?)?).to_owned());
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let name = (*names.get(node["id"].as_str()?)?).to_owned();
            // Two versions of one crate count as one: the union of what they use.
            let uses = graph.uses.entry(name).or_default();
            for edge in node["deps"].as_array()? {
                if edge["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"].is_null()) {
                    uses.insert((*names.get(edge["pkg"].as_str()?)?).to_owned());
                }
            }
        }
        Some(graph)
    }

    /// A path from one crate to another, both included.
    fn path(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let (start, _) = self.uses.get_key_value(from)?;
        let mut paths = vec![vec![start.as_str()]];
        let mut seen = BTreeSet::new();
        while let Some(path) = paths.pop() {
            let last = *path.last()?;
            if last == to {
                return Some(path);
            }
            for next in self.uses.get(last).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    paths.push([path.as_slice(), &[next.as_str()]].concat());
                }
            }
        }
        None
    }
}

fn problems(table: &Table, graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &graph.members {
        let Some(allowed) = table.allowed.get(member) else {
            problems.push(format!("{TABLE}: the crate {member} is missing"));
            continue;
        };
        let used = graph.uses.get(member).into_iter().flatten();
        for other in used.filter(|other| graph.members.contains(*other) && !allowed.contains(*other)) {
            problems.push(format!("{member} uses {other}, which {TABLE} does not allow"));
        }
    }
    for name in table.allowed.keys().filter(|name| !graph.members.contains(*name)) {
        problems.push(format!("{TABLE}: there is no crate {name}"));
    }
    for (crates, never) in &table.never {
        for (name, other) in crates.iter().flat_map(|name| never.iter().map(move |other| (name, other))) {
            if let Some(path) = graph.path(name, other) {
                problems.push(format!("{name} reaches {other}, which {TABLE} forbids: {}", path.join(" -> ")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])], members: &[&str]) -> Graph {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Graph {
            members: own(members),
            uses: edges.iter().map(|(name, uses)| ((*name).to_owned(), own(uses))).collect(),
        }
    }

    #[test]
    fn edges_outside_the_table_and_detours_are_found() {
        let table = Table::parse("# what\na: b\nb:\n\na never http\n").unwrap();
        let good = graph(&[("a", &["b", "serde"]), ("b", &["serde"])], &["a", "b"]);
        assert_eq!(problems(&table, &good), Vec::<String>::new());
        let bad = graph(&[("a", &["b"]), ("b", &["a", "web"]), ("web", &["http"])], &["a", "b"]);
        assert_eq!(
            problems(&table, &bad),
            [
                "b uses a, which crates/xtask/edges.txt does not allow",
                "a reaches http, which crates/xtask/edges.txt forbids: a -> b -> web -> http",
            ]
        );
        let other = graph(&[("c", &[])], &["c"]);
        assert_eq!(
            problems(&table, &other),
            [
                "crates/xtask/edges.txt: the crate c is missing",
                "crates/xtask/edges.txt: there is no crate a",
                "crates/xtask/edges.txt: there is no crate b",
            ]
        );
    }

    #[test]
    fn only_normal_dependencies_count() {
        let metadata = serde_json::json!({
            "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "workspace_members": ["1"],
            "resolve": {"nodes": [{"id": "1", "deps": [
                {"pkg": "2", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                {"pkg": "3", "dep_kinds": [{"kind": "dev"}]},
            ]}]},
        });
        let graph = Graph::parse(&metadata).unwrap();
        assert_eq!(graph.uses["a"], BTreeSet::from(["b".to_owned()]));
        assert_eq!(graph.members, BTreeSet::from(["a".to_owned()]));
    }
}
