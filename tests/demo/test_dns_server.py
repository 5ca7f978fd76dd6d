"""The DNS server of tests and demo, asked by dnspython's own resolver."""

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from smp.demo.dns_server import DnsServer, Fault


@pytest.fixture
def server():
    names = {
        "example.jp": {
            "MX": [(20, "mx2.example.jp"), (10, "mx1.example.jp")],
            "TXT": ["v=spf1 -all", "k" * 300, ["two ", "strings"]],
            "NS": ["ns1.example.jp"],
            "SOA": ["ns1.example.jp. root.example.jp. 1 3600 600 86400 60"],
        },
        "mx1.example.jp": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
        "alias.example.jp": {"CNAME": ["mx1.example.jp"]},
        "null.example.jp": {"MX": [(0, "")]},
        "日本.example.jp": {"A": ["127.0.0.3"]},
        "127.0.0.2": {"PTR": ["mx1.example.jp"]},
        "deep.below.example.jp": {"A": ["127.0.0.4"]},
    }
    with DnsServer(names) as server:
        yield server


def resolver_of(server):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server.host]
    resolver.port = server.port
    resolver.lifetime = 5
    return resolver


def ask(server, name, kind):
    return resolver_of(server).resolve(name, kind)


def test_it_answers_every_type_it_was_given(server):
    assert sorted((r.preference, str(r.exchange).lower()) for r in ask(server, "EXAMPLE.jp", "MX")) == [
        (10, "mx1.example.jp."),
        (20, "mx2.example.jp."),
    ]
    assert sorted(b"|".join(r.strings) for r in ask(server, "example.jp", "TXT")) == [
        b"k" * 255 + b"|" + b"k" * 45,
        b"two |strings",
        b"v=spf1 -all",
    ]
    assert [str(r) for r in ask(server, "mx1.example.jp", "A")] == ["127.0.0.2"]
    assert [str(r) for r in ask(server, "mx1.example.jp", "AAAA")] == ["::1"]
    assert [str(r) for r in ask(server, "example.jp", "NS")] == ["ns1.example.jp."]
    assert [str(r.exchange) for r in ask(server, "null.example.jp", "MX")] == ["."]
    assert [str(r) for r in ask(server, "2.0.0.127.in-addr.arpa", "PTR")] == ["mx1.example.jp."]
    assert [str(r) for r in ask(server, "xn--wgv71a.example.jp", "A")] == ["127.0.0.3"]
    assert ask(server, "example.jp", "SOA")[0].serial == 1


def test_an_alias_is_followed(server):
    answer = ask(server, "alias.example.jp", "A")
    assert str(answer.canonical_name) == "mx1.example.jp."
    assert [str(r) for r in answer] == ["127.0.0.2"]


def test_no_such_name_is_told_from_no_such_record(server):
    with pytest.raises(dns.resolver.NXDOMAIN):
        ask(server, "nothing.example.jp", "A")
    for name in ("mx1.example.jp", "below.example.jp"):
        with pytest.raises(dns.resolver.NoAnswer):
            ask(server, name, "MX")


def test_names_change_while_it_runs_and_questions_are_counted(server):
    server.set("mx1.example.jp", {"A": ["127.0.0.9"]})
    assert [str(r) for r in ask(server, "mx1.example.jp", "A")] == ["127.0.0.9"]
    server.remove("mx1.example.jp")
    with pytest.raises(dns.resolver.NXDOMAIN):
        ask(server, "mx1.example.jp", "A")
    assert server.asked("mx1.example.jp", "A") == 2
    assert server.asked("mx1.example.jp", "AAAA") == 0


def test_a_name_can_be_made_to_fail(server):
    query = dns.message.make_query("example.jp", "MX")
    server.fail("example.jp", Fault.SERVFAIL)
    assert dns.query.udp(query, server.host, 5, server.port).rcode() == dns.rcode.SERVFAIL
    server.fail("example.jp", Fault.SILENT)
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(query, server.host, 0.2, server.port)
    server.fail("example.jp", Fault.TRUNCATE)
    assert dns.query.udp(query, server.host, 5, server.port).flags & dns.flags.TC
    assert len(ask(server, "example.jp", "MX")) == 2
    assert server.tcp_queries == 1
    server.mend("example.jp")
    assert len(dns.query.udp(query, server.host, 5, server.port).answer) == 1


def test_what_does_not_fit_is_asked_for_by_tcp(server):
    server.set("big.example.jp", {"TXT": ["x" * 250 + str(n) for n in range(40)]})
    assert len(ask(server, "big.example.jp", "TXT")) == 40
    assert server.tcp_queries == 1
