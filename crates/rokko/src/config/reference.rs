//! The reference of all settings, made from the types and their doc comments.

use serde_json::{Map, Value};

use super::command::toml_of;
use super::raw::Raw;
use crate::failure::Failure;

/// Columns of a comment.
const WIDTH: usize = 100;

/// The JSON schema of the configuration file.
pub(super) fn schema() -> Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Raw>().to_value()
}

/// All settings with their defaults as TOML, each with its description above it.
///
/// The order is that of the definitions; a setting without default stands as a comment behind the others of its table.
pub(super) fn annotated() -> Result<String, Failure> {
    let schema = schema();
    let defaults = toml_of(&Raw::default())?;
    let mut out =
        String::from("# All settings of rokko with their defaults. A setting that is left out has its default.\n\n");
    let mut table = &schema;
    let mut told = Vec::new();
    for line in defaults.lines().chain(["[]"]) {
        if let Some(header) = line.strip_prefix('[') {
            without_default(table, &told, &mut out);
            told.clear();
            let path = header.trim_end_matches(']');
            if path.is_empty() {
                break;
            }
            table = path.split('.').fold(&schema, |table, part| property(table, part));
            comment(table, &mut out);
            out.push_str(line);
            out.push_str("\n\n");
        } else if let Some((key, _)) = line.split_once(" = ") {
            comment(property(table, key), &mut out);
            out.push_str(line);
            out.push_str("\n\n");
            told.push(key.to_owned());
        }
    }
    Ok(format!("{}\n", out.trim_end()))
}

/// The page `docs/configuration.md`.
pub(super) fn markdown() -> Result<String, Failure> {
    Ok(format!(
        "# Configuration\n\n\
         `rokko up --config FILE` reads a file in TOML. Flags come before the file, the file before the defaults.\n\
         `rokko config check FILE` tells what is wrong with a file, by line and column, before a node is started with it;\n\
         an unknown key is an error. On SIGHUP a node reads its file again: it takes over what does not need a restart,\n\
         and logs what does.\n\n\
         This page is made by `rokko config reference --markdown`.\n\n```toml\n{}```\n",
        annotated()?
    ))
}

fn property<'a>(table: &'a Value, key: &str) -> &'a Value {
    table.pointer(&format!("/properties/{key}")).unwrap_or(&Value::Null)
}

/// The settings of a table that have no default and no table of their own, as comments.
fn without_default(table: &Value, told: &[String], out: &mut String) {
    let none = Map::new();
    let properties = table.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (key, property) in properties {
        if !told.contains(key) && property.get("properties").is_none() {
            comment(property, out);
            out.extend(["# ", key, " = \"…\"\n\n"]);
        }
    }
}

/// The description as comment lines of a bearable length.
fn comment(schema: &Value, out: &mut String) {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 1 > WIDTH - 2 {
            out.extend(["# ", &line, "\n"]);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.extend(["# ", &line, "\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_defaults() {
        let text = annotated().unwrap();
        assert_eq!(toml::from_str::<Raw>(&text).unwrap(), Raw::default());
        crate::config::read::parse("reference.toml", &text).unwrap();
    }

    #[test]
    fn every_setting_has_a_description() {
        fn walk(path: &str, schema: &Value) {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            for (key, property) in properties {
                let path = format!("{path}.{key}");
                assert!(property.get("description").is_some(), "{path} has no doc comment");
                walk(&path, property);
            }
        }
        walk("", &schema());
    }

    #[test]
    fn settings_without_default_are_there_too() {
        let text = annotated().unwrap();
        for key in ["tls_certificate", "tls_key", "hostmaster"] {
            assert!(text.contains(&format!("\n# {key} = ")), "{key}\n{text}");
        }
    }
}
