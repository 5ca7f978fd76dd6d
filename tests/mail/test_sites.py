"""RATE-1: which domains share a site, and which way mail goes to them."""

import asyncio

import pytest

from mail.delivery.sites import Sites
from mail.delivery.speed_rules import forget_speed_rules
from mail.smtp.mx import NoRoute, Resolver
from settings.models import DomainRule
from smp.demo.dns_server import DnsServer, Fault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def dns(settings):
    settings.RELAY = ""
    settings.SMTP_PORT = 2600
    settings.ALLOW_PRIVATE_MX = True
    names = {
        "one.example": {"MX": [(10, "mx1.host.example"), (20, "mx2.host.example")]},
        "two.example": {"MX": [(20, "mx1.host.example"), (10, "mx2.host.example")]},
        "three.example": {"MX": [(10, "mx1.host.example")]},
        "gmail.com": {"MX": [(5, "gmail-smtp-in.l.google.com")]},
        "hosted.example": {"MX": [(5, "aspmx.l.google.com")]},
        "bare.example": {"A": ["127.0.0.2"]},
    }
    for number, host in enumerate(
        ("mx1.host.example", "mx2.host.example", "gmail-smtp-in.l.google.com", "aspmx.l.google.com")
    ):
        names[host] = {"A": [f"127.0.0.{10 + number}"]}
    with DnsServer(names) as server:
        settings.DNS_SERVER = server.address
        yield server


@pytest.fixture(autouse=True)
def fresh():
    forget_speed_rules()
    yield
    forget_speed_rules()


def store(**values):
    DomainRule.objects.create(name="a rule", **values)
    forget_speed_rules()


def sites(*domains):
    async def find():
        asker = Sites(Resolver(lookup_seconds=0.5))
        return [await asker.site_of(domain) for domain in domains]

    return asyncio.run(find())


def test_domains_that_share_an_mx_group_are_one_site(dns):
    one, two, three, bare = sites("One.example", "two.example.", "three.example", "bare.example")
    assert one.key == two.key == "mx:mx1.host.example,mx2.host.example"
    assert one.hosts == ("mx1.host.example", "mx2.host.example")
    assert two.hosts == ("mx2.host.example", "mx1.host.example")
    assert three.key == "mx:mx1.host.example"
    assert bare.hosts == ("bare.example",)
    assert (one.port, one.relay, one.rule.key, one.group) == (2600, False, "general", one.key)


def test_all_domains_of_a_provider_are_one_site_but_share_no_connection(dns):
    gmail, hosted = sites("gmail.com", "hosted.example")
    assert gmail.key == hosted.key == "google"
    assert gmail.label == "Google"
    assert (gmail.group, hosted.group) == ("mx:gmail-smtp-in.l.google.com", "mx:aspmx.l.google.com")


def test_the_systems_relay_takes_everything_without_asking_dns(dns, settings):
    settings.RELAY = "relay.example:2525"
    one, other = sites("one.example", "nothing.example")
    assert one == other
    assert (one.key, one.hosts, one.port, one.relay) == (
        "relay:relay.example:2525",
        ("relay.example",),
        2525,
        True,
    )
    assert (one.rule.key, one.rule.mails_per_minute) == ("relay", None)
    assert dns.queries == {}


def test_a_rule_has_its_own_route(dns, settings):
    store(domains=["one.example"], route="[::1]:2627")
    store(exchangers=["google.com"], route="127.0.0.1:2526")
    one, two, hosted = sites("one.example", "two.example", "hosted.example")
    assert (one.key, one.hosts, one.port) == ("relay:[::1]:2627", ("::1",), 2627)
    assert two.relay is False
    assert (hosted.key, hosted.port) == ("relay:127.0.0.1:2526", 2526)


def test_a_rule_goes_straight_to_the_mx_past_the_relay(dns, settings):
    settings.RELAY = "relay.example:2525"
    store(exchangers=["google.com"], route="mx")
    store(domains=["bare.example"], route="mx")
    dns.fail("two.example", Fault.SERVFAIL)
    gmail, hosted, bare, one, two = sites(
        "gmail.com", "hosted.example", "bare.example", "one.example", "two.example"
    )
    assert (gmail.hosts, hosted.relay, bare.hosts) == (
        ("gmail-smtp-in.l.google.com",),
        False,
        ("bare.example",),
    )
    assert one.relay is True
    assert two.relay is True  # its rule would not need DNS


def test_no_route_is_told(dns):
    """ERR-2: 41605"""
    with pytest.raises(NoRoute) as caught:
        sites("nothing.example")
    assert caught.value.permanent is True


def test_hosts_without_a_usable_address_are_no_route(dns, settings):
    """ERR-2: 41605 at once, unless DNS may still say otherwise."""
    dns.set("inside.example", {"MX": [(10, "mx1.host.example"), (20, "nowhere.example")]})
    settings.ALLOW_PRIVATE_MX = False
    with pytest.raises(NoRoute) as caught:
        sites("inside.example")
    assert caught.value.permanent is True
    assert "127.0.0.10" in caught.value.text
    dns.fail("nowhere.example", Fault.SERVFAIL)
    with pytest.raises(NoRoute) as caught:
        sites("inside.example")
    assert caught.value.permanent is False


def test_a_strangers_host_beside_a_providers_own_is_not_used(dns):
    """It could spoil the provider's limits for everybody."""
    dns.set("mixed.example", {"MX": [(5, "aspmx.l.google.com"), (10, "mx1.host.example")]})
    (mixed,) = sites("mixed.example")
    assert (mixed.key, mixed.hosts) == ("google", ("aspmx.l.google.com",))


def test_long_mx_groups_get_a_short_key(dns):
    hosts = [(number, f"a-long-name-of-a-host-{number}.mail.example") for number in range(8)]
    dns.set(hosts[0][1], {"A": ["127.0.0.2"]})
    dns.set("many.example", {"MX": hosts})
    dns.set("more.example", {"MX": hosts[:-1]})
    many, more = sites("many.example", "more.example")
    assert len(many.key) == len(more.key) == 100
    assert many.key != more.key


def test_a_site_is_remembered(dns):
    sites("one.example", "one.example", "ONE.example")
    assert dns.asked("one.example") == 1
