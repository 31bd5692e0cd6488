//! Zone files on disk.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rokko_wire::Name;
use rokko_zone::Serial;
use rokko_zone::file::{self, Diagnostic, Loaded, Options, Severity};
use rokko_zone::zone::soa_serial;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// How deep folders may nest that are searched for zone files.
const FOLDER_DEPTH_MAX: u32 = 16;
/// Endings of what lies beside zone files and is none.
const OTHER_ENDINGS: [&str; 8] = ["~", ".part", ".jnl", ".swp", ".key", ".private", ".state", ".bak"];

/// Reads and checks one zone file; `-` is standard input. `$INCLUDE` reaches the file's folder and what is below it.
pub(crate) fn load(path: &Path, origin: Option<&Name>) -> Result<Loaded, Failure> {
    let reading = |error: io::Error| Failure::io(format_args!("read {}", path.display()), &error);
    let (text, folder) = if path == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text).map_err(reading)?;
        (text, None)
    } else {
        (std::fs::read(path).map_err(reading)?, Some(folder_of(path)))
    };
    let mut include = |name: &[u8]| match &folder {
        Some(folder) => read_included(folder, name),
        None => Err("standard input has no folder to include files from: give a file instead".to_owned()),
    };
    let shown = path.display().to_string();
    let options = Options { file: &shown, origin: origin.cloned(), include: Some(&mut include), ..Options::default() };
    Ok(file::load(&text, options))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn read_included(folder: &Path, name: &[u8]) -> Result<Vec<u8>, String> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let failed = |error: io::Error| format!("cannot read {shown}: {error}");
    let folder = folder.canonicalize().map_err(failed)?;
    let path = folder.join(OsStr::from_bytes(name)).canonicalize().map_err(failed)?;
    if !path.starts_with(&folder) {
        return Err(format!("{shown} lies outside the zone file's folder: copy or move it there"));
    }
    std::fs::read(&path).map_err(failed)
}

/// The files that are meant by `paths`: files as they are, of folders all that may be zone files, in order of name.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            search(path, FOLDER_DEPTH_MAX, &mut files)?;
            files[before..].sort();
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn search(folder: &Path, depth_left: u32, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let reading = |error: io::Error| Failure::io(format_args!("read the folder {}", folder.display()), &error);
    for entry in std::fs::read_dir(folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with('.') || OTHER_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        let kind = entry.file_type().map_err(reading)?;
        if kind.is_dir() {
            if depth_left == 0 {
                return Err(Failure::failed(format!("the folders below {} nest too deeply", folder.display())));
            }
            search(&path, depth_left - 1, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The serial of the SOA record at the apex.
pub(crate) fn serial(loaded: &Loaded) -> Option<Serial> {
    let apex = loaded.apex.as_ref()?;
    let soa = loaded.rrsets.iter().find(|rrset| rrset.rtype == rokko_wire::Rtype::SOA && rrset.owner == *apex)?;
    soa_serial(soa.rdatas.first()?)
}

pub(crate) fn records(loaded: &Loaded) -> u64 {
    loaded.rrsets.iter().map(|rrset| rrset.rdatas.len() as u64).sum()
}

/// How many errors and warnings there are.
pub(crate) fn tally(loaded: &Loaded) -> (u64, u64) {
    let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    (errors as u64, (loaded.diagnostics.len() - errors) as u64)
}

/// `2 errors, 1 warning`
pub(crate) fn tally_text((errors, warnings): (u64, u64)) -> String {
    match (errors, warnings) {
        (0, 0) => "no errors".to_owned(),
        (0, _) => output::count(warnings, "warning"),
        (_, 0) => output::count(errors, "error"),
        _ => format!("{}, {}", output::count(errors, "error"), output::count(warnings, "warning")),
    }
}

/// A diagnostic as JSON.
#[derive(Serialize)]
pub(crate) struct DiagnosticJson {
    severity: String,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    name: Option<String>,
    #[serde(rename = "type")]
    rtype: Option<String>,
    code: &'static str,
    message: String,
}

impl From<&Diagnostic> for DiagnosticJson {
    fn from(diagnostic: &Diagnostic) -> Self {
        let position = diagnostic.position.as_ref();
        Self {
            severity: diagnostic.severity.to_string(),
            file: position.map(|position| position.file.to_string()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column).filter(|&column| column > 0),
            name: diagnostic.owner.as_ref().map(ToString::to_string),
            rtype: diagnostic.rtype.map(|rtype| rtype.to_string()),
            code: diagnostic.code,
            message: diagnostic.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "@ 300 IN SOA ns1 host 7 1 1 1 1\n@ 300 IN NS ns1\n$INCLUDE hosts/ns.inc\n";

    #[test]
    fn includes_stay_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let zones = dir.path().join("zones");
        std::fs::create_dir_all(zones.join("hosts")).unwrap();
        std::fs::write(zones.join("hosts/ns.inc"), "ns1 300 IN A 192.0.2.1\n").unwrap();
        std::fs::write(dir.path().join("secret.inc"), "x 300 IN A 192.0.2.1\n").unwrap();
        let file = zones.join("a.zone");
        std::fs::write(&file, ZONE).unwrap();
        let origin: Name = "a.example.".parse().unwrap();
        let loaded = load(&file, Some(&origin)).unwrap();
        assert_eq!(loaded.diagnostics, []);
        assert_eq!((records(&loaded), serial(&loaded)), (3, Some(Serial(7))));
        std::fs::write(&file, format!("{ZONE}$INCLUDE ../secret.inc\n")).unwrap();
        let loaded = load(&file, Some(&origin)).unwrap();
        assert_eq!(tally(&loaded).0, 1);
        assert!(loaded.diagnostics[0].message.contains("outside the zone file's folder"), "{:?}", loaded.diagnostics);
    }

    #[test]
    fn folders_are_searched_for_zone_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["b/2.zone", "db.1", ".hidden", "1.zone~", "1.jnl"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = find(&[dir.path().to_owned()]).unwrap();
        assert_eq!(found, [dir.path().join("b/2.zone"), dir.path().join("db.1")]);
    }
}
