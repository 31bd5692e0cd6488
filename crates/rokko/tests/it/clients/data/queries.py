"""Asks a server of a signed zone with dnspython, and validates what comes back."""

import sys

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.xfr
import dns.zone

SERVER, PORT, APEX = sys.argv[1], int(sys.argv[2]), dns.name.from_text(sys.argv[3])
TIMEOUT_S = 30


def ask(name, rtype, transport=dns.query.udp, **options):
    query = dns.message.make_query(name + "." + APEX.to_text() if name else APEX, rtype, **options)
    response = transport(query, SERVER, port=PORT, timeout=TIMEOUT_S)
    assert response.flags & dns.flags.QR and response.question == query.question
    return response


def keys():
    response = ask("", "DNSKEY", dns.query.tcp, want_dnssec=True)
    rrset = response.get_rrset(response.answer, APEX, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
    return {APEX: rrset}


def validate_sections(response, trusted):
    """Validates each signed RRset of the answer and authority sections; returns how many there are."""
    count = 0
    for section in (response.answer, response.authority):
        for rrset in section:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                continue
            signatures = response.get_rrset(
                section, rrset.name, rrset.rdclass, dns.rdatatype.RRSIG, rrset.rdtype
            )
            # A CNAME that a DNAME made has no signature (RFC 6672).
            if signatures is None:
                assert rrset.rdtype == dns.rdatatype.CNAME, rrset
                continue
            dns.dnssec.validate(rrset, signatures, trusted)
            count += 1
    return count


def udp_and_tcp_agree():
    for name, rtype in [("www", "A"), ("", "MX"), ("alias", "A"), ("nope", "A"), ("old", "DNAME")]:
        udp, tcp = ask(name, rtype), ask(name, rtype, dns.query.tcp)
        udp.id = tcp.id
        assert udp.flags & dns.flags.AA
        assert udp == tcp, (udp, tcp)
        assert sorted(map(str, udp.answer)) == sorted(map(str, tcp.answer))


def plain_dns_without_edns():
    response = ask("www", "A", use_edns=False)
    assert response.edns == -1 and not response.additional
    assert sorted(rdata.address for rdata in response.answer[0]) == ["192.0.2.1", "192.0.2.2"]


def edns_is_limited_and_versioned():
    response = ask("www", "A", use_edns=0, payload=4096)
    assert (response.edns, response.payload) == (0, 1232)
    assert ask("www", "A", use_edns=1).rcode() == dns.rcode.BADVERS
    unknown = ask("www", "A", options=[dns.edns.GenericOption(65001, b"what is this")])
    assert unknown.rcode() == dns.rcode.NOERROR
    assert all(option.otype != 65001 for option in unknown.options)


def cookies_are_taken_back():
    client = bytes(range(8))
    first = ask("www", "A", options=[dns.edns.CookieOption(client, b"")])
    (cookie,) = [option for option in first.options if option.otype == dns.edns.OptionType.COOKIE]
    assert cookie.client == client and len(cookie.server) == 16
    again = ask("www", "A", options=[dns.edns.CookieOption(client, cookie.server)])
    assert again.rcode() == dns.rcode.NOERROR and again.answer
    # A cookie of the wrong size is a format error (RFC 7873, section 5.2.2).
    short = ask("www", "A", options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"short")])
    assert short.rcode() == dns.rcode.FORMERR


def signatures_are_good():
    trusted = keys()
    response = ask("", "DNSKEY", dns.query.tcp, want_dnssec=True)
    assert validate_sections(response, trusted) == 1
    cases = [("www", "A"), ("", "SOA"), ("", "MX"), ("x.wild", "A"), ("alias", "A"), ("host.old", "A")]
    for name, rtype in cases:
        response = ask(name, rtype, want_dnssec=True)
        assert response.rcode() == dns.rcode.NOERROR
        assert validate_sections(response, trusted) >= 1, (name, response)


def denials_are_signed():
    trusted = keys()
    proofs = {dns.rdatatype.NSEC, dns.rdatatype.NSEC3}
    cases = [("nope", "A", dns.rcode.NXDOMAIN), ("www", "AAAA", dns.rcode.NOERROR), ("plain", "DS", dns.rcode.NOERROR)]
    for name, rtype, rcode in cases:
        response = ask(name, rtype, want_dnssec=True)
        assert response.rcode() == rcode and not response.answer
        assert any(rrset.rdtype in proofs for rrset in response.authority), response
        # The SOA record and at least one proof.
        assert validate_sections(response, trusted) >= 2, response
        without = ask(name, rtype)
        assert [rrset.rdtype for rrset in without.authority] == [dns.rdatatype.SOA], without


def a_changed_answer_is_not_valid():
    trusted = keys()
    response = ask("www", "A", want_dnssec=True)
    rrset = response.get_rrset(response.answer, dns.name.from_text("www", APEX), dns.rdataclass.IN, dns.rdatatype.A)
    signatures = response.get_rrset(
        response.answer, rrset.name, rrset.rdclass, dns.rdatatype.RRSIG, dns.rdatatype.A
    )
    dns.dnssec.validate(rrset, signatures, trusted)
    forged = dns.rrset.from_text(rrset.name, rrset.ttl, "IN", "A", "192.0.2.66")
    try:
        dns.dnssec.validate(forged, signatures, trusted)
    except dns.dnssec.ValidationFailure:
        return
    raise AssertionError("a forged answer is valid")


def transfers_are_refused():
    # Without a serial it is AXFR, with one IXFR.
    for serial in [None, 1]:
        zone = dns.zone.Zone(APEX, relativize=False)
        query, _ = dns.xfr.make_query(zone, serial=serial)
        try:
            dns.query.inbound_xfr(SERVER, zone, query, port=PORT, timeout=TIMEOUT_S)
        except dns.xfr.TransferError as error:
            assert error.rcode == dns.rcode.REFUSED, (query, error)
        else:
            raise AssertionError(f"was not refused: {query}")


CHECKS = [
    udp_and_tcp_agree,
    plain_dns_without_edns,
    edns_is_limited_and_versioned,
    cookies_are_taken_back,
    signatures_are_good,
    denials_are_signed,
    a_changed_answer_is_not_valid,
    transfers_are_refused,
]
for check in CHECKS:
    check()
    print("ok", check.__name__)
print(len(CHECKS), "checks passed")
