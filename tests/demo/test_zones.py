"""The demo's DNS shows one sending domain all right, and one with faults (RATE-4)."""

import pytest
from django.utils import timezone

from mail import sending_domains
from mail.alignment import alignment, check_due
from mail.check_items import worst
from mail.models import SendingDomain
from smp.demo import sample_data, zones
from smp.demo.dns_server import DnsServer
from smp.management.commands.demo_dns import refresh
from tests.factories import make_user


@pytest.fixture
def server(db, settings):
    sending_domains.forget()
    zones.make_sending_domains(make_user(), now=timezone.now())
    with DnsServer(zones.zones()) as server:
        settings.DNS_SERVER = server.address
        settings.BOUNCE_DOMAIN = zones.BOUNCE_DOMAIN
        settings.ALLOW_PRIVATE_MX = True
        settings.REQUIRE_ALIGNMENT = True
        yield server
    sending_domains.forget()


def test_one_is_right_and_one_is_not(server):
    now = timezone.now()
    assert check_due(now=now) == 2
    good, faulty = (SendingDomain.objects.get(name=name) for name in (zones.DOMAIN, zones.FAULTY))
    assert worst(item for item in sending_domains.kept_items(good) if item.group == "domain") == "ok"
    codes = {item.key.split(":")[0]: item.code for item in sending_domains.kept_items(faulty)}
    assert (codes["spf"], codes["dkim"], codes["dmarc"]) == ("spf_lookups", "dkim_waiting", "dmarc_missing")
    assert alignment(f"info@{zones.DOMAIN}", now=now).ok
    assert not alignment(f"info@{zones.FAULTY}", now=now).ok


def test_new_keys_of_the_good_one_are_published(server):
    now = timezone.now()
    known = zones.zones()
    good = SendingDomain.objects.get(name=zones.DOMAIN)
    key = sending_domains.make_key(good, "ed25519", user=None, now=now)
    with pytest.raises(sending_domains.DomainRefused):
        sending_domains.activate_key(key, user=None, now=now)
    known = refresh(server, known)
    sending_domains.activate_key(key, user=None, now=now)
    key.delete()
    refresh(server, known)
    items = {item.key for item in sending_domains.check_now(good, now=now)}
    assert f"dkim:{key.selector}" not in items


def test_older_sample_data_gets_them(db):
    sample_data.add_sending_domains(now=timezone.now())
    assert not SendingDomain.objects.exists()  # nobody to have done it
    make_user()
    sample_data.add_sending_domains(now=timezone.now())
    sample_data.add_sending_domains(now=timezone.now())
    assert SendingDomain.objects.count() == 2
