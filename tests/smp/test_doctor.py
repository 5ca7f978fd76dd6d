import io
import json
import socket
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone, translation

from mail.bounces.imap_poll import STATUS_KEY, Polled, remember
from mail.models import ReturnedMail
from mail.sending_domains import add_domain
from smp import doctor
from smp.demo.dns_server import DnsServer, Fault
from smp.demo.smtp_server import SmtpServer
from tests.factories import make_delivery, make_lead
from tests.imap_server import ImapServer


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def test_database_and_migrations_are_well(db):
    assert doctor.check_database().text.startswith("PostgreSQL ")
    assert doctor.check_migrations().state == "ok"


def test_missing_migrations_are_named(db):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    finding = doctor.check_migrations()
    assert (finding.state, finding.text) == ("wrong", "Not applied: sessions.0001_initial")
    assert "manage.py migrate" in finding.advice


@pytest.mark.parametrize(("ahead", "state"), [(0, "ok"), (4, "ok"), (60, "wrong"), (-60, "wrong")])
def test_clocks_may_not_drift_apart(db, ahead, state):
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        there = float(cursor.fetchone()[0])
    assert doctor.check_clock(now=there + ahead).state == state


@pytest.mark.parametrize(("age", "state"), [(1, "ok"), (29, "ok"), (31, "wrong")])
def test_beat_is_judged_by_its_last_tick(age, state):
    cache.set(doctor.TICK_KEY, 1000.0)
    assert doctor.check_tick(now=1000.0 + age).state == state
    cache.delete(doctor.TICK_KEY)


def test_beat_that_never_ticked_is_wrong():
    cache.delete(doctor.TICK_KEY)
    assert (doctor.check_tick(now=0).state, doctor.check_tick(now=0).text) == (
        "wrong",
        "no tick was ever seen",
    )


def test_broker_that_is_away_is_wrong(free_port):
    assert doctor.check_broker().state == "ok"
    with override_settings(REDIS_URL=f"redis://127.0.0.1:{free_port}/0"):
        assert doctor.check_broker().state == "wrong"


def test_relay_and_intake_must_greet(tmp_path, free_port):
    with (
        SmtpServer(tmp_path) as server,
        override_settings(RELAY=server.address, INTAKE_LISTEN=f"0.0.0.0:{server.port}"),
    ):
        assert (doctor.check_relay().state, doctor.check_intake().state) == ("ok", "ok")
    with override_settings(RELAY=f"127.0.0.1:{free_port}", INTAKE_LISTEN="nonsense"):
        assert (doctor.check_relay().state, doctor.check_intake().state) == ("wrong", "wrong")


def test_mail_without_a_relay_is_well():
    with override_settings(RELAY=""):
        assert doctor.check_relay().state == "ok"


def test_the_mailbox_of_bounces_is_looked_into():
    """Not there: no line. There: it must let us in, and intake must read it."""
    assert doctor.check_mailbox() == []
    with ImapServer([b"one"]) as server:
        url = f"imap://bounces%40example.jp@127.0.0.1:{server.port}/INBOX"
        cache.delete(STATUS_KEY)
        with override_settings(BOUNCE_IMAP=url, BOUNCE_IMAP_PASSWORD="secret"):
            [finding] = doctor.check_mailbox()
            assert (finding.state, finding.text) == (
                "warning",
                "bounces@example.jp at 127.0.0.1, INBOX: 1 mails",
            )
            remember(None, "it broke", at=1.0)
            assert doctor.check_mailbox()[0].state == "wrong"
            remember(Polled(1), "", at=1.0)
            assert doctor.check_mailbox()[0].state == "ok"
        with override_settings(BOUNCE_IMAP=url, BOUNCE_IMAP_PASSWORD="wrong"):
            assert "AUTHENTICATIONFAILED" in doctor.check_mailbox()[0].text
    cache.delete(STATUS_KEY)
    with override_settings(BOUNCE_IMAP="nonsense"):
        assert doctor.check_mailbox()[0].state == "wrong"


def test_many_mails_and_not_one_bounce_is_unlikely(db, monkeypatch):
    monkeypatch.setattr(doctor, "MANY_SENT", 2)
    now = timezone.now()
    lead = make_lead()
    make_delivery(lead, state="sent", sent_at=now)
    assert doctor.check_returned(now=now).state == "ok"
    make_delivery(lead, state="sent", sent_at=now)
    assert doctor.check_returned(now=now).state == "warning"
    ReturnedMail.objects.create(at=now, digest="x", kind="failure")
    assert doctor.check_returned(now=now).state == "ok"


def test_full_disk_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1024**3}))
    assert (doctor.check_disk().state, doctor.check_disk().text) == ("wrong", "1.0 GB free")


@pytest.mark.parametrize(("state", "exit_code"), [("ok", None), ("warning", None), ("wrong", 1)])
def test_command_exits_with_1_only_when_something_is_wrong(monkeypatch, state, exit_code):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("disk", state, "seen", "do this")])
    out = io.StringIO()
    try:
        call_command("doctor", json=True, stdout=out)
    except SystemExit as stop:
        assert stop.code == exit_code
    else:
        assert exit_code is None
    assert json.loads(out.getvalue()) == {
        "ok": exit_code is None,
        "checks": [{"name": "disk", "state": state, "text": "seen", "advice": "do this"}],
    }


def test_everything_is_looked_at(db, monkeypatch):
    monkeypatch.setattr(doctor.current_app.control, "ping", lambda timeout: [{"worker@a": {"ok": "pong"}}])
    assert [finding.name for finding in doctor.examine()] == [
        "database",
        "migrations",
        "clock",
        "domains",
        "returned",
        "broker",
        "workers",
        "beat",
        "hits",
        "sending",
        "relay",
        "intake",
        "dns",
        "disk",
    ]


def test_sending_domains_that_nothing_vouches_for_are_named(db, settings):
    """RATE-5"""
    settings.REQUIRE_ALIGNMENT = True
    assert doctor.check_sending_domains().state == "warning"
    add_domain("seminar.example.jp", user=None, now=timezone.now())
    finding = doctor.check_sending_domains()
    assert (finding.state, "seminar.example.jp" in finding.text) == ("wrong", True)
    settings.REQUIRE_ALIGNMENT = False
    assert doctor.check_sending_domains().state == "warning"


def test_dns_is_asked_for_the_way_of_bounces(settings):
    settings.BOUNCE_DOMAIN = "bounce.smp.example"
    with DnsServer({"bounce.smp.example": {"MX": [(10, "mx.smp.example")]}}) as server:
        settings.DNS_SERVER = server.address
        assert doctor.check_dns().state == "ok"
        server.remove("bounce.smp.example")
        assert doctor.check_dns().state == "warning"
        server.fail("bounce.smp.example", Fault.SERVFAIL)
        settings.RELAY = ""
        assert doctor.check_dns().state == "wrong"


def test_mail_that_does_not_move_is_wrong(db):
    """The watchdog: due mail that nobody takes, although everything else may answer."""
    assert doctor.check_progress().state == "ok"
    row = make_delivery(make_lead(), kind="single", next_at=timezone.now() - timedelta(minutes=30))
    assert row.state == "queued"
    finding = doctor.check_progress()
    assert finding.state == "wrong"
    assert "manage.py worker" in finding.advice
    assert "sending" in [one.name for one in doctor.examine()]
