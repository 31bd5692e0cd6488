"""Holds the answers of a server of the root zone against the zone file."""

import collections
import sys

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

SERVER, PORT, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TIMEOUT_S = 30
# Every so many-th top-level domain is asked for.
STEP = 4
ADDRESSES = ("A", "AAAA")


def read_zone():
    """The texts of the record data by type and owner."""
    zone = collections.defaultdict(lambda: collections.defaultdict(set))
    with open(FILE, encoding="ascii") as lines:
        for line in lines:
            owner, _, _, rtype, data = line.split(None, 4)
            zone[rtype][dns.name.from_text(owner)].add(data.strip())
    return zone


def data_of(rtype, texts):
    return {dns.rdata.from_text("IN", rtype, text) for text in texts}


def ask(name, rtype, transport):
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1232, want_dnssec=True)
    query.flags &= ~dns.flags.RD
    return transport(query, SERVER, port=PORT, timeout=TIMEOUT_S)


def section(rrsets):
    return {(rrset.name, dns.rdatatype.to_text(rrset.rdtype)): set(rrset) for rrset in rrsets}


def check_referral(zone, domain, transport):
    response = ask(dns.name.from_text("www.some", domain), "A", transport)
    assert response.rcode() == dns.rcode.NOERROR and not response.answer
    assert not response.flags & dns.flags.AA, response
    # Without signatures in the file there is no DS record in a referral (RFC 4035, section 3.1.4).
    assert section(response.authority) == {(domain, "NS"): data_of("NS", zone["NS"][domain])}, response
    servers = [dns.name.from_text(text) for text in zone["NS"][domain]]
    glue = {
        (server, rtype): data_of(rtype, zone[rtype][server])
        for server in servers
        for rtype in ADDRESSES
        if zone[rtype].get(server)
    }
    found = section(response.additional)
    assert all(glue.get(key) == data for key, data in found.items()), response
    # RFC 9471: glue within the domain is there, or the client is told to come by TCP.
    needed = {key: data for key, data in glue.items() if key[0].is_subdomain(domain)}
    if transport is dns.query.tcp:
        assert found == glue, (response, glue)
    elif not response.flags & dns.flags.TC:
        assert all(found.get(key) == data for key, data in needed.items()), (response, needed)


def check_digests(zone, domain):
    response = ask(domain, "DS", dns.query.udp)
    assert response.rcode() == dns.rcode.NOERROR and response.flags & dns.flags.AA
    texts = zone["DS"].get(domain)
    assert section(response.answer) == ({(domain, "DS"): data_of("DS", texts)} if texts else {}), response
    assert bool(response.authority) != bool(texts)


def check_missing(zone, domain):
    # A hyphen at the end sorts behind the domain itself, and no domain of the file has one.
    missing = dns.name.Name([domain.labels[0][:60] + b"-", b""])
    assert missing not in zone["NS"]
    response = ask(missing, "A", dns.query.udp)
    assert response.rcode() == dns.rcode.NXDOMAIN and response.flags & dns.flags.AA
    assert [rrset.rdtype for rrset in response.authority] == [dns.rdatatype.SOA], response


def main():
    zone = read_zone()
    domains = sorted(domain for domain in zone["NS"] if domain != dns.name.root)
    assert len(domains) > 1500, len(domains)
    compared = 0
    for domain in domains[::STEP]:
        check_referral(zone, domain, dns.query.tcp)
        check_referral(zone, domain, dns.query.udp)
        check_digests(zone, domain)
        check_missing(zone, domain)
        compared += 4
    print(compared, "answers as in the file")


main()
