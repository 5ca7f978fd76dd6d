"""Bounces fetched from a mailbox: marked only after the commit, harmless when repeated, hostile servers and mails."""

import json
import ssl
import threading
import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from mail.bounces import imap_poll
from mail.bounces.imap_poll import HANDLED, STATUS_KEY, Mailbox, MailboxError, look, mailbox_of, poll
from mail.links import envelope_sender
from mail.management.commands.intake import poll_until
from mail.models import Delivery, ReturnedMail
from tests.factories import make_delivery, make_lead
from tests.imap_server import ImapServer
from tests.mail.returned import bounce, complaint


@pytest.fixture
def mails(db):
    moment = timezone.now() - timedelta(hours=1)
    return [
        make_delivery(
            make_lead(f"p{n}@x.example.jp"), state="sent", code=40000, sent_at=moment, result_at=moment
        )
        for n in range(3)
    ]


def returned(mail):
    return bounce(mail.address, extra=f"Delivered-To: {envelope_sender(mail.pk)}\n")


def mailbox(server, **values):
    return Mailbox("127.0.0.1", server.port, "bounces@example.jp", "secret", tls=False, **values)


@pytest.mark.parametrize("keywords", [True, False])
def test_a_mailbox_is_read_once(mails, keywords):
    """Marked with \\Seen, and with a keyword of ours where the server keeps keywords; never taken again."""
    with ImapServer([returned(mails[0]), b"not ours", complaint(mails[1])], keywords=keywords) as server:
        assert poll(mailbox(server)) == imap_poll.Polled(taken=3, changed=2)
        assert {mail.pk: mail.state for mail in Delivery.objects.all()}[mails[0].pk] == "error"
        flags = {"\\Seen", HANDLED} if keywords else {"\\Seen"}
        assert [mail.flags for mail in server.mails] == [flags] * 3
        assert poll(mailbox(server)) == imap_poll.Polled()
    assert ReturnedMail.objects.count() == 3
    assert set(ReturnedMail.objects.values_list("source", flat=True)) == {"mailbox"}


def test_handled_mails_are_moved_where_wanted(mails):
    with ImapServer([returned(mails[0])]) as server:
        poll(mailbox(server, move_to="Done"))
        assert [(folder, mail.uid) for folder, mail in server.moved] == [("Done", 7)]
        assert server.mails == []


def test_a_crash_between_commit_and_mark_is_harmless(mails):
    """The connection is cut at STORE: what was taken is committed; the next poll takes it again and changes nothing."""
    with ImapServer([returned(mails[0])]) as server:
        server.break_at = "STORE"
        with pytest.raises(MailboxError):
            poll(mailbox(server))
        assert Delivery.objects.get(pk=mails[0].pk).state == "error"
        assert server.mails[0].flags == set()
        server.break_at = ""
        assert poll(mailbox(server)) == imap_poll.Polled(taken=1)
    assert ReturnedMail.objects.count() == 1
    assert mails[0].events.count() == 1


def test_too_early_stays_for_the_next_poll(mails):
    Delivery.objects.filter(pk=mails[0].pk).update(state="handing_over")
    with ImapServer([returned(mails[0]), returned(mails[1])]) as server:
        assert poll(mailbox(server)) == imap_poll.Polled(taken=1, changed=1, later=1)
        Delivery.objects.filter(pk=mails[0].pk).update(state="sent")
        assert poll(mailbox(server)) == imap_poll.Polled(taken=1, changed=1)


def test_the_database_away_marks_nothing(mails, monkeypatch):
    def away(*_args, **_rest):
        raise OperationalError("away")

    with ImapServer([returned(mails[0])]) as server:
        with monkeypatch.context() as patched, pytest.raises(OperationalError):
            patched.setattr(imap_poll, "receive", away)
            poll(mailbox(server))
        assert server.mails[0].flags == set()
        assert poll(mailbox(server)).changed == 1


def test_one_bad_mail_keeps_no_other_back(mails, monkeypatch, caplog):
    real = imap_poll.receive

    def fussy(raw, **rest):
        if b"poison" in raw:
            raise RuntimeError("of a test")
        return real(raw, **rest)

    monkeypatch.setattr(imap_poll, "receive", fussy)
    with ImapServer([b"poison", returned(mails[0])]) as server:
        assert poll(mailbox(server)) == imap_poll.Polled(taken=1, changed=1, failed=1)
        assert server.mails[0].flags == set()


@pytest.mark.parametrize("break_at", ["LOGIN", "SELECT", "SEARCH", "FETCH"])
def test_a_server_that_breaks_off(mails, break_at):
    with ImapServer([returned(mails[0])]) as server:
        server.break_at = break_at
        with pytest.raises(MailboxError, match=r"bounces@example\.jp at 127\.0\.0\.1"):
            poll(mailbox(server))
    assert not ReturnedMail.objects.exists()


def test_a_wrong_password_and_a_missing_folder(mails):
    with ImapServer([]) as server:
        wrong = Mailbox("127.0.0.1", server.port, "bounces@example.jp", "wrong", tls=False)
        with pytest.raises(MailboxError) as refused:
            poll(wrong)
        assert "AUTHENTICATIONFAILED" in str(refused.value)
        assert "wrong" not in str(refused.value).replace("wrong password", "")
        with pytest.raises(MailboxError, match="no such folder"):
            poll(mailbox(server, folder="Elsewhere"))


def test_looking_changes_nothing(mails):
    with ImapServer([returned(mails[0])]) as server:
        assert look(mailbox(server)) == "1"
        assert server.mails[0].flags == set()
        assert any(command.startswith("EXAMINE") for command in server.commands)


@pytest.mark.parametrize(
    ("url", "password", "told"),
    [
        ("pop3://u@h/INBOX", "x", "expected imaps"),
        ("imaps://h/INBOX", "x", "expected imaps"),
        ("imaps://u:secret@h/INBOX", "x", "PASSWORD"),
        ("imaps://u@h/INBOX", "", "is not set"),
        ("imap://u@mail.example.jp/INBOX", "x", "without TLS"),
        ("imaps://u@h:x/INBOX", "x", "SMP_BOUNCE_IMAP"),
        ("imaps://u@h/IN%0d%0aBOX", "x", "ASCII"),
    ],
)
def test_a_wrong_setting_is_named(url, password, told):
    with pytest.raises(MailboxError, match=told):
        mailbox_of(url, password)


def test_a_setting_is_read():
    assert mailbox_of("", "") is None
    assert mailbox_of("imaps://bounces%40example.jp@imap.example.jp/INBOX/Bounces?move=Done", "x") == Mailbox(
        "imap.example.jp", 993, "bounces@example.jp", "x", "INBOX/Bounces", "Done"
    )


def test_the_command(mails, settings, capsys):
    settings.BOUNCE_IMAP = ""
    with pytest.raises(CommandError, match="SMP_BOUNCE_IMAP"):
        call_command("poll_bounces")
    with ImapServer([returned(mails[0])]) as server:
        settings.BOUNCE_IMAP = f"imap://bounces%40example.jp@127.0.0.1:{server.port}/INBOX"
        settings.BOUNCE_IMAP_PASSWORD = "secret"
        call_command("poll_bounces", "--json")
        assert json.loads(capsys.readouterr().out) == {"taken": 1, "changed": 1, "later": 0, "failed": 0}


@pytest.mark.django_db(transaction=True)
def test_intake_polls_until_it_ends(settings):
    """In a thread: a server that is away first is tried again, and the last state is kept for doctor."""
    settings.BOUNCE_IMAP_SECONDS = 0.5
    moment = timezone.now() - timedelta(hours=1)
    mail = make_delivery(
        make_lead("p@x.example.jp"), state="sent", code=40000, sent_at=moment, result_at=moment
    )
    ended = threading.Event()
    with ImapServer([returned(mail)]) as server:
        server.break_at = "SEARCH"
        thread = threading.Thread(target=poll_until, args=(mailbox(server), ended))
        thread.start()
        try:
            wait_for(lambda: (cache.get(STATUS_KEY) or {}).get("error"))
            server.break_at = ""
            wait_for(lambda: Delivery.objects.get().state == "error")
            wait_for(lambda: (cache.get(STATUS_KEY) or {}).get("error") == "")
        finally:
            ended.set()
            thread.join(30)
    assert not thread.is_alive()


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def certificate(folder, name):
    """A self-signed certificate for one name, as files: (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = timezone.now()
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / f"{name}.crt", folder / f"{name}.key"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_tls_is_checked(mails, tmp_path, monkeypatch, name):
    """imaps: a certificate for the right name is taken; another's is refused before the password is said."""
    crt, key = certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(crt))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    with ImapServer([returned(mails[0])], tls=context) as server:
        box = Mailbox("localhost", server.port, "bounces@example.jp", "secret", tls=True)
        if name == "localhost":
            assert poll(box).changed == 1
        else:
            with pytest.raises(MailboxError, match="certificate"):
                poll(box)
            assert server.commands == []
