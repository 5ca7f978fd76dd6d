"""The MX way from a job to the receivers' servers: a DNS server and sinks on loopback (ERR-2, ERR-3, RATE-1, RATE-3)."""

import socket
import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from mail.delivery import engine, site_queues, sources
from mail.delivery.engine import ALL, deliver
from mail.delivery.slowed import slowed_sites
from mail.delivery.speed_rules import forget_speed_rules
from mail.delivery.throttle import PREFIX
from mail.smtp import mx
from settings.models import DomainRule, SourceIp
from smp.demo.dns_server import DnsServer, Fault
from tests.factories import make_lead, make_sending_job, make_template
from tests.sink import Sink

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = {
    "one.example.jp": {"MX": [(10, "mx.one.example.jp")]},
    "mx.one.example.jp": {"A": ["127.0.0.11"]},
    "two.example.jp": {"MX": [(10, "mx.two.example.jp")]},
    "mx.two.example.jp": {"A": ["127.0.0.12"]},
    "shared-a.example.jp": {"MX": [(10, "mx.one.example.jp")]},
    "shared-b.example.jp": {"MX": [(10, "mx.one.example.jp")]},
    "bare.example.jp": {"A": ["127.0.0.12"]},
    "null.example.jp": {"MX": [(0, ".")]},
    "silent.example.jp": {},
    "fallback.example.jp": {"MX": [(10, "mx.down.example.jp"), (20, "mx.two.example.jp")]},
    "mx.down.example.jp": {"A": ["127.0.0.19"]},
    "all-down.example.jp": {"MX": [(10, "mx.down.example.jp")]},
    "lost-host.example.jp": {"MX": [(10, "mx.lost.example.jp"), (20, "mx.two.example.jp")]},
    "v6-down.example.jp": {"MX": [(10, "mx.both.example.jp")]},
    "mx.both.example.jp": {"A": ["127.0.0.11"], "AAAA": ["::1"]},
    "日本語.example.jp": {"MX": [(10, "mx.one.example.jp")]},
}


class Mail:
    """The servers of the outside world. `took(name)`: the recipients whose mail a server took."""

    def __init__(self, folder, dns, stack):
        self.folder, self.dns, self.stack, self.port = folder, dns, stack, 0
        self.sinks = {}
        self.open("one", "127.0.0.11")
        self.open("two", "127.0.0.12")

    def open(self, name, host, **options):
        sink = Sink(self.folder / f"{name}.jsonl", hosts=(host,), port=self.port, **options)
        self.port = sink.port
        self.sinks[name] = self.stack.enter_context(sink)

    def took(self, name):
        return sorted(address for mail in self.sinks[name].mails for address in mail["recipients"])


@pytest.fixture
def outside(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(mx, "LOOKUP_SECONDS", 0.5)
    with redis.Redis.from_url(settings.REDIS_URL) as client:  # what other tests left there
        for key in client.scan_iter(f"{PREFIX}*"):
            client.delete(key)
    with DnsServer(NAMES) as dns, ExitStack() as stack:
        mail = Mail(tmp_path, dns, stack)
        settings.RELAY = ""
        settings.DNS_SERVER = dns.address
        settings.SMTP_PORT = mail.port
        settings.ALLOW_PRIVATE_MX = True
        settings.SMTP_TIMEOUT = 5
        settings.SMTP_DOT_TIMEOUT = 5
        forget_speed_rules()
        sources.forget_sources()
        yield mail
        engine.shut_down(patience=10)
    forget_speed_rules()
    sources.forget_sources()


def send(job, seconds=30):
    return deliver(job.pk, until=timezone.now() + timedelta(seconds=seconds))


def results(job):
    return {row.address: (row.state, row.code) for row in job.deliveries.all()}


def test_mail_goes_to_each_domains_own_server(outside):
    job = make_sending_job("a@one.example.jp", "b@two.example.jp", "c@bare.example.jp", "d@日本語.example.jp")
    assert send(job).sent == 4
    assert outside.took("one") == ["a@one.example.jp", "d@xn--wgv71a119e.example.jp"]  # CHR-5
    assert outside.took("two") == ["b@two.example.jp", "c@bare.example.jp"]
    hosts = dict(job.deliveries.values_list("address", "remote_host"))
    assert hosts["a@one.example.jp"] == "mx.one.example.jp"
    assert hosts["c@bare.example.jp"] == "bare.example.jp"


def test_domains_that_share_their_exchanger_share_a_connection(outside):
    """RATE-1"""
    job = make_sending_job("a@one.example.jp", "b@shared-a.example.jp", "c@shared-b.example.jp")
    assert send(job).sent == 3
    assert outside.sinks["one"].sessions == 1


def test_what_has_no_way_at_all_is_41605_at_once(outside):
    """ERR-2, ERR-3"""
    job = make_sending_job("a@one.example.jp", "b@null.example.jp", "c@nothing.example.jp")
    outcome = send(job)
    assert (outcome.sent, outcome.errors) == (1, 2)
    assert results(job) == {
        "a@one.example.jp": ("sent", 40000),
        "b@null.example.jp": ("error", 41605),
        "c@nothing.example.jp": ("error", 41605),
    }
    texts = dict(job.deliveries.values_list("address", "reply"))
    assert "null.example.jp" in texts["b@null.example.jp"]
    assert "nothing.example.jp" in texts["c@nothing.example.jp"]


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.SERVFAIL])
def test_dns_that_does_not_answer_is_tried_again_and_ends_as_41605(outside, fault):
    """ERR-3"""
    outside.dns.fail("silent.example.jp", fault)
    job = make_sending_job("a@silent.example.jp", "b@one.example.jp")
    assert send(job).sent == 1
    row = job.deliveries.get(address="a@silent.example.jp")
    assert (row.state, row.attempts) == ("deferred", 1)
    assert row.next_at > timezone.now()
    long_ago = timezone.now() - timedelta(hours=25)
    job.deliveries.filter(pk=row.pk).update(next_at=timezone.now(), first_attempt_at=long_ago)
    send(job)
    assert results(job)["a@silent.example.jp"] == ("error", 41605)


def test_a_domain_that_dns_says_nothing_of_has_its_own_retries(outside):
    """ERR-3: settable per destination domain."""
    DomainRule.objects.create(
        name="patient", domains=["silent.example.jp"], retry_interval_minutes=5, retry_period_hours=48
    )
    forget_speed_rules()
    outside.dns.fail("silent.example.jp", Fault.SERVFAIL)
    job = make_sending_job("a@silent.example.jp")
    send(job)
    row = job.deliveries.get()
    assert timedelta(minutes=4) < row.next_at - row.first_attempt_at < timedelta(minutes=6)
    job.deliveries.update(next_at=timezone.now(), first_attempt_at=timezone.now() - timedelta(hours=25))
    send(job)
    assert results(job)["a@silent.example.jp"] == ("deferred", 41605)


def test_the_next_server_is_used_when_the_first_is_down_or_has_no_address(outside):
    job = make_sending_job("a@fallback.example.jp", "b@lost-host.example.jp")
    assert send(job).sent == 2
    assert outside.took("two") == ["a@fallback.example.jp", "b@lost-host.example.jp"]


def test_servers_that_are_all_down_are_tried_again_later(outside):
    """ERR-3"""
    job = make_sending_job("a@all-down.example.jp", "b@one.example.jp")
    outcome = send(job)
    assert (outcome.sent, outcome.deferred) == (1, 1)
    row = job.deliveries.get(address="a@all-down.example.jp")
    assert (row.state, row.attempts) == ("deferred", 1)
    assert row.next_at > timezone.now()


@pytest.mark.parametrize(
    ("addresses", "sink"),
    [({"A": ["127.0.0.11"], "AAAA": ["::1"]}, "one"), ({"A": ["127.0.0.19"], "AAAA": ["::1"]}, "six")],
)
def test_the_other_family_is_used_when_one_does_not_answer(outside, addresses, sink):
    if sink == "six":
        outside.open("six", "::1")
    outside.dns.set("mx.both.example.jp", addresses)
    job = make_sending_job("a@v6-down.example.jp")
    assert send(job).sent == 1
    assert outside.took(sink) == ["a@v6-down.example.jp"]


def test_no_mail_is_led_into_our_own_network(outside, settings):
    """DESIGN §5"""
    settings.ALLOW_PRIVATE_MX = False
    job = make_sending_job("a@one.example.jp", "b@bare.example.jp")
    send(job)
    assert outside.sinks["one"].sessions == outside.sinks["two"].sessions == 0
    assert set(results(job).values()) == {("error", 41605)}


def test_a_copy_at_another_domain_goes_to_that_domains_server_once(outside):
    """ADDR-4"""
    template = make_template(cc="copy@two.example.jp")
    job = make_sending_job("a@one.example.jp", template=template)
    while job.deliveries.filter(state__in=["queued", "deferred"]).exists():
        assert send(job).handled
    assert results(job) == {"a@one.example.jp": ("sent", 40000)}
    assert outside.took("one") == ["a@one.example.jp"]
    assert outside.took("two") == ["copy@two.example.jp"]


def test_mail_goes_out_from_the_pools_addresses(outside):
    """RATE-3"""
    for number in (2, 3):
        SourceIp.objects.create(address=f"127.0.0.{number}", hostname=f"out{number}.example.jp")
    leads = [f"a{number}@{domain}.example.jp" for number in range(30) for domain in ("one", "two")]
    job = make_sending_job(*leads)
    assert send(job).sent == 60
    peers = {mail["peer"] for name in ("one", "two") for mail in outside.sinks[name].mails}
    assert peers <= {"127.0.0.2", "127.0.0.3"}
    greetings = {
        line for sink in outside.sinks.values() for line in sink.commands if line.upper().startswith("EHLO")
    }
    assert greetings <= {"EHLO out2.example.jp", "EHLO out3.example.jp"}


def test_an_address_in_warm_up_sends_its_share_and_the_rest_waits(outside, monkeypatch):
    """RATE-3"""
    monkeypatch.setattr(sources, "WARMUP", (3,))
    SourceIp.objects.create(address="127.0.0.2", warmup_started_on=timezone.localdate())
    job = make_sending_job(*(f"a{number}@one.example.jp" for number in range(5)))
    assert send(job).sent == 3
    assert {mail["peer"] for mail in outside.sinks["one"].mails} == {"127.0.0.2"}
    waiting = job.deliveries.exclude(state="sent")
    assert [row.attempts for row in waiting] == [0, 0]
    assert all(row.next_at > timezone.now() for row in waiting)


def test_a_source_whose_family_the_receiver_has_not_leaves_it_to_the_others(outside):
    """RATE-3"""
    SourceIp.objects.create(address="::1")
    SourceIp.objects.create(address="127.0.0.2")
    job = make_sending_job("a@one.example.jp")
    for _attempt in range(3):
        job.deliveries.exclude(state="sent").update(next_at=timezone.now(), state="queued")
        send(job)
    assert outside.took("one") == ["a@one.example.jp"]
    assert {mail["peer"] for mail in outside.sinks["one"].mails} == {"127.0.0.2"}


def test_a_rule_limits_the_connections_of_its_site(outside):
    """RATE-1"""
    DomainRule.objects.create(name="slow", domains=["one.example.jp"], connections=1, mails_per_connection=4)
    forget_speed_rules()
    job = make_sending_job(*(f"a{number}@one.example.jp" for number in range(10)))
    assert send(job).sent == 10
    assert outside.sinks["one"].sessions == 3


def test_a_mailing_to_a_slow_site_ends_and_holds_up_nobody(outside, monkeypatch):
    """RATE-1: what it cannot take soon is put off, comes back at its turn, and is sent then."""
    monkeypatch.setattr(site_queues, "AHEAD", 1.0)
    DomainRule.objects.create(name="slow", domains=["one.example.jp"], mails_per_minute=1200)
    forget_speed_rules()
    slow = make_sending_job(*(f"a{number}@one.example.jp" for number in range(160)))
    quick = make_sending_job(*(f"b{number}@two.example.jp" for number in range(40)))
    until = time.monotonic() + 90
    slow_when_quick_was_done = None
    while time.monotonic() < until and len(outside.sinks["one"].mails) < 160:
        deliver(ALL, until=timezone.now() + timedelta(seconds=2))
        if slow_when_quick_was_done is None and len(outside.sinks["two"].mails) == 40:
            slow_when_quick_was_done = len(outside.sinks["one"].mails)
    assert len(set(outside.took("one"))) == len(outside.took("one")) == 160
    assert len(outside.took("two")) == 40
    assert slow_when_quick_was_done is not None
    assert slow_when_quick_was_done < 160
    assert set(slow.deliveries.values_list("state", flat=True)) == {"sent"}
    assert set(quick.deliveries.values_list("state", flat=True)) == {"sent"}


def test_a_site_that_complains_is_slowed_and_shown(outside):
    """RATE-1: the site, not the mail."""
    outside.sinks["one"].mail_answer = "450 4.7.1 You are sending too many messages"
    job = make_sending_job("a@one.example.jp", "b@two.example.jp")
    outcome = send(job)
    assert (outcome.sent, outcome.deferred) == (1, 1)
    until = time.monotonic() + 20
    while not slowed_sites() and time.monotonic() < until:
        time.sleep(0.05)  # a complaint is passed on behind the mail's back
    assert [(site.key, site.label) for site in slowed_sites()] == [
        ("mx:mx.one.example.jp", "mx.one.example.jp")
    ]


def test_without_redis_mail_goes_on(outside, settings):
    """DESIGN §5: the slow side."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        job = make_sending_job(*(f"a{number}@one.example.jp" for number in range(20)))
        assert send(job).sent == 20
    assert len(outside.took("one")) == 20


def test_redis_flushed_in_the_middle_costs_nothing(outside, settings):
    DomainRule.objects.create(name="steady", domains=["one.example.jp"], connections=2, mails_per_minute=600)
    forget_speed_rules()
    job = make_sending_job(*(f"a{number}@one.example.jp" for number in range(60)))
    flushed = threading.Event()

    def flush():
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            while not flushed.wait(0.2):
                for key in client.scan_iter(f"{PREFIX}*"):
                    client.delete(key)

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        assert send(job).sent == 60
    finally:
        flushed.set()
        thread.join()
    assert len(outside.took("one")) == len(set(outside.took("one"))) == 60


def test_a_rule_leads_its_domain_to_a_relay(outside):
    """RATE-1: a server in our own network is reached by a route, not by DNS."""
    DomainRule.objects.create(name="ours", domains=["inside.example.jp"], route=f"127.0.0.12:{outside.port}")
    forget_speed_rules()
    job = make_sending_job("a@inside.example.jp", "b@one.example.jp")
    assert send(job).sent == 2
    assert outside.took("two") == ["a@inside.example.jp"]
    assert outside.dns.asked("inside.example.jp") == 0


def test_a_lead_without_a_job_goes_the_same_way(outside):
    make_lead()
    job = make_sending_job("a@one.example.jp")
    job.deliveries.update(job=None, kind="single", snapshot=job.snapshot)
    assert deliver(None, until=timezone.now() + timedelta(seconds=30)).sent == 1
    assert outside.took("one") == ["a@one.example.jp"]
