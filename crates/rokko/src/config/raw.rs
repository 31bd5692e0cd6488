//! What stands in the configuration file. The doc comments are the reference that `rokko config reference` prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rokko_answer::{AnyPolicy, CookieMode, Settings};
use rokko_control::{Limits, ZoneDefaults};
use rokko_dnssec::life::DnssecPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use super::{DEFAULT_API_LISTEN, DEFAULT_DATA_DIR, DEFAULT_DNS_LISTEN, DEFAULT_POP_DIR, DEFAULT_STATUS_LISTEN};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    /// The folder with the store, the administrator's key and the backups. A relative path starts at the folder in
    /// which the program is started. Flag: `--data-dir`.
    pub(crate) data_dir: PathBuf,
    /// The DNS server.
    pub(crate) dns: Dns,
    /// The HTTP API.
    pub(crate) api: Api,
    /// What a zone gets that is made without SOA or NS records.
    pub(crate) zones: Zones,
    /// What is too much. A change that would go beyond is refused.
    pub(crate) limits: RawLimits,
    /// How zones are signed.
    pub(crate) dnssec: Dnssec,
    /// The fleet, at the control node.
    pub(crate) fleet: Fleet,
    /// This node as a point of presence: what `rokko pop` reads beside `dns` and `log`.
    pub(crate) pop: Pop,
    /// The log, which goes to standard error.
    pub(crate) log: Log,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data_dir: DEFAULT_DATA_DIR.into(),
            dns: Dns::default(),
            api: Api::default(),
            zones: Zones::default(),
            limits: RawLimits::default(),
            dnssec: Dnssec::default(),
            fleet: Fleet::default(),
            pop: Pop::default(),
            log: Log::default(),
        }
    }
}

/// The DNS server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dns {
    /// Addresses and ports, each for UDP and TCP. `[::]` takes IPv6 only; list `0.0.0.0` beside it. Port 53 needs the
    /// capability `CAP_NET_BIND_SERVICE`. Port 0 takes a free one. Flag: `--dns-listen`. Needs a restart.
    pub(crate) listen: Vec<SocketAddr>,
    /// UDP threads; 0: one per core. Needs a restart.
    pub(crate) threads: usize,
    /// Pins each UDP thread to a core if there are as many threads as cores. Needs a restart.
    pub(crate) pin: bool,
    /// Most datagrams per system call, 1 to 1024. Needs a restart.
    pub(crate) udp_batch: usize,
    /// Octets of the kernel's receive and send buffers per UDP socket. Needs a restart.
    pub(crate) udp_rcvbuf_bytes: usize,
    /// Source ports, at most 64, from which datagrams are dropped unread; port 0 always is. The default has services
    /// that answer to anything, so that a response to them could go round and round. Needs a restart.
    pub(crate) drop_source_ports: Vec<u16>,
    /// The largest UDP response in octets, 512 to 4096; also announced to clients (RFC 6891).
    pub(crate) udp_payload_max: u16,
    /// The name server identifier (RFC 5001) for clients that ask for it; empty: none.
    pub(crate) nsid: String,
    /// What `version.bind` in class CH says; empty: refused.
    pub(crate) version: String,
    /// What `id.server` and `hostname.bind` in class CH say; empty: refused.
    pub(crate) identity: String,
    /// What a query for all types is answered with (RFC 8482): `one-rrset`, `hinfo` or `full-over-tcp`.
    pub(crate) any: Any,
    /// Whether responses leave out additional records that no client needs.
    pub(crate) minimal: bool,
    /// DNS cookies (RFC 7873): `respond` or `off`.
    pub(crate) cookies: Cookies,
    /// Hours after which the secret for DNS cookies is replaced, 1 to 840. The one before stays valid for as long.
    pub(crate) cookie_secret_hours: u32,
    /// The most CNAME and DNAME records that one response follows, 1 to 255.
    pub(crate) cname_chain_max: u8,
    /// Whether errors are explained (RFC 8914) to clients that use EDNS.
    pub(crate) extended_errors: bool,
    /// Seconds that a stop waits for queries and requests under way, 0 to 300.
    pub(crate) stop_grace_s: u32,
    /// Response rate limiting over UDP: how many responses a client prefix gets, so that the server is of no use for an
    /// attack with forged addresses. Rates are in responses per second, up to 1000000; 0 is no limit. TCP and clients
    /// with a DNS cookie of this server are not limited.
    pub(crate) rate: Rate,
    /// Limits for TCP (RFC 7766). All need a restart.
    pub(crate) tcp: Tcp,
    /// Kernel bypass for UDP (AF_XDP). All need a restart.
    pub(crate) xdp: Xdp,
}

impl Default for Dns {
    fn default() -> Self {
        let (net, settings) = (rokko_net::Config::default(), Settings::default());
        Self {
            listen: DEFAULT_DNS_LISTEN.iter().filter_map(|text| text.parse().ok()).collect(),
            threads: net.threads,
            pin: net.pin,
            udp_batch: net.udp_batch,
            udp_rcvbuf_bytes: net.udp_rcvbuf_bytes,
            drop_source_ports: net.drop_source_ports,
            udp_payload_max: settings.udp_payload_max,
            nsid: String::new(),
            version: String::new(),
            identity: String::new(),
            any: Any::OneRrset,
            minimal: settings.minimal,
            cookies: Cookies::Respond,
            cookie_secret_hours: 24,
            cname_chain_max: settings.cname_chain_max,
            extended_errors: settings.extended_errors,
            stop_grace_s: 5,
            rate: Rate::default(),
            tcp: Tcp::default(),
            xdp: Xdp::default(),
        }
    }
}

/// Limits for TCP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tcp {
    /// TCP threads; 0: as many as UDP threads.
    pub(crate) threads: usize,
    /// Most connections in all. When full, the one that has been idle longest is closed for a new one.
    pub(crate) connections_max: usize,
    /// Most connections per client: an IPv4 address, or an IPv6 /64 prefix.
    pub(crate) connections_per_client_max: usize,
    /// Closes a connection that carried no message for so many milliseconds.
    pub(crate) idle_timeout_ms: u64,
    /// Milliseconds from the first octet of a message to its last.
    pub(crate) read_timeout_ms: u64,
    /// Milliseconds in which a client must take what waits to be written to it.
    pub(crate) write_timeout_ms: u64,
    /// Octets of responses to one connection above which none of its queries is read until the client has taken them.
    pub(crate) write_buffer_bytes_max: usize,
    /// Octets of partial messages and waiting responses of all connections together.
    pub(crate) buffer_bytes_max: usize,
    /// Most connections per listener that the kernel holds until they are accepted.
    pub(crate) backlog: i32,
}

impl Default for Tcp {
    fn default() -> Self {
        let limits = rokko_net::TcpLimits::default();
        Self {
            threads: limits.threads,
            connections_max: limits.connections_max,
            connections_per_client_max: limits.connections_per_client_max,
            idle_timeout_ms: limits.idle_timeout_ms,
            read_timeout_ms: limits.read_timeout_ms,
            write_timeout_ms: limits.write_timeout_ms,
            write_buffer_bytes_max: limits.write_buffer_bytes_max,
            buffer_bytes_max: limits.buffer_bytes_max,
            backlog: limits.backlog,
        }
    }
}

/// Kernel bypass for UDP (AF_XDP).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Xdp {
    /// Network interfaces whose UDP queries are taken from the driver, past the kernel's network stack and its firewall.
    /// Needs Linux 5.10 and the capabilities `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_BPF`; where it does not work, the log
    /// says why, and the kernel's sockets answer. All else, TCP too, stays with the kernel. Flag: `--xdp`.
    pub(crate) interfaces: Vec<String>,
    /// Threads; 0: one per queue, at most one per core.
    pub(crate) threads: usize,
    /// Entries of each ring of a queue, a power of two from 64 to 32768. A queue takes so many times 4 or 8 KiB.
    pub(crate) ring_entries: u32,
    /// Whether drivers that can write packets into the server's memory directly.
    pub(crate) zero_copy: bool,
    /// Microseconds that a system call polls the driver in place of interrupts, 0 to 10000; 0: interrupts.
    pub(crate) busy_poll_us: u32,
}

impl Default for Xdp {
    fn default() -> Self {
        let xdp = rokko_net::xdp::XdpConfig::default();
        Self {
            interfaces: xdp.interfaces,
            threads: xdp.threads,
            ring_entries: xdp.ring_entries,
            zero_copy: xdp.zero_copy,
            busy_poll_us: xdp.busy_poll_us,
        }
    }
}

/// What a query for all types is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Any {
    OneRrset,
    Hinfo,
    FullOverTcp,
}

impl From<Any> for AnyPolicy {
    fn from(any: Any) -> Self {
        match any {
            Any::OneRrset => AnyPolicy::OneRrset,
            Any::Hinfo => AnyPolicy::Hinfo,
            Any::FullOverTcp => AnyPolicy::FullOverTcp,
        }
    }
}

/// What becomes of DNS cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cookies {
    Respond,
    Off,
}

impl From<Cookies> for CookieMode {
    fn from(cookies: Cookies) -> Self {
        match cookies {
            Cookies::Respond => CookieMode::Respond,
            Cookies::Off => CookieMode::Off,
        }
    }
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    /// Addresses and ports. A loopback address serves plain HTTP; any other serves HTTPS. Port 0 takes a free one.
    /// Flag: `--api-listen`. Needs a restart.
    pub(crate) listen: Vec<SocketAddr>,
    /// A PEM file with the certificate chain for HTTPS, together with `tls_key`. Without it the node makes a certificate
    /// of its own at the first start and prints its fingerprint. Read again on SIGHUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Host names and addresses, beside those listened on, for the certificate that the node makes for itself.
    pub(crate) tls_names: Vec<String>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: DEFAULT_API_LISTEN.parse().into_iter().collect(),
            tls_certificate: None,
            tls_key: None,
            tls_names: Vec::new(),
        }
    }
}

/// What a zone gets that is made without SOA or NS records. All need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Zones {
    /// The name servers, such as `["ns1.example.net.", "ns2.example.net."]`; the first one is the SOA's MNAME.
    pub(crate) nameservers: Vec<DomainName>,
    /// The mailbox of the one responsible, as a domain name; without it, `hostmaster` below the zone's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostmaster: Option<DomainName>,
    /// REFRESH in seconds.
    pub(crate) refresh_s: u32,
    /// RETRY in seconds.
    pub(crate) retry_s: u32,
    /// EXPIRE in seconds.
    pub(crate) expire_s: u32,
    /// MINIMUM, the TTL of negative answers (RFC 2308), in seconds.
    pub(crate) minimum_s: u32,
    /// The TTL of the SOA and NS records in seconds.
    pub(crate) ttl_s: u32,
}

impl Default for Zones {
    fn default() -> Self {
        let defaults = ZoneDefaults::default();
        Self {
            nameservers: Vec::new(),
            hostmaster: None,
            refresh_s: defaults.refresh_s,
            retry_s: defaults.retry_s,
            expire_s: defaults.expire_s,
            minimum_s: defaults.minimum_s,
            ttl_s: defaults.ttl_s,
        }
    }
}

/// What is too much. All need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the keys of the file are named like all limits")]
pub(crate) struct RawLimits {
    /// Records of one zone.
    pub(crate) zone_records_max: u64,
    /// Changes of one batch.
    pub(crate) requests_max: usize,
    /// Change sets that wait for the writer; further ones are told to come again.
    pub(crate) queue_max: usize,
}

impl Default for RawLimits {
    fn default() -> Self {
        let Limits { zone_records_max, requests_max, queue_max } = Limits::default();
        Self { zone_records_max, requests_max, queue_max }
    }
}

/// How zones are signed. All need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dnssec {
    /// Whether new zones are signed if nothing else is said. Imported ones stay as they are.
    pub(crate) sign_new_zones: bool,
    /// The file with the master key, which wraps all signing keys; without this and the two after it, `master.key` in the data
    /// folder, which is made if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// An environment variable with the master key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master_key_variable: Option<String>,
    /// A systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`) with the master key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master_key_credential: Option<String>,
    /// A hardware token (PKCS#11) that keeps signing keys. Without `library` there is none.
    pub(crate) token: RawToken,
    /// Resolvers that find the servers of parent zones, each as an address with or without port; empty: those of
    /// `/etc/resolv.conf`.
    pub(crate) resolvers: Vec<String>,
    /// Servers of parent zones that no resolver is asked for: `"example." = ["192.0.2.1"]`, each as an address with or without port.
    pub(crate) parents: BTreeMap<String, Vec<String>>,
    /// Policies by name, beside or in place of `default`: `[dnssec.policies.NAME]`. docs/dnssec.md has their keys.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) policies: BTreeMap<String, DnssecPolicy>,
}

impl Default for Dnssec {
    fn default() -> Self {
        Self {
            sign_new_zones: true,
            master_key_file: None,
            master_key_variable: None,
            master_key_credential: None,
            token: RawToken::default(),
            resolvers: Vec::new(),
            parents: BTreeMap::new(),
            policies: BTreeMap::new(),
        }
    }
}

/// A hardware token that keeps signing keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawToken {
    /// The library of the token's maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) library: Option<PathBuf>,
    /// The token's label or serial number.
    pub(crate) name: String,
    /// A file with the PIN of the token's user, which only its owner may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pin_file: Option<PathBuf>,
    /// The most sessions at once, 1 to 64: so many threads sign beside each other.
    pub(crate) sessions_max: usize,
    /// Whether new keys are made in the token. Keys that are in it or in the store stay where they are.
    pub(crate) new_keys: bool,
}

impl Default for RawToken {
    fn default() -> Self {
        Self { library: None, name: String::new(), pin_file: None, sessions_max: 4, new_keys: true }
    }
}

/// The fleet, at the control node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fleet {
    /// Where PoPs are served (TLS 1.3 over TCP); empty: nowhere. Flag: `--fleet-listen`. Needs a restart.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where PoPs reach this node, as `HOST:PORT`, which goes into tokens; empty: the addresses in `listen`.
    pub(crate) addresses: Vec<String>,
}

/// This node as a point of presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pop {
    /// The folder with the mirror, the key and the certificate. Flag: `--data-dir`.
    pub(crate) data_dir: PathBuf,
    /// Where the feed comes from, as `HOST:PORT`, in the order in which they are tried: the control node or relays; empty: what
    /// the token said. Flag: `--from`. Needs a restart.
    pub(crate) from: Vec<String>,
    /// Where `/metrics` and `/healthz` are served over plain HTTP. Flag: `--status-listen`. Needs a restart.
    pub(crate) status_listen: Vec<SocketAddr>,
    /// Where a relay serves the feed to other PoPs; empty: nowhere. Flag: `--relay-listen`. Needs a restart.
    pub(crate) relay_listen: Vec<SocketAddr>,
    /// For how many seconds the PoP answers without any word from the control plane, at least 5; 0: for ever.
    pub(crate) isolation_limit_s: u64,
    /// What it does after that: `servfail` answers every query with SERVFAIL, `withdraw` goes on answering; both make `/healthz`
    /// say 503, so that whatever announces the PoP's addresses can withdraw them.
    pub(crate) isolation_action: IsolationAction,
}

impl Default for Pop {
    fn default() -> Self {
        Self {
            data_dir: DEFAULT_POP_DIR.into(),
            from: Vec::new(),
            status_listen: DEFAULT_STATUS_LISTEN.parse().ok().into_iter().collect(),
            relay_listen: Vec::new(),
            isolation_limit_s: 0,
            isolation_action: IsolationAction::Servfail,
        }
    }
}

/// What a PoP does that has been alone for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IsolationAction {
    /// Every query is answered with SERVFAIL.
    Servfail,
    /// It goes on answering, and says that it wants no queries.
    Withdraw,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a list by module as in `info,rokko_net=debug`. The variable
    /// `RUST_LOG` overrides it.
    pub(crate) level: String,
    /// `text` or `json`. Flag: `--log-format`. Needs a restart.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A domain name in presentation format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) struct DomainName(pub(crate) rokko_wire::Name);

impl TryFrom<String> for DomainName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| format!("`{text}` is not a domain name: {error}"))
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0.to_string()
    }
}
