//! Documents: links between files of the repository lead somewhere, and nothing leans on a tracker's numbers.

use std::path::Path;

use super::{File, Report};

pub(super) fn check(root: &Path, files: &[File], report: &mut Report) {
    for file in files.iter().filter(|file| file.has_extension("md")) {
        let folder = root.join(&file.path);
        let folder = folder.parent().unwrap_or(root);
        for (number, line) in file.text.lines().enumerate() {
            for target in links(line) {
                let path = target.split('#').next().unwrap_or("");
                if !path.is_empty()
                    && !path.contains("://")
                    && !path.starts_with("mailto:")
                    && !folder.join(path).exists()
                {
                    report.error_at(file, number, format!("the link to {target} leads nowhere"));
                }
            }
        }
    }
    for file in files.iter().filter(|file| file.has_extension("md") || file.has_extension("rs")) {
        let is_prose = |line: &str| file.has_extension("md") || line.trim_start().starts_with("//");
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| is_prose(line)) {
            if names_an_issue(line) {
                report.error_at(file, number, "an issue's number: say what it is about");
            }
        }
    }
}

/// The targets of inline links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split(')').next())
}

/// Whether there is `#` or `issue ` with a number after it.
fn names_an_issue(line: &str) -> bool {
    let starts_with_digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let hash = line.match_indices('#').any(|(at, _)| {
        let before = line[..at].chars().next_back();
        starts_with_digit(&line[at + 1..]) && before.is_none_or(|c| c.is_whitespace() || c == '(')
    });
    let lower = line.to_ascii_lowercase();
    hash || lower.match_indices("issue ").any(|(at, word)| starts_with_digit(&lower[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        assert_eq!(links("see [a](b.md) and [c](d/e.md#f).").collect::<Vec<_>>(), ["b.md", "d/e.md#f"]);
    }

    #[test]
    fn issue_numbers_are_found() {
        assert!(names_an_issue("as in #12"));
        assert!(names_an_issue("see Issue 4"));
        assert!(!names_an_issue("# Heading"));
        assert!(!names_an_issue("TYPE#12 and an issue of its own"));
    }
}
