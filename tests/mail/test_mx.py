"""ERR-2 (41605), CHR-5: where a domain's mail goes, asked of a DNS server of the test's own."""

import asyncio
import ipaddress
import socket
import time

import pytest

from mail.smtp import mx
from mail.smtp.mx import NoRoute, Resolver, is_public
from smp.demo.dns_server import DnsServer, Fault


@pytest.fixture
def dns():
    names = {
        "example.jp": {"MX": [(20, "mx2.example.jp"), (10, "MX1.example.jp"), (20, "mx3.example.jp")]},
        "mx1.example.jp": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
        "mx2.example.jp": {"CNAME": ["real.example.jp"]},
        "real.example.jp": {"A": ["127.0.0.3"]},
        "mx3.example.jp": {},
        "own.example": {"A": ["127.0.0.4"]},
        "empty.example": {"TXT": ["nothing else"]},
        "null.example": {"MX": [(0, ".")]},
        "literal.example": {"MX": [(10, "192.0.2.1")]},
        "mixed.example": {"MX": [(0, ""), (5, "192.0.2.1"), (10, "mx1.example.jp")]},
        "alias.example": {"CNAME": ["example.jp"]},
        "日本語.example": {"MX": [(10, "mx1.example.jp")]},
        "broken.example": {},
    }
    with DnsServer(names) as server:
        yield server


def resolver(dns, **options):
    options.setdefault("allow_private", True)
    return Resolver(dns.address, **options)


def hosts(dns, domain, **options):
    return asyncio.run(resolver(dns, **options).mail_hosts(domain))


def addresses(dns, host, **options):
    return asyncio.run(resolver(dns, **options).addresses(host))


def no_route(find, *arguments, **options):
    with pytest.raises(NoRoute) as caught:
        find(*arguments, **options)
    assert caught.value.text
    return caught.value


def test_mx_hosts_come_by_preference_and_equal_ones_in_changing_order(dns):
    async def ask():
        asker = resolver(dns)
        return {tuple(await asker.mail_hosts("Example.JP.")) for _ in range(60)}

    first, second, third = "mx1.example.jp", "mx2.example.jp", "mx3.example.jp"
    assert asyncio.run(ask()) == {(first, second, third), (first, third, second)}


def test_a_domain_without_mx_is_its_own_host(dns):
    assert hosts(dns, "own.example") == ["own.example"]


def test_aliases_are_followed_at_the_domain_and_at_its_hosts(dns):
    assert hosts(dns, "alias.example")[0] == "mx1.example.jp"
    assert addresses(dns, "mx2.example.jp") == ["127.0.0.3"]


def test_international_domains_are_asked_for_as_a_labels(dns):
    """CHR-5"""
    assert hosts(dns, "日本語.example") == ["mx1.example.jp"]
    assert hosts(dns, "xn--wgv71a119e.example") == ["mx1.example.jp"]
    assert dns.asked("xn--wgv71a119e.example", "MX") == 2


@pytest.mark.parametrize(
    "domain",
    [
        "nothing.example", "null.example", "empty.example", "literal.example",
        "[127.0.0.1]", "127.0.0.1", "localhost", "", "a..example", f"{'a' * 64}.example", "a b.example", "a\r\n.example",
        f"{'a.' * 130}example",
    ],
)  # fmt: skip
def test_what_can_never_be_reached_is_no_route_at_once(dns, domain):
    """ERR-2: 41605 without retries."""
    assert no_route(hosts, dns, domain).permanent is True


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.SILENT])
def test_dns_that_fails_may_pass(dns, fault):
    """ERR-3"""
    dns.fail("broken.example", fault)
    dns.fail("mx1.example.jp", fault)
    assert no_route(hosts, dns, "broken.example", lookup_seconds=0.3).permanent is False
    assert no_route(addresses, dns, "mx1.example.jp", lookup_seconds=0.3).permanent is False


def test_a_domain_without_mx_whose_address_cannot_be_asked_for_may_pass(dns, monkeypatch):
    asked = Resolver._ask

    async def only_mx(self, name, rdtype):
        if rdtype.name == "MX":
            return await asked(self, name, rdtype)
        raise NoRoute("no answer", permanent=False)

    monkeypatch.setattr(Resolver, "_ask", only_mx)
    assert no_route(hosts, dns, "own.example").permanent is False


def test_no_dns_server_at_all_may_pass(dns):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    failure = no_route(
        lambda: asyncio.run(Resolver(f"127.0.0.1:{port}", lookup_seconds=0.3).mail_hosts("example.jp"))
    )
    assert failure.permanent is False


def test_only_usable_hosts_are_kept(dns):
    assert hosts(dns, "mixed.example") == ["mx1.example.jp"]


def test_families_come_in_turn(dns):
    dns.set("mx1.example.jp", {"A": ["127.0.0.2", "127.0.0.3"], "AAAA": ["::1"]})
    found = addresses(dns, "mx1.example.jp")
    assert found[1] == "::1"
    assert sorted([found[0], found[2]]) == ["127.0.0.2", "127.0.0.3"]


def test_a_family_without_a_way_is_left_out_unless_there_is_nothing_else(dns, monkeypatch):
    monkeypatch.setattr(mx, "_has_way", lambda address: address.version == 4)
    assert addresses(dns, "mx1.example.jp") == ["127.0.0.2"]
    monkeypatch.setattr(mx, "_has_way", lambda address: False)
    assert addresses(dns, "mx1.example.jp") == ["127.0.0.2", "::1"]


def test_one_family_is_enough_when_the_other_gets_no_answer(dns, monkeypatch):
    asked = Resolver._ask

    async def only_ipv4(self, name, rdtype):
        if rdtype.name == "AAAA":
            raise NoRoute("no answer", permanent=False)
        return await asked(self, name, rdtype)

    monkeypatch.setattr(Resolver, "_ask", only_ipv4)
    assert addresses(dns, "mx1.example.jp") == ["127.0.0.2"]
    assert no_route(addresses, dns, "mx3.example.jp").permanent is False


def test_private_addresses_are_never_gone_to(dns):
    """DESIGN §5: an MX of a hostile domain must not lead into our own network."""
    refused = no_route(addresses, dns, "mx1.example.jp", allow_private=False)
    assert refused.permanent is True
    assert "127.0.0.2" in refused.text and "::1" in refused.text
    assert no_route(hosts, dns, "own.example", allow_private=False).permanent is True
    dns.set("mx1.example.jp", {"A": ["10.0.0.1", "198.51.44.1"], "AAAA": ["::ffff:127.0.0.1"]})
    assert addresses(dns, "mx1.example.jp", allow_private=False) == ["198.51.44.1"]


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1", "::7f00:1", "fe80::1",
        "fc00::1", "fd00::1", "ff02::1", "fec0::1", "2001:db8::1", "3fff::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
        "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2001::1",
    ],
)  # fmt: skip
def test_no_public_address(text):
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "203.104.1.1", "2001:4860:4860::8888", "64:ff9b::808:808"])
def test_public_address(text):
    assert is_public(ipaddress.ip_address(text))


def test_answers_are_remembered_and_asked_for_once_at_a_time(dns):
    async def ask():
        asker = resolver(dns)
        await asyncio.gather(*(asker.mail_hosts("example.jp") for _ in range(50)))
        await asker.mail_hosts("example.jp")
        for _ in range(2):
            with pytest.raises(NoRoute):
                await asker.mail_hosts("nothing.example")

    asyncio.run(ask())
    assert dns.asked("example.jp") == 1
    assert dns.asked("nothing.example") == 1


def test_whoever_gives_up_does_not_stop_the_look_up_for_others(dns):
    async def ask():
        asker = resolver(dns)
        impatient = asyncio.ensure_future(asker.mail_hosts("example.jp"))
        patient = asyncio.ensure_future(asker.mail_hosts("example.jp"))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(ask())[0] == "mx1.example.jp"
    assert dns.asked("example.jp") == 1


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 30), (600, 600), (86400, 3600)])
def test_the_ttl_is_kept_within_bounds(dns, ttl, seconds):
    dns.ttl = ttl

    async def ask():
        asker = resolver(dns)
        await asker.mail_hosts("example.jp")
        until, _value = asker._hosts._kept["example.jp"]
        return until - time.monotonic()

    assert seconds - 25 < asyncio.run(ask()) <= seconds


def test_memory_is_bounded(dns, monkeypatch):
    monkeypatch.setattr(mx, "KEPT_ENTRIES", 10)

    async def ask():
        asker = resolver(dns)
        for number in range(30):
            with pytest.raises(NoRoute):
                await asker.mail_hosts(f"n{number}.example")
        return len(asker._hosts._kept)

    assert asyncio.run(ask()) == 10


def test_truncated_answers_are_asked_for_by_tcp(dns):
    dns.fail("example.jp", Fault.TRUNCATE)
    assert hosts(dns, "example.jp")[0] == "mx1.example.jp"
    assert dns.tcp_queries == 1
