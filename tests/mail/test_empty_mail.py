"""Registration by empty mail (MAG-13): what asks for one, and what never does."""

import io
import smtplib
import sys

import pytest
from django.core.management import call_command
from django.utils import timezone

from mail import links
from mail.bounces.receive import receive
from mail.magazines import requests
from mail.models import Delivery, Reader, ReaderRequest, ReturnedMail
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine
from tests.mail.returned import bounce
from tests.mail.test_intake import listen  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def magazine():
    return make_magazine(empty_mail=True)


def written(sender="結衣 <yui@yamate.example.jp>", *extra, body=""):
    """An empty mail as a phone sends it."""
    head = [f"From: {sender}", "To: m@x", "Message-ID: <1@yamate.example.jp>", *extra]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def take(magazine, raw=None, sender="yui@yamate.example.jp", **more):
    return receive(
        written() if raw is None else raw,
        recipient=links.empty_mail_address(magazine.pk),
        sender=sender,
        **more,
    )


def test_an_empty_mail_asks_and_only_the_answer_registers(magazine, client):
    """MAG-13: always by double opt-in, even where the magazine asks for none: From can be forged."""
    magazine.double_opt_in = False
    magazine.save()
    received = take(magazine)
    assert (received.kind, received.changed, received.note) == ("empty_mail", True, "")
    request = ReaderRequest.objects.get()
    assert (request.way, request.address, request.ip) == ("empty_mail", "yui@yamate.example.jp", None)
    requests.handle_requests(timezone.now())
    assert not Reader.objects.exists()
    mail = Delivery.objects.get()
    assert (mail.mail_kind, mail.address) == ("reader_confirm", "yui@yamate.example.jp")
    client.post("/" + mail.given_values["confirm_url"].split("/", 3)[3])
    assert Reader.objects.get().way == "empty_mail"


def test_taken_twice_it_asks_once(magazine):
    assert take(magazine).changed
    assert take(magazine).repeated
    assert ReaderRequest.objects.count() == 1


MACHINES = [
    "Auto-Submitted: auto-replied", "Auto-Submitted: auto-generated; x=y", "Precedence: bulk", "Precedence: list",
    "List-Id: <x.example.jp>", "List-Unsubscribe: <https://x.example>", "X-Autoreply: yes",
    "Subject: 自動返信", "Subject: Undelivered Mail Returned to Sender",
]  # fmt: skip


@pytest.mark.parametrize("field", MACHINES)
def test_machines_are_not_answered(magazine, field):
    """RFC 3834: two machines would answer one another for ever."""
    received = take(magazine, written("yui@yamate.example.jp", field))
    assert (received.changed, received.note) == (False, "automatic")
    assert not ReaderRequest.objects.exists()


def test_bounces_and_mail_of_our_own_are_not_answered(magazine, settings):
    own = written("yui@yamate.example.jp", f"Message-ID: {links.message_id(7)}").replace(
        b"Message-ID: <1@yamate.example.jp>\r\n", b""
    )
    for raw, sender in (
        (written(), ""),  # <>
        (bounce(), "yui@yamate.example.jp"),
        (own, "yui@yamate.example.jp"),
        (written(f"noreply@{settings.MAIL_DOMAIN}"), f"noreply@{settings.MAIL_DOMAIN}"),
        (written(links.empty_mail_address(magazine.pk)), None),
        (written(magazine.from_address), magazine.from_address),
    ):
        assert take(magazine, raw, sender).note == "automatic", raw
    assert not ReaderRequest.objects.exists()


@pytest.mark.parametrize(
    ("sender", "envelope"),
    [
        ("a@x.example.jp, b@x.example.jp", "a@x.example.jp"),
        ("", "a@x.example.jp"),
        ("nobody", "a@x.example.jp"),
        ("a@x.example.jp", "spammer@other.example"),
        ("a@x.example.jp", "a@notx.example.jp"),
        ("victim@x.example.jp\r\nFrom: b@x.example.jp", "b@x.example.jp"),
        ("<b>@", "a@x.example.jp"),
        ("髙﨑😀", "a@x.example.jp"),
    ],
)
def test_an_unclear_sender_is_not_answered(magazine, sender, envelope):
    """One From, one mailbox, and an envelope of the same domain."""
    assert take(magazine, written(sender), envelope).note == "sender"
    assert not ReaderRequest.objects.exists()


@pytest.mark.parametrize("envelope", [None, "bounce-1@mail.yamate.example.jp", "YUI@Yamate.Example.JP"])
def test_an_envelope_of_the_same_domain_will_do(magazine, envelope):
    assert take(magazine, None, envelope).changed


def test_return_path_stands_for_the_envelope(magazine):
    """In a mailbox, or from a pipe that does not say."""
    forged = b"Return-Path: <x@other.example>\r\n" + written()
    assert take(magazine, forged, None).note == "sender"
    address = links.empty_mail_address(magazine.pk)
    raw = written("yui@yamate.example.jp", f"Delivered-To: {address}")
    assert receive(raw).changed


def test_what_is_closed_too_large_or_too_often(magazine):
    for name in ("empty_mail", "registration_open"):
        other = make_magazine(f"{name} off", **{"empty_mail": True, name: False})
        assert take(other).note == "closed"
    assert take(make_magazine("a", empty_mail=True, archived_at=timezone.now())).note == "closed"
    assert take(magazine, written(body="x" * 300_000)).note == "large"
    notes = [take(magazine, written("yui@yamate.example.jp", f"X-N: {n}")).note for n in range(5)]
    assert notes == ["", "", "", "too_often", "too_often"]


@pytest.mark.parametrize(
    "raw", [b"", b"\0\xff" * 500, b"From: " + b"(" * 5000, b"From: =?utf-8?b?" + b"A" * 3000]
)
def test_hostile_mails_change_nothing(magazine, raw):
    assert not take(magazine, raw).changed


def test_it_stands_in_the_list_of_what_came_back(magazine, client):
    take(magazine)
    take(magazine, written("yui@yamate.example.jp", "Precedence: bulk"))
    client.force_login(make_user("misaki"))
    page = client.get("/mail/returned/?kind=empty_mail").content.decode()
    assert page.count("空メールによる登録") >= 2
    assert "yui@yamate.example.jp" in page
    assert magazine.name in page
    assert "確認メールを送信" in page
    assert "自動送信またはメーリングリスト" in page


def test_the_command_takes_it(magazine, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written())))
    address = links.empty_mail_address(magazine.pk)
    call_command("receive_mail", "--recipient", address, "--sender", "yui@yamate.example.jp")
    assert magazine.name in capsys.readouterr().out
    assert ReaderRequest.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_listener_takes_it(magazine, listen):  # noqa: F811
    """At RCPT our address only; the envelope's sender counts."""
    with smtplib.SMTP("127.0.0.1", listen(), timeout=60) as connection:
        address = links.empty_mail_address(magazine.pk)
        connection.sendmail("yui@yamate.example.jp", [address.upper()], written())
        connection.sendmail("x@other.example", [address], written("yui@yamate.example.jp"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            connection.sendmail("yui@yamate.example.jp", ["m" + address[3:]], written())
    assert sorted(ReturnedMail.objects.values_list("kind", "note")) == [
        ("empty_mail", ""),
        ("empty_mail", "sender"),
    ]
    assert ReaderRequest.objects.count() == 1
