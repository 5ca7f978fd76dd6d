"""RATE-4: SPF as receivers read it (RFC 7208)."""

import pytest

from mail import spf
from mail.dns_lookup import Lookups

TOP = "top.example"


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 -all",
        "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all",
        "v=spf1 a mx a:x.example mx:x.example a/24 mx//64 a:x.example/24//64 ~all",
        "v=spf1 include:_spf.x.example exists:%{i}._spf.%{d} +ptr -ptr:x.example redirect=x.example",
        "V=SPF1  INCLUDE:x.example   exp=why.x.example unknown=thing -ALL",
    ],
)
def test_records_receivers_can_read(record):
    assert spf.parse(record)


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ("v=spf1 ip4:192.0.2.300 -all", "ip4:192.0.2.300"),
        ("v=spf1 ip4:2001:db8::1 -all", "ip4:2001:db8::1"),
        ("v=spf1 ip4=192.0.2.1 include -all", "include"),
        ("v=spf1 include: -all", "include:"),
        ("v=spf1 a: -all", "a:"),
        ("v=spf1 a/33 -all", "a/33"),
        ("v=spf1 all:x -all", "all:x"),
        ("v=spf1 ipv4:192.0.2.1 -all", "ipv4:192.0.2.1"),
        ("v=spf1 redirect=a.example redirect=b.example", "redirect=b.example"),
        ("v=spf1 -all;", "-all;"),
        ("v=spf1 ａ -all", "v=spf1 ａ -all"),
    ],
)
def test_records_receivers_cannot_read(record, wrong):
    with pytest.raises(spf.SpfSyntax) as caught:
        spf.parse(record)
    assert str(caught.value) == wrong


def read(dns, record, **names):
    dns.set(TOP, {"TXT": [record]})
    return spf.read_policy(TOP, Lookups())


def test_addresses_of_includes_mx_a_and_redirects_are_found(dns):
    dns.set("inc.example", {"TXT": ["v=spf1 ip4:192.0.2.0/25 ip6:2001:db8::/64 -all"]})
    dns.set("mx.example", {"MX": [(10, "h.example")]})
    dns.set("h.example", {"A": ["198.51.100.7"], "AAAA": ["2001:db8:1::7"]})
    dns.set("end.example", {"TXT": ["v=spf1 a:h2.example ~all"]})
    dns.set("h2.example", {"A": ["203.0.113.9"]})
    walk = read(dns, "v=spf1 include:inc.example mx:mx.example/30 redirect=end.example")
    lets = {
        address: walk.lets(address)
        for address in ("192.0.2.1", "192.0.2.200", "2001:db8::5", "198.51.100.5", "2001:db8:1::7", "203.0.113.9", "203.0.113.10")
    }  # fmt: skip
    assert lets == {
        "192.0.2.1": True, "192.0.2.200": False, "2001:db8::5": True, "198.51.100.5": True, "2001:db8:1::7": True,
        "203.0.113.9": True, "203.0.113.10": False,
    }  # fmt: skip
    assert (walk.lookups, walk.void, walk.fault) == (4, 0, None)


def test_a_sign_before_the_match_decides(dns):
    walk = read(dns, "v=spf1 -ip4:192.0.2.1 ip4:192.0.2.0/24 -all")
    assert (walk.lets("192.0.2.1"), walk.lets("192.0.2.2")) == (False, True)


def test_redirect_is_not_followed_beside_all(dns):
    """RFC 7208 6.1"""
    walk = read(dns, "v=spf1 -all redirect=nowhere.example")
    assert (walk.lookups, walk.fault) == (0, None)


@pytest.mark.parametrize(("includes", "lookups"), [(10, 10), (11, 11)])
def test_lookups_are_counted_over_the_whole_tree(dns, includes, lookups):
    for number in range(includes):
        dns.set(f"i{number}.example", {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]})
    record = " ".join(["v=spf1", *(f"include:i{number}.example" for number in range(includes)), "-all"])
    assert read(dns, record).lookups == lookups


def test_names_that_are_not_there_are_void(dns):
    """RFC 7208 4.6.4"""
    walk = read(dns, "v=spf1 a:no1.example mx:no2.example a:no3.example -all")
    assert (walk.lookups, walk.void) == (3, 3)


@pytest.mark.parametrize(
    ("record", "names", "fault"),
    [
        ("v=spf1 include:gone.example -all", {}, "none"),
        ("v=spf1 include:loop.example -all", {"loop.example": {"TXT": ["v=spf1 include:top.example -all"]}}, "loop"),
        ("v=spf1 include:two.example -all", {"two.example": {"TXT": ["v=spf1 -all", "v=spf1 ~all"]}}, "several"),
        ("v=spf1 mx:many.example -all", {"many.example": {"MX": [(1, f"m{n}.example") for n in range(11)]}}, "mx"),
        ("v=spf1 ip9:1 -all", {}, "syntax"),
    ],
)  # fmt: skip
def test_faults(dns, record, names, fault):
    for name, records in names.items():
        dns.set(name, records)
    walk = read(dns, record)
    assert walk.fault is not None
    assert walk.fault.fault == fault
    assert walk.lets("127.0.0.1") is False


def test_a_tree_without_end_is_left_early(dns):
    """Hostile DNS: each policy includes five others, for ever."""
    for number in range(300):
        record = " ".join(["v=spf1", *(f"include:n{(number * 5 + k) % 300}.example" for k in range(1, 6))])
        dns.set(f"n{number}.example", {"TXT": [record]})
    walk = read(dns, "v=spf1 include:n0.example include:n1.example include:n2.example")
    assert walk.lookups <= spf.WALK_MAX + 5
    assert sum(dns.queries.values()) < 100
