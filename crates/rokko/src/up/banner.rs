//! What a person, and what a script, is told when the node is up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rokko_net::xdp::XdpState;
use serde::Serialize;

use super::admin::NewKey;
use super::demo;
use crate::args::DEFAULT_API;
use crate::failure::Failure;
use crate::output::{self, Output};

/// A node that has just started.
pub(crate) struct Started {
    pub(crate) data_dir: PathBuf,
    pub(crate) zones: u64,
    /// Whether the sample zone is one of them.
    pub(crate) has_demo: bool,
    pub(crate) took: Duration,
    pub(crate) dns: Vec<SocketAddr>,
    /// What became of AF_XDP on each interface that it was asked for.
    pub(crate) xdp: Vec<XdpState>,
    /// Where PoPs are served.
    pub(crate) fleet: Vec<SocketAddr>,
    /// The URLs of the API.
    pub(crate) api: Vec<String>,
    /// SHA-256 of the API's certificate, if it serves HTTPS.
    pub(crate) fingerprint: Option<String>,
    pub(crate) key: Option<NewKey>,
}

/// What scripts get with `--output json`.
#[derive(Serialize)]
struct Listening<'a> {
    ready: bool,
    dns: Vec<String>,
    xdp: Vec<Bypass<'a>>,
    api: &'a [String],
    fleet: Vec<String>,
    api_fingerprint: Option<&'a str>,
    data_dir: String,
    zones: u64,
    /// Where the administrator's key is, if it was made at this start.
    new_key_file: Option<String>,
    pid: u32,
}

/// What scripts get about AF_XDP on one interface.
#[derive(Serialize)]
struct Bypass<'a> {
    interface: &'a str,
    on: bool,
    /// How it works, or why it does not.
    state: String,
}

impl<'a> From<&'a XdpState> for Bypass<'a> {
    fn from(state: &'a XdpState) -> Self {
        let (interface, on) = match state {
            XdpState::On { interface, .. } => (interface, true),
            XdpState::Off { interface, .. } => (interface, false),
        };
        Self { interface, on, state: state.to_string() }
    }
}

/// Tells people on standard error and scripts on standard output.
pub(crate) fn print(started: &Started, output: &mut Output) -> Result<(), Failure> {
    let dns: Vec<String> = started.dns.iter().map(ToString::to_string).collect();
    let pid = std::process::id();
    if output.is_json() {
        let ready = Listening {
            ready: true,
            dns,
            xdp: started.xdp.iter().map(Bypass::from).collect(),
            api: &started.api,
            fleet: started.fleet.iter().map(ToString::to_string).collect(),
            api_fingerprint: started.fingerprint.as_deref(),
            data_dir: started.data_dir.display().to_string(),
            zones: started.zones,
            new_key_file: started.key.as_ref().map(|key| key.file.display().to_string()),
            pid,
        };
        let line = serde_json::to_string(&ready)
            .map_err(|error| Failure::failed(format!("cannot write the start as JSON: {error}")))?;
        output.line(line)?;
        return output.flush();
    }
    output::note(text(started));
    let fleet: Vec<String> = started.fleet.iter().map(ToString::to_string).collect();
    let fleet = if fleet.is_empty() { String::new() } else { format!(" fleet={}", fleet.join(",")) };
    output.line(format_args!("ready dns={} api={}{fleet} pid={pid}", dns.join(","), started.api.join(",")))?;
    output.flush()
}

fn text(started: &Started) -> String {
    let mut lines = vec![String::new(), format!("Rokko {} is up.", env!("CARGO_PKG_VERSION")), String::new()];
    let mut item = |label: &str, values: &[String]| {
        for (index, value) in values.iter().enumerate() {
            lines.push(format!("  {:<6}{value}", if index == 0 { label } else { "" }));
        }
    };
    let dns: Vec<String> = started.dns.iter().map(|addr| format!("{addr} (UDP and TCP)")).collect();
    item("DNS", &dns);
    if !started.xdp.is_empty() {
        item("", &started.xdp.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    item("API", &started.api);
    let fleet: Vec<String> = started.fleet.iter().map(|addr| format!("{addr} (PoPs)")).collect();
    item("Fleet", &fleet);
    if let Some(fingerprint) = &started.fingerprint {
        item("", &[format!("certificate SHA-256 {fingerprint}")]);
    }
    let zones = output::count(started.zones, "zone");
    item("Data", &[format!("{} ({zones}, loaded in {} ms)", started.data_dir.display(), started.took.as_millis())]);
    if let Some(key) = &started.key {
        lines.push(String::new());
        if key.was_given {
            lines.push("The administrator's key is the one in ROKKO_API_KEY.".to_owned());
        } else {
            lines.push("The administrator's key, printed this once:".to_owned());
            lines.push(format!("  {}", key.text));
        }
        lines.push(format!("It is kept in {} (mode 0600).", key.file.display()));
    }
    lines.push(String::new());
    lines.push("What to type next:".to_owned());
    lines.extend(next_steps(started).into_iter().map(|step| format!("  {step}")));
    lines.push(String::new());
    lines.join("\n")
}

fn next_steps(started: &Started) -> Vec<String> {
    let mut steps = Vec::new();
    let url = started.api.first().map_or(DEFAULT_API, String::as_str);
    if url != DEFAULT_API {
        steps.push(format!("export ROKKO_API={}", reachable(url)));
    }
    if let Some(fingerprint) = &started.fingerprint.as_ref().filter(|_| url.starts_with("https:")) {
        steps.push(format!("export ROKKO_API_FINGERPRINT={fingerprint}"));
    }
    steps.push(format!(
        "export ROKKO_API_KEY=\"$(cat {})\"",
        shell_word(&started.data_dir.join("admin.key").display().to_string())
    ));
    let mut zone = "example.com";
    if started.zones == 0 {
        steps
            .push("rokko zone create example.com --nameserver ns1.example.net --nameserver ns2.example.net".to_owned());
        steps.push("rokko record set example.com www A 192.0.2.1".to_owned());
    } else {
        steps.push("rokko zone list".to_owned());
        zone = demo::ZONE.trim_end_matches('.');
    }
    if let Some(addr) = started.dns.first() {
        let (host, port) = (loopback_for(*addr), addr.port());
        if started.zones == 0 || started.has_demo {
            steps.push(format!("dig @{host} -p {port} www.{zone}"));
        } else {
            steps.push(format!("dig @{host} -p {port} NAME TYPE"));
        }
    }
    steps
}

/// A wildcard address is reached over loopback from the same machine.
fn loopback_for(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(addr) if addr.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(addr) if addr.ip().is_unspecified() => "::1".to_owned(),
        _ => addr.ip().to_string(),
    }
}

fn reachable(url: &str) -> String {
    url.replacen("//0.0.0.0:", "//127.0.0.1:", 1).replacen("//[::]:", "//[::1]:", 1)
}

/// A word that a shell takes as it is.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_safe_to_paste() {
        assert_eq!(shell_word("./rokko-data/admin.key"), "./rokko-data/admin.key");
        assert_eq!(shell_word("my data/it's"), "'my data/it'\\''s'");
    }

    #[test]
    fn wildcard_addresses_are_reached_over_loopback() {
        assert_eq!(reachable("https://0.0.0.0:8053"), "https://127.0.0.1:8053");
        assert_eq!(reachable("https://[::]:8053"), "https://[::1]:8053");
        assert_eq!(loopback_for("[::]:53".parse().unwrap()), "::1");
    }
}
