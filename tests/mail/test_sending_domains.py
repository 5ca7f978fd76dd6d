"""RATE-4: domains, keys, their rotation; what is asked for every mail."""

import base64
import logging
from datetime import timedelta

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from django.db import connection
from django.utils import timezone

from mail import sending_domains as rules
from mail.models import DkimKey, SendingDomain
from mail.sending_domains import DomainRefused, pool_for, signer_for
from settings.models import AuditEntry, DomainRule
from settings.system_settings import set_setting
from tests.factories import make_user
from tests.mail.domains import DOMAIN, make_domain, publish

MAIL = b"From: info@seminar.example.jp\r\nTo: a@example.com\r\nSubject: hello\r\n\r\nhello\r\n"


def refused(code, function, *args, **values):
    with pytest.raises(DomainRefused) as caught:
        function(*args, **values)
    assert caught.value.code == code


def test_a_domain_comes_with_a_key_that_waits(db):
    now = timezone.now()
    domain = rules.add_domain(" Seminar.Example.JP. ", user=make_user(), now=now)
    key = domain.keys.get()
    day = timezone.localtime(now).strftime("%Y%m%d")
    assert (domain.name, key.state, key.algorithm, key.selector) == (DOMAIN, "waiting", "rsa", f"s{day}a")
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == [
        "sending_domain.add",
        "dkim_key.make",
    ]
    assert signer_for(f"info@{DOMAIN}") is None


@pytest.mark.parametrize(("name", "code"), [("co.jp", "public_suffix"), ("a b.jp", "name"), ("", "name")])
def test_what_cannot_be_a_sending_domain(db, name, code):
    refused(code, rules.add_domain, name, user=None, now=timezone.now())
    assert not SendingDomain.objects.exists()


def test_a_domain_is_registered_once(db):
    make_domain()
    refused("there", rules.add_domain, DOMAIN.upper(), user=None, now=timezone.now())
    assert DkimKey.objects.count() == 1


def test_private_keys_are_encrypted_at_rest(db, settings):
    """RATE-4: what stands in the database is of no use without SMP_SECRET_KEY."""
    key = make_domain().keys.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key FROM mail_dkimkey")
        stored = bytes(cursor.fetchone()[0])
    with pytest.raises(ValueError):
        load_der_private_key(stored, password=None)
    opened = load_der_private_key(rules._opened(key), password=None)
    assert opened.key_size == 2048
    number = opened.private_numbers().p.to_bytes(128, "big")
    assert number not in stored
    assert base64.b64encode(number)[:40] not in stored
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another-secret-of-more-than-32-characters"
    assert rules._opened(key) is None
    settings.SECRET_KEY_FALLBACKS = [former]
    assert rules._opened(key) is not None


def test_rotation_in_two_steps(dns, db):
    """RATE-4: publish → sign → keep the old one → revoke."""
    now = timezone.now()
    domain = make_domain()
    first = domain.keys.get()
    refused("not_published", rules.activate_key, first, user=None, now=now)
    publish(dns, first)
    rules.activate_key(first, user=None, now=now)
    refused("state", rules.revoke_key, first, user=None, now=now)
    refused("state", rules.delete_key, first, user=None)

    second = rules.make_key(domain, "rsa", user=None, now=now)
    assert second.selector[:-1] == first.selector[:-1]
    assert second.selector[-1] == "b"
    refused("waiting", rules.make_key, domain, "rsa", user=None, now=now)
    publish(dns, second)
    rules.activate_key(second, user=None, now=now)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("retiring", "active")

    refused("too_early", rules.revoke_key, first, user=None, now=now + timedelta(days=13, hours=23))
    rules.revoke_key(first, user=None, now=now + timedelta(days=14))
    first.refresh_from_db()
    assert (first.state, bytes(first.private_key), rules.record_of(first)) == (
        "revoked",
        b"",
        "v=DKIM1; k=rsa; p=",
    )
    rules.delete_key(first, user=None)
    assert list(domain.keys.all()) == [second]


def test_a_key_signs_before_it_is_published_only_when_confirmed(dns, db):
    misaki = make_user()
    key = make_domain().keys.get()
    rules.activate_key(key, user=misaki, now=timezone.now(), confirmed=True)
    entry = AuditEntry.objects.get(action="dkim_key.activate")
    assert (entry.user, entry.detail) == (
        misaki,
        {"selector": key.selector, "algorithm": "rsa", "unpublished": True},
    )


def test_an_old_key_outlives_the_longest_retry(dns, db):
    """RATE-4, ERR-3"""
    now = timezone.now()
    domain = make_domain(dns=dns)
    key = domain.keys.get()
    DkimKey.objects.update(state="retiring", retired_at=now)
    key.refresh_from_db()
    assert rules.stays_until(key) == now + timedelta(days=14)
    set_setting("retry_period_hours", 168, user=None)
    assert rules.stays_until(key) == now + timedelta(days=14)
    DomainRule.objects.create(name="遅い宛先", retry_period_hours=24 * 20)
    assert rules.stays_until(key) == now + timedelta(days=21)
    rules.revoke_key(key, user=None, now=now, confirmed=True)
    assert AuditEntry.objects.get(action="dkim_key.revoke").detail["early"] is True


def test_mails_are_signed_so_that_dkimpy_verifies(dns, db):
    """RATE-4: RSA and Ed25519 beside it."""
    now = timezone.now()
    domain = make_domain(dns=dns)
    second = rules.make_key(domain, "ed25519", user=None, now=now)
    publish(dns, second)
    rules.activate_key(second, user=None, now=now)
    records = {
        f"{key.selector}._domainkey.{DOMAIN}.".encode(): rules.record_of(key).encode() for key in domain.keys.all()
    }  # fmt: skip
    signed = signer_for(f"info@{DOMAIN}").sign(MAIL, at=now) + MAIL
    for index in (0, 1):
        assert dkim.DKIM(signed).verify(idx=index, dnsfunc=lambda name, timeout=5: records.get(name))
    assert not dkim.verify(
        signed.replace(b"hello", b"hullo"), dnsfunc=lambda name, timeout=5: records.get(name)
    )


@pytest.mark.parametrize(
    ("address", "signed"),
    [
        (f"info@{DOMAIN}", True),
        (f"INFO@{DOMAIN.upper()}", True),
        (f"info@news.{DOMAIN}", True),
        (f"SMP <info@{DOMAIN}>", True),
        (f"info@not{DOMAIN}", False),
        ("info@example.jp", False),
        ("info@jp", False),
        ("", False),
        ("{{ 担当者メール }}", False),
    ],
)
def test_who_is_signed_for(dns, db, address, signed):
    make_domain(dns=dns)
    assert (signer_for(address) is not None) is signed


def test_the_nearest_registered_domain_signs(dns, db):
    make_domain(dns=dns)
    make_domain(f"news.{DOMAIN}", dns=dns)
    assert signer_for(f"a@x.news.{DOMAIN}").keys[0].domain == f"news.{DOMAIN}"
    assert signer_for(f"a@other.{DOMAIN}").keys[0].domain == DOMAIN


def test_pools_by_purpose(db):
    """RATE-3"""
    domain = make_domain()
    assert rules.change_pools(domain, advertising="adv", notice="calm", user=None)
    assert not rules.change_pools(domain, advertising="adv", notice="calm", user=None)
    address = f"info@{DOMAIN}"
    assert (pool_for(address, "advertising"), pool_for(address, "notice")) == ("adv", "calm")
    assert pool_for("info@other.example", "advertising") == "default"


def test_asked_for_every_mail_the_database_is_asked_now_and_then(dns, db, django_assert_num_queries):
    make_domain(dns=dns)
    rules.forget()
    with django_assert_num_queries(2):
        for number in range(100):
            assert signer_for(f"a{number}@{DOMAIN}") is signer_for(f"info@{DOMAIN}")


def test_a_key_that_cannot_be_read_is_told_and_never_used(dns, db, settings, caplog):
    domain = make_domain(dns=dns)
    settings.SECRET_KEY = "another-secret-of-more-than-32-characters"
    rules.forget()
    rules._signers.clear()
    with caplog.at_level(logging.ERROR):
        assert signer_for(f"info@{DOMAIN}") is None
    assert DOMAIN in caplog.text
    items = {item.code for item in rules.check_now(domain, now=timezone.now())}
    assert {"dkim_key_lost", "dkim_alignment_broken"} <= items
    assert "PRIVATE" not in caplog.text


def test_deleting_a_domain_ends_its_signatures(dns, db):
    domain = make_domain(dns=dns)
    assert signer_for(f"info@{DOMAIN}")
    rules.delete_domain(domain, user=None)
    assert signer_for(f"info@{DOMAIN}") is None
    assert AuditEntry.objects.get(action="sending_domain.delete").target_label == DOMAIN
