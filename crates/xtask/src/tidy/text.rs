//! What the text of a file must not have: too many lines, unfinished business, paths of one machine.

use super::{File, Report};
use crate::shell;

/// A file of Rust that is longer gets a warning.
const LINES_AIM: usize = 400;
/// No file of Rust is longer.
const LINES_MAX: usize = 1_000;
/// Marks of unfinished work, in two parts so that this file has none of them.
const UNFINISHED: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("#[ign", "ore"), ("to", "do!("), ("unimple", "mented!(")];
/// Folders where only one machine has what a path there names.
const PLACES: &[&str] = &["home", "root", "Users", "tmp"];

pub(super) fn check(files: &[File], report: &mut Report) {
    let mut prefixes: Vec<String> = PLACES.iter().map(|place| format!("/{place}/")).collect();
    // A checkout right below the file system's root has no folder that could stand for it.
    let parent = shell::root().parent().map(|parent| format!("{}/", parent.display()));
    prefixes.extend(parent.filter(|parent| parent.len() > 2));
    let marks: Vec<String> = UNFINISHED.iter().map(|(a, b)| format!("{a}{b}")).collect();
    for file in files {
        if file.has_extension("rs") {
            let lines = file.text.lines().count();
            if lines > LINES_MAX {
                report.error(format!("{}: {lines} lines, at most {LINES_MAX}", file.path.display()));
            } else if lines > LINES_AIM {
                report.warn(format!("{}: {lines} lines, aim at {LINES_AIM}", file.path.display()));
            }
        }
        for (number, line) in file.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| has_word(line, mark)) {
                report.error_at(file, number, format!("{mark}: finish it or leave it out"));
            }
            if let Some(path) = prefixes.iter().find(|path| starts_a_path(line, path)) {
                report.error_at(file, number, format!("a path below {path}, which is one machine's own"));
            }
        }
    }
}

/// Whether `word` stands in the line, not as a part of a longer word or of base64.
fn has_word(line: &str, word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '/');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let open = word.ends_with('(');
        !before.is_some_and(inner) && (open || !after.is_some_and(inner))
    })
}

/// Whether an absolute path begins with `prefix` somewhere in the line.
fn starts_a_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | '=' | ':' | '<'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(has_word("// ab: later", "ab"));
        assert!(has_word("ab!(x)", "ab!("));
        assert!(!has_word("abc", "ab"));
        assert!(!has_word("xab", "ab"));
        assert!(!has_word("AAab/x", "ab"));
    }

    #[test]
    fn paths_begin_after_a_delimiter() {
        assert!(starts_a_path("see /x/y", "/x/"));
        assert!(starts_a_path("\"/x/y\"", "/x/"));
        assert!(!starts_a_path("a/x/y", "/x/"));
        assert!(!starts_a_path("https://example/x/y", "/x/"));
    }
}
