"""The settings of a magazine (MAG-2, MAG-4, LAW-1), archive and restore."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from mail.magazines.magazines import archive, new_magazine, restore, save_magazine, starter_footer, usable
from mail.models import Magazine
from mail.refused import Refused
from settings.models import AuditEntry
from settings.system_settings import set_setting
from tests.factories import make_job, make_user
from tests.mail.magazine_scene import make_magazine, make_story

pytestmark = pytest.mark.django_db
VALUES = {"name": "週刊 製造業DX", "from_address": "info@seminar.example.jp"}


def save(values=None, **more):
    return save_magazine(VALUES | (values or {}), user=None, now=timezone.now(), **more)


def test_a_new_magazine():
    """MAG-2, MAG-4, MAG-9: the defaults."""
    user = make_user()
    magazine = save_magazine(VALUES, user=user, now=timezone.now(), ip="192.0.2.1")
    magazine.refresh_from_db()
    assert (magazine.leave_does, magazine.blacklist, magazine.double_opt_in) == ("stop", True, True)
    assert magazine.created_by == user
    assert "{{ 配信停止URL }}" in magazine.footer_text
    assert AuditEntry.objects.get(action="magazine.create", user=user).target_label == "週刊 製造業DX"


def test_the_footer_of_the_law():
    """LAW-1: sender, address, contact, and how to leave."""
    for part, value in (
        ("name", "株式会社エスエムピー"),
        ("address", "東京都千代田区"),
        ("contact", "a@b.jp"),
    ):
        set_setting(f"legal_{part}", value, user=None)
    text, html = starter_footer()
    for piece in (
        "送信者: 株式会社エスエムピー",
        "住所: 東京都千代田区",
        "お問い合わせ: a@b.jp",
        "{{ 配信停止URL }}",
    ):
        assert piece in text
        assert piece in html
    assert new_magazine().footer_text == text


@pytest.mark.parametrize("value", [0, 100, -1])
@pytest.mark.parametrize("group", ["no_mailbox", "refused", "full", "temporary", "other"])
def test_thresholds(group, value):
    """MAG-4: 1 to 99, or never."""
    with pytest.raises(ValidationError) as problem:
        save({f"stop_{group}": value})
    assert list(problem.value.error_dict) == [f"stop_{group}"]
    assert not Magazine.objects.exists()
    assert save({f"stop_{group}": 99}).threshold(group) == 99
    assert save({f"stop_{group}": None}).threshold(group) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", " "),
        ("name", "あ" * 101),
        ("from_address", ""),
        ("from_address", "info@"),
        ("from_address", "a@b.jp,c@d.jp"),
        ("reply_to", "a@b.jp; c@d.jp"),
        ("errors_to", "{{ 姓 }}@b.jp"),
        ("leave_does", "nothing"),
    ],
)
def test_what_cannot_be_saved(name, value):
    with pytest.raises(ValidationError) as problem:
        save({name: value})
    assert list(problem.value.error_dict) == [name]


def test_hostile_texts():
    magazine = save(
        {"name": "髙﨑𠮷①㈱😀\r\nBcc: x@y.jp", "footer_text": "a\0\r\nb\r", "from_address": " ｉｎｆｏ@b.jp"}
    )
    magazine.refresh_from_db()
    assert magazine.name == "髙﨑𠮷①㈱😀 Bcc: x@y.jp"
    assert magazine.footer_text == "a\nb\n"
    assert magazine.from_address == "info@b.jp"
    with pytest.raises(ValueError, match="archived_at"):
        save({"archived_at": timezone.now()})


def test_a_change():
    """What differs is told in the audit log; nothing is written when nothing differs."""
    magazine, user = save(), make_user()
    now = magazine.updated_at + timedelta(minutes=1)
    save_magazine({"stop_full": 2, "footer_text": "x"}, magazine=magazine, user=user, now=now)
    entry = AuditEntry.objects.get(action="magazine.change", user=user)
    assert entry.detail["changes"] == {"stop_full": [5, 2]}
    assert entry.detail["changed"] == ["footer_text"]
    save_magazine({"stop_full": 2}, magazine=magazine, user=user, now=now)
    assert AuditEntry.objects.filter(action="magazine.change").count() == 1


def test_two_administrators_at_once():
    magazine = save()
    seen, now = magazine.updated_at, timezone.now()
    save_magazine({"stop_full": 2}, magazine=magazine, user=None, now=now, seen_at=seen)
    with pytest.raises(Refused) as refused:
        save_magazine({"stop_full": 9}, magazine=magazine, user=None, now=now, seen_at=seen)
    assert refused.value.code == "changed"
    magazine.refresh_from_db()
    assert magazine.stop_full == 2


def test_archive_and_restore():
    magazine, now = make_magazine(), timezone.now()
    assert archive(magazine, user=None, now=now)
    assert not archive(magazine, user=None, now=now)
    assert not usable().exists()
    assert restore(magazine, user=None, now=now)
    assert not restore(magazine, user=None, now=now)
    assert list(usable()) == [magazine]
    assert AuditEntry.objects.filter(action__in=["magazine.archive", "magazine.restore"]).count() == 2


@pytest.mark.parametrize(
    ("kind", "state", "job", "allowed"),
    [("step", "running", None, False), ("loop", "running", None, False), ("step", "paused", None, True),
     ("extra", "running", "done", True), ("extra", "running", "reserved", False), ("extra", "running", "sending", False),
     ("extra", "running", "halted", False)],
)  # fmt: skip
def test_not_while_something_runs(kind, state, job, allowed):
    magazine = make_magazine()
    make_story(magazine, kind, state=state)
    if job:
        make_job(magazine=magazine, state=job)
    if allowed:
        assert archive(magazine, user=None, now=timezone.now())
        return
    with pytest.raises(Refused) as refused:
        archive(magazine, user=None, now=timezone.now())
    assert refused.value.code == "running"
