//! The DNS side's numbers in the text format of `OpenMetrics`.

use std::fmt::{Display, Write};

use rokko_answer::{Counters, QTYPES_COUNTED, RCODES_COUNTED, RateClass};
use rokko_net::{CounterValues, XdpValues};
use rokko_wire::Rcode;

/// Appends all numbers of answers and network, without the closing line.
pub(crate) fn write(answers: &Counters, shed_prefixes: usize, net: &CounterValues, out: &mut String) {
    write_answers(answers, out);
    write_rate(answers, shed_prefixes, out);
    write_net(net, out);
}

fn write_answers(counters: &Counters, out: &mut String) {
    let udp = counters.queries.saturating_sub(counters.queries_tcp);
    let transports = [("udp", udp), ("tcp", counters.queries_tcp)];
    family(out, "rokko_dns_queries", "Queries by transport", "transport", transports);
    let others = [("other".to_owned(), counters.by_qtype[QTYPES_COUNTED.len()])];
    let types = QTYPES_COUNTED.iter().map(ToString::to_string).zip(counters.by_qtype).chain(others);
    family(out, "rokko_dns_queries_by_type", "Queries by type", "type", types);
    let rcodes = (0_u16..).zip(counters.by_rcode).filter(|&(_, count)| count > 0);
    let rcodes = rcodes.map(|(rcode, count)| (rcode_text(rcode), count));
    family(out, "rokko_dns_responses", "Responses by rcode", "rcode", rcodes);
    counter(out, "rokko_dns_queries_edns", "Queries with EDNS", counters.queries_edns);
    counter(out, "rokko_dns_queries_dnssec_ok", "Queries with DO", counters.queries_dnssec_ok);
    let dropped =
        [("short", counters.dropped_short), ("response", counters.dropped_responses), ("rate", counters.dropped_rate)];
    family(out, "rokko_dns_dropped", "Messages without response by reason", "reason", dropped);
    counter(out, "rokko_dns_truncated", "Responses with TC", counters.truncated);
    counter(out, "rokko_dns_referrals", "Referrals", counters.referrals);
    counter(out, "rokko_dns_nodata", "NODATA responses", counters.nodata);
    let cookies = [("new", counters.cookies_new), ("good", counters.cookies_good), ("bad", counters.cookies_bad)];
    family(out, "rokko_dns_cookies", "Queries with DNS cookies by verdict", "verdict", cookies);
}

fn write_rate(counters: &Counters, shed_prefixes: usize, out: &mut String) {
    let limited = RateClass::ALL.iter().map(|class| class.as_str()).zip(counters.rate_limited);
    family(out, "rokko_dns_rate_limited", "Responses over a rate limit by limit", "limit", limited);
    let sent = [("slip", counters.rate_slips), ("badcookie", counters.rate_badcookies)];
    family(out, "rokko_dns_rate_sent", "Responses sent in place of those over a rate limit", "kind", sent);
    head(out, "rokko_dns_shed_prefixes", "Client prefixes whose queries the kernel keeps away", "gauge");
    line(out, format_args!("rokko_dns_shed_prefixes {shed_prefixes}"));
}

fn write_net(net: &CounterValues, out: &mut String) {
    let CounterValues { udp, tcp, xdp, tcp_connections } = net;
    for (name, help, value) in [
        ("rokko_udp_received", "Datagrams received", udp.received),
        ("rokko_udp_received_bytes", "Octets in datagrams received", udp.received_bytes),
        ("rokko_udp_answered", "Responses sent over UDP", udp.answered),
        ("rokko_udp_answered_bytes", "Octets in responses sent over UDP", udp.answered_bytes),
        ("rokko_udp_dropped", "Datagrams that were not answered", udp.dropped),
        ("rokko_udp_source_port", "Datagrams from a port that no client has", udp.source_port),
        ("rokko_udp_own_address", "Datagrams from the address that they went to", udp.own_address),
        (
            "rokko_udp_kernel_dropped",
            "Datagrams that the kernel dropped, by filter or for want of room",
            udp.kernel_dropped,
        ),
        ("rokko_udp_oversized", "Datagrams that were too long", udp.oversized),
        ("rokko_udp_send_errors", "Responses that the kernel did not take", udp.send_errors),
        ("rokko_udp_receive_errors", "Failed receive calls", udp.receive_errors),
        ("rokko_udp_batches", "Receive calls that took a datagram", udp.batches),
        ("rokko_tcp_accepted", "TCP connections taken", tcp.accepted),
        ("rokko_tcp_closed", "TCP connections closed", tcp.closed),
        ("rokko_tcp_evicted", "Idle TCP connections closed for a new one", tcp.evicted),
        ("rokko_tcp_buffer_limit", "TCP connections closed for want of buffers", tcp.buffer_limit),
        ("rokko_tcp_errors", "TCP connections that ended with an error", tcp.errors),
        ("rokko_tcp_accept_errors", "Failed accept calls", tcp.accept_errors),
        ("rokko_tcp_queries", "Messages read over TCP", tcp.queries),
        ("rokko_tcp_answered", "Responses over TCP", tcp.answered),
        ("rokko_tcp_received_bytes", "Octets read over TCP", tcp.received_bytes),
        ("rokko_tcp_sent_bytes", "Octets written over TCP", tcp.sent_bytes),
    ] {
        counter(out, name, help, value);
    }
    let refused = [("client", tcp.refused_client), ("total", tcp.refused_total)];
    family(out, "rokko_tcp_refused", "TCP connections refused by limit", "limit", refused);
    let timeouts = [("idle", tcp.idle_timeouts), ("read", tcp.read_timeouts), ("write", tcp.write_timeouts)];
    family(out, "rokko_tcp_timeouts", "TCP connections closed by time-out", "timeout", timeouts);
    head(out, "rokko_tcp_connections", "Open TCP connections", "gauge");
    line(out, format_args!("rokko_tcp_connections {tcp_connections}"));
    write_xdp(xdp, out);
}

fn write_xdp(xdp: &XdpValues, out: &mut String) {
    for (name, help, value) in [
        ("rokko_xdp_received", "Frames received over AF_XDP", xdp.received),
        ("rokko_xdp_received_bytes", "Octets in datagrams received over AF_XDP", xdp.received_bytes),
        ("rokko_xdp_answered", "Responses sent over AF_XDP", xdp.answered),
        ("rokko_xdp_answered_bytes", "Octets in responses sent over AF_XDP", xdp.answered_bytes),
        ("rokko_xdp_batches", "Batches of frames received over AF_XDP", xdp.batches),
        ("rokko_xdp_send_errors", "Failed calls to send over AF_XDP", xdp.send_errors),
    ] {
        counter(out, name, help, value);
    }
    let dropped = [
        ("not_answered", xdp.dropped),
        ("oversized", xdp.oversized),
        ("short", xdp.short),
        ("malformed", xdp.malformed),
        ("checksum", xdp.bad_checksum),
        ("source", xdp.bad_source),
        ("no_frame", xdp.no_frame),
        ("shed", xdp.shed),
        ("kernel", xdp.rx_dropped),
        ("rx_ring_full", xdp.rx_ring_full),
        ("rx_invalid", xdp.rx_invalid),
        ("tx_invalid", xdp.tx_invalid),
    ];
    family(out, "rokko_xdp_dropped", "Frames dropped by AF_XDP by reason", "reason", dropped);
    let empty = [("fill", xdp.fill_ring_empty), ("tx", xdp.tx_ring_empty)];
    family(out, "rokko_xdp_ring_empty", "How often the kernel found a ring empty", "ring", empty);
    let passed = [
        ("short", xdp.passed_short),
        ("group", xdp.passed_group),
        ("not_ip", xdp.passed_not_ip),
        ("not_udp", xdp.passed_not_udp),
        ("options", xdp.passed_options),
        ("fragment", xdp.passed_fragment),
        ("elsewhere", xdp.passed_elsewhere),
        ("no_socket", xdp.passed_no_socket),
    ];
    family(out, "rokko_xdp_passed", "Frames left to the kernel by reason", "reason", passed);
}

fn rcode_text(rcode: u16) -> String {
    if usize::from(rcode) == RCODES_COUNTED - 1 { "other".to_owned() } else { Rcode(rcode).to_string() }
}

/// Appends a number that goes up and down.
pub(crate) fn gauge(out: &mut String, name: &str, help: &str, value: &str) {
    head(out, name, help, "gauge");
    line(out, format_args!("{name} {value}"));
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    head(out, name, help, "counter");
    line(out, format_args!("{name}_total {value}"));
}

fn family<L: Display>(
    out: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) {
    head(out, name, help, "counter");
    for (value, count) in values {
        line(out, format_args!("{name}_total{{{label}=\"{value}\"}} {count}"));
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP {name} {help}.\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: impl Display) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_labels() {
        let mut counters = Counters { queries: 5, queries_tcp: 2, ..Counters::default() };
        counters.by_rcode[3] = 4;
        let mut out = String::new();
        write(&counters, 3, &CounterValues { tcp_connections: 7, ..CounterValues::default() }, &mut out);
        for line in [
            "rokko_dns_queries_total{transport=\"udp\"} 3",
            "rokko_dns_queries_total{transport=\"tcp\"} 2",
            "rokko_dns_responses_total{rcode=\"NXDOMAIN\"} 4",
            "rokko_dns_queries_by_type_total{type=\"other\"} 0",
            "rokko_tcp_connections 7",
            "rokko_dns_shed_prefixes 3",
            "rokko_dns_rate_limited_total{limit=\"nxdomain\"} 0",
        ] {
            assert!(out.lines().any(|found| found == line), "{line}\n{out}");
        }
    }
}
