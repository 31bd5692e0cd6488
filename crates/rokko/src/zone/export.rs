//! `rokko zone export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rokko_api::v1::dto::ZonePage;
use rokko_wire::Name;
use serde::Serialize;

use crate::args::ApiArgs;
use crate::client::{CONNECTIONS_KEPT_MAX, Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::record::zone_name;

/// The most zones that one request lists; the API's limit.
const PAGE: usize = 1000;
/// How many zones are fetched at once where their order does not matter: a request waits longer than it works.
const AT_ONCE: usize = CONNECTIONS_KEPT_MAX;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The zones.
    #[arg(value_name = "ZONE", required_unless_present = "all")]
    zones: Vec<String>,
    /// Export all zones.
    #[arg(long, conflicts_with = "zones", requires = "out")]
    all: bool,
    /// A folder for one file per zone, NAME.zone; `-` is standard output.
    #[arg(long, value_name = "DIR", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Serialize)]
struct Exported {
    zone: String,
    file: String,
}

pub(crate) fn run(args: &ExportArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let client = Client::new(&args.api)?;
    let to_output = args.out == Path::new("-");
    if !to_output {
        std::fs::create_dir_all(&args.out)
            .map_err(|error| Failure::io(format_args!("make the folder {}", args.out.display()), &error))?;
    }
    let mut exported = Vec::new();
    let mut export = |names: &[Name]| {
        if to_output {
            return names.iter().try_for_each(|name| output.raw(fetch(&client, name)?.as_bytes()));
        }
        exported.extend(export_files(&client, names, &args.out)?);
        Ok(())
    };
    if args.all {
        let mut cursor = None::<String>;
        loop {
            let path = UrlPath::v1(&["zones"]).with("limit", PAGE).with_some("cursor", cursor);
            let page: ZonePage = client.get(&path)?;
            export(&page.zones.iter().map(|zone| zone_name(&zone.name)).collect::<Result<Vec<_>, _>>()?)?;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    } else {
        export(&args.zones.iter().map(|zone| zone_name(zone)).collect::<Result<Vec<_>, _>>()?)?;
    }
    if !to_output {
        output.value(&exported, |exported| {
            format!("Exported {} to {}.", output::count(exported.len() as u64, "zone"), args.out.display())
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes each zone into a file of the folder.
fn export_files(client: &Client, names: &[Name], folder: &Path) -> Result<Vec<Exported>, Failure> {
    let share = names.len().div_ceil(AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|name| export_file(client, name, folder)).collect()))
            .collect();
        let mut exported = Vec::with_capacity(names.len());
        for thread in threads {
            let part: Result<Vec<Exported>, Failure> = thread.join().expect("fetching a zone does not panic");
            exported.extend(part?);
        }
        Ok(exported)
    })
}

fn export_file(client: &Client, name: &Name, folder: &Path) -> Result<Exported, Failure> {
    let file = folder.join(file_name(name));
    write_whole(&file, &fetch(client, name)?)?;
    Ok(Exported { zone: name.to_string(), file: file.display().to_string() })
}

fn fetch(client: &Client, name: &Name) -> Result<String, Failure> {
    client.get_text(&UrlPath::v1(&["zones", &name.to_string(), "file"]))
}

/// The zone's name without its last dot, and what no file name may have replaced by `%` and two digits.
fn file_name(zone: &Name) -> String {
    if zone.is_root() {
        return "root.zone".to_owned();
    }
    let text = zone.to_string();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let escaped = text.replace('%', "%25").replace('/', "%2F").replace('\\', "%5C");
    format!("{escaped}.zone")
}

/// Writes a file so that no one ever sees a part of it.
fn write_whole(file: &Path, text: &str) -> Result<(), Failure> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, file));
    written.map_err(|error| Failure::io(format_args!("write {}", file.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_folder() {
        let name = |text: &str| file_name(&text.parse().unwrap());
        assert_eq!(name("example.com."), "example.com.zone");
        assert_eq!(name("0/25.2.0.192.in-addr.arpa."), "0%2F25.2.0.192.in-addr.arpa.zone");
        assert_eq!(name("."), "root.zone");
    }
}
