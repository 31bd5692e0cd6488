//! Each dependency has a reason, in a comment right above it in the root manifest.

use anyhow::Result;

use super::{File, Report, find};

pub(super) fn check(files: &[File], report: &mut Report) -> Result<()> {
    let manifest = find(files, "Cargo.toml")?;
    for (line, name) in without_reason(&manifest.text) {
        report.error_at(manifest, line, format!("the dependency {name} has no comment above it that says why"));
    }
    Ok(())
}

fn without_reason(manifest: &str) -> Vec<(usize, &str)> {
    let lines = manifest.lines().enumerate().skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let mut found = Vec::new();
    let mut has_reason = false;
    for (number, line) in lines.take_while(|(_, line)| !line.starts_with('[')) {
        if let Some((name, value)) = line.split_once(" = ")
            && !line.starts_with('#')
            && !has_reason
            && !value.starts_with("{ path")
        {
            found.push((number, name));
        }
        has_reason = line.starts_with("# ");
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_stands_right_above() {
        let manifest = "[workspace.dependencies]\nours = { path = \"x\" }\n# Why = because.\na = \"1\"\nb = \"1\"\n\n[x]\nc = \"1\"\n";
        assert_eq!(super::without_reason(manifest), [(4, "b")]);
    }
}
