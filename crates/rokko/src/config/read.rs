//! From the text of a configuration file to a checked configuration. Errors name file, line and column.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rokko_answer::Settings;
use rokko_control::dnssec::DEFAULT_POLICY;
use rokko_control::{Limits, ZoneDefaults};
use rokko_keys::MasterKeySource;
use toml::de::DeTable;

use super::raw::Raw;
use super::{Config, DnssecConfig, PopConfig, TlsFiles, TokenConfig};
use crate::failure::Failure;

/// Reads and checks a file; `None` gives the defaults.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let Some(file) = file else { return parse("built-in defaults", "") };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the configuration {}: {error}", file.display())))?;
    parse(&file.display().to_string(), &text)
}

/// Reads and checks the text of the file `file`.
pub(super) fn parse(file: &str, text: &str) -> Result<Config, Failure> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| place_of(text, &span));
        Failure::usage(format!("{file}:{place} {}", error.message().trim_end()))
    })?;
    let mut findings = Vec::new();
    let dns_listen_is_default = key_span(text, "dns.listen").is_none();
    let config = check(raw, dns_listen_is_default, &mut |key, message| {
        let place = key_span(text, key).map_or_else(String::new, |span| place_of(text, &span));
        findings.push(format!("{file}:{place} {key}: {message}"));
    });
    if findings.is_empty() { Ok(config) } else { Err(Failure::usage(findings.join("\n"))) }
}

/// Turns what was read into a configuration, and tells `wrong` the key and the fault of each bad value.
fn check(raw: Raw, dns_listen_is_default: bool, wrong: &mut dyn FnMut(&str, String)) -> Config {
    let Raw { data_dir, dns, api, zones, limits, dnssec, fleet, pop, log } = raw;
    check_dns(&dns, wrong);
    within(wrong, "limits.zone_records_max", limits.zone_records_max, 1, u64::from(u32::MAX));
    within(wrong, "limits.requests_max", limits.requests_max, 1, 1_000_000);
    within(wrong, "limits.queue_max", limits.queue_max, 1, 1_000_000);
    within(wrong, "zones.ttl_s", zones.ttl_s, 0, 0x7fff_ffff);
    if api.listen.is_empty() {
        wrong("api.listen", "there must be at least one address".to_owned());
    }
    let tls = match (api.tls_certificate, api.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            wrong("api.tls_certificate", "needs `tls_key` beside it".to_owned());
            None
        }
        (None, Some(_)) => {
            wrong("api.tls_key", "needs `tls_certificate` beside it".to_owned());
            None
        }
    };
    check_level(&log.level, wrong);
    let answer = answer_settings(&dns);
    let (cookie_secret_s, stop_grace_s) = (u64::from(dns.cookie_secret_hours) * 3600, u64::from(dns.stop_grace_s));
    let rate_entries = dns.rate.enabled.then_some(dns.rate.entries);
    let net = net_config(dns);
    if let Err(error) = net.check() {
        let key = match &error {
            rokko_net::NetError::OutOfRange { name, .. } | rokko_net::NetError::NoPowerOfTwo { name, .. } => {
                format!("dns.{name}")
            }
            _ => "dns.listen".to_owned(),
        };
        wrong(&key, error.to_string());
    }
    let zone_defaults = ZoneDefaults {
        nameservers: zones.nameservers.into_iter().map(|name| name.0).collect(),
        hostmaster: zones.hostmaster.map(|name| name.0),
        refresh_s: zones.refresh_s,
        retry_s: zones.retry_s,
        expire_s: zones.expire_s,
        minimum_s: zones.minimum_s,
        ttl_s: zones.ttl_s,
    };
    let limits = Limits {
        zone_records_max: limits.zone_records_max,
        requests_max: limits.requests_max,
        queue_max: limits.queue_max,
    };
    Config {
        data_dir,
        net,
        dns_listen_is_default,
        answer,
        rate_entries,
        cookie_secret_s,
        stop_grace_s,
        api_listen: api.listen,
        tls,
        tls_names: api.tls_names,
        zone_defaults,
        limits,
        dnssec: dnssec_config(dnssec, wrong),
        fleet_listen: fleet.listen,
        fleet_addresses: fleet.addresses,
        pop: pop_config(pop, wrong),
        log_level: log.level,
        log_format: log.format,
    }
}

fn check_level(level: &str, wrong: &mut dyn FnMut(&str, String)) {
    if let Err(error) = level.parse::<tracing_subscriber::filter::Targets>() {
        wrong("log.level", format!("`{level}` is not a level or a list of levels by module: {error}"));
    }
}

fn dnssec_config(dnssec: super::raw::Dnssec, wrong: &mut dyn FnMut(&str, String)) -> DnssecConfig {
    let sources = [
        dnssec.master_key_file.map(MasterKeySource::File),
        dnssec.master_key_variable.map(MasterKeySource::Environment),
        dnssec.master_key_credential.map(MasterKeySource::Credential),
    ];
    let mut sources = sources.into_iter().flatten();
    let master_key = sources.next();
    if sources.next().is_some() {
        wrong("dnssec", "the master key comes from one place: name a file, a variable or a credential".to_owned());
    }
    let mut policies = dnssec.policies;
    for (name, policy) in &policies {
        if let Err(error) = policy.check() {
            wrong(&format!("dnssec.policies.{name}"), error.to_string());
        }
    }
    policies.entry(DEFAULT_POLICY.to_owned()).or_default();
    let resolvers = name_servers("dnssec.resolvers", &dnssec.resolvers, wrong);
    let mut parents = BTreeMap::new();
    for (name, servers) in &dnssec.parents {
        let field = format!("dnssec.parents.{name}");
        let servers = name_servers(&field, servers, wrong);
        match name.parse() {
            Ok(name) => drop(parents.insert(name, servers)),
            Err(error) => wrong(&field, format!("this is not a name: {error}")),
        }
    }
    let token = token_config(dnssec.token, wrong);
    DnssecConfig { sign_new_zones: dnssec.sign_new_zones, master_key, token, resolvers, parents, policies }
}

fn token_config(token: super::raw::RawToken, wrong: &mut dyn FnMut(&str, String)) -> Option<TokenConfig> {
    let library = token.library?;
    within(wrong, "dnssec.token.sessions_max", token.sessions_max, 1, 64);
    if token.name.is_empty() {
        wrong("dnssec.token.name", "name the token by its label or its serial number".to_owned());
    }
    let Some(pin_file) = token.pin_file else {
        wrong("dnssec.token.pin_file", "name the file with the PIN of the token's user".to_owned());
        return None;
    };
    let (sessions_max, new_keys) = (token.sessions_max, token.new_keys);
    Some(TokenConfig { library, name: token.name, pin_file, sessions_max, new_keys })
}

/// Addresses of name servers, on port 53 if they name none.
fn name_servers(field: &str, texts: &[String], wrong: &mut dyn FnMut(&str, String)) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for text in texts {
        let with_port = text.parse::<SocketAddr>().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, 53)));
        match with_port {
            Ok(address) => addresses.push(address),
            Err(_) => wrong(field, format!("`{text}` is not an address, with or without port")),
        }
    }
    addresses
}

fn pop_config(pop: super::raw::Pop, wrong: &mut dyn FnMut(&str, String)) -> PopConfig {
    let limit_s = pop.isolation_limit_s;
    if (1..5).contains(&limit_s) {
        let message = "must be 0, or at least 5: the control plane says something each second";
        wrong("pop.isolation_limit_s", message.to_owned());
    }
    PopConfig {
        data_dir: pop.data_dir,
        from: pop.from,
        status_listen: pop.status_listen,
        relay_listen: pop.relay_listen,
        isolation: (limit_s > 0).then(|| (Duration::from_secs(limit_s), pop.isolation_action)),
    }
}

fn check_dns(dns: &super::raw::Dns, wrong: &mut dyn FnMut(&str, String)) {
    within(wrong, "dns.udp_payload_max", dns.udp_payload_max, 512, 4096);
    within(wrong, "dns.cookie_secret_hours", dns.cookie_secret_hours, 1, 840);
    within(wrong, "dns.cname_chain_max", dns.cname_chain_max, 1, u8::MAX);
    dns.rate.check(wrong);
    within(wrong, "dns.stop_grace_s", dns.stop_grace_s, 0, 300);
    for (key, text) in [("dns.nsid", &dns.nsid), ("dns.version", &dns.version), ("dns.identity", &dns.identity)] {
        within(wrong, key, text.len(), 0, 255);
    }
}

fn answer_settings(dns: &super::raw::Dns) -> Settings {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Settings {
        udp_payload_max: dns.udp_payload_max,
        nsid: dns.nsid.clone().into_bytes(),
        version: some(&dns.version),
        identity: some(&dns.identity),
        any: dns.any.into(),
        minimal: dns.minimal,
        cookies: dns.cookies.into(),
        cname_chain_max: dns.cname_chain_max,
        extended_errors: dns.extended_errors,
        rate: dns.rate.limits(),
        service: rokko_answer::Service::Full,
    }
}

fn net_config(dns: super::raw::Dns) -> rokko_net::Config {
    rokko_net::Config {
        listen: dns.listen,
        threads: dns.threads,
        pin: dns.pin,
        udp_batch: dns.udp_batch,
        udp_rcvbuf_bytes: dns.udp_rcvbuf_bytes,
        drop_source_ports: dns.drop_source_ports,
        tcp: rokko_net::TcpLimits {
            threads: dns.tcp.threads,
            connections_max: dns.tcp.connections_max,
            connections_per_client_max: dns.tcp.connections_per_client_max,
            idle_timeout_ms: dns.tcp.idle_timeout_ms,
            read_timeout_ms: dns.tcp.read_timeout_ms,
            write_timeout_ms: dns.tcp.write_timeout_ms,
            write_buffer_bytes_max: dns.tcp.write_buffer_bytes_max,
            buffer_bytes_max: dns.tcp.buffer_bytes_max,
            backlog: dns.tcp.backlog,
        },
        xdp: rokko_net::xdp::XdpConfig {
            interfaces: dns.xdp.interfaces,
            threads: dns.xdp.threads,
            ring_entries: dns.xdp.ring_entries,
            zero_copy: dns.xdp.zero_copy,
            busy_poll_us: dns.xdp.busy_poll_us,
        },
    }
}

pub(super) fn within<T: Copy + PartialOrd + Display>(
    wrong: &mut dyn FnMut(&str, String),
    key: &str,
    value: T,
    min: T,
    max: T,
) {
    if value < min || value > max {
        wrong(key, format!("found {value}, expected {min} to {max}"));
    }
}

/// `line:column:` of the start of a span.
fn place_of(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    format!("{line}:{column}:")
}

/// Where the value of a dotted key stands.
fn key_span(text: &str, key: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut parts) = (root.get_ref(), key.split('.').peekable());
    while let Some(part) = parts.next() {
        let value = table.get(part)?;
        if parts.peek().is_none() {
            return Some(value.span());
        }
        table = value.get_ref().as_table()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("rokko.toml", text).unwrap_err().message().to_owned()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = parse("rokko.toml", "").unwrap();
        assert_eq!(config.net.listen.len(), 2);
        assert!(config.dns_listen_is_default);
        assert!(!parse("rokko.toml", "dns.listen = ['127.0.0.1:53']").unwrap().dns_listen_is_default);
    }

    #[test]
    fn errors_name_line_and_column() {
        let unknown = error("[dns]\nlisten = []\nlissten = []\n");
        assert!(unknown.starts_with("rokko.toml:3:1: unknown field `lissten`"), "{unknown}");
        let malformed = error("[dns]\nlisten = [\"127.0.0.1\"]\n");
        assert!(malformed.starts_with("rokko.toml:2:11: "), "{malformed}");
        let name = error("[zones]\nnameservers = [\"a..b\"]\n");
        assert!(name.starts_with("rokko.toml:2:") && name.contains("empty label"), "{name}");
    }

    #[test]
    fn all_bad_values_are_told_at_once() {
        let text =
            "[dns]\nudp_payload_max = 100\n[dns.tcp]\nbacklog = 0\n[api]\ntls_key = 'k.pem'\n[log]\nlevel = 'a=b=c'\n";
        let error = error(text);
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert_eq!(lines[0], "rokko.toml:2:19: dns.udp_payload_max: found 100, expected 512 to 4096");
        assert!(lines[1].starts_with("rokko.toml:6:11: api.tls_key: "), "{error}");
        assert!(lines[2].starts_with("rokko.toml:8:9: log.level: "), "{error}");
        assert!(lines[3].starts_with("rokko.toml:4:11: dns.tcp.backlog: "), "{error}");
    }

    #[test]
    fn addresses_that_overlap_are_refused() {
        let error = error("[dns]\nlisten = ['0.0.0.0:53', '127.0.0.1:53']\n");
        assert!(error.starts_with("rokko.toml:2:10: dns.listen: ") && error.contains("overlap"), "{error}");
    }
}
