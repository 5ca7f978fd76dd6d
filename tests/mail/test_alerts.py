"""Mails to the administrators (RATE-2): plain, once an hour, to nobody else, and never counted."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mail.alerts import NOT_AGAIN_FOR, alert_admins
from mail.message import Skeleton
from mail.models import Delivery, TemplateSnapshot
from mail.models.delivery import DeliveryKind
from mail.sent_mail import rebuild
from settings.models import Role
from settings.system_settings import set_setting
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def alert(key="a", subject="件名", text="本文", now=None):
    return alert_admins(subject, text, key=key, now=now or timezone.now())


def test_one_an_hour_per_key():
    make_user()
    now = timezone.now()
    assert len(alert(now=now)) == 1
    assert alert(now=now + NOT_AGAIN_FOR - timedelta(seconds=1)) == []
    assert len(alert("b", now=now)) == 1
    assert len(alert(now=now + NOT_AGAIN_FOR + timedelta(seconds=1))) == 1


def test_the_mail(settings):
    """What a server said is quoted, never interpreted: no merge field, no header of its own."""
    settings.MAIL_DOMAIN = "smp.example"
    make_user("misaki")
    (one,) = alert(
        subject="止まりました\r\nBcc: evil@example.com",
        text="{{ 姓 }} {% if x %} \0 \ud800 <b>\r\n.\r\n終わり",
    )
    one.refresh_from_db()
    built = Skeleton(one.snapshot.content).build(
        one.merge_values, delivery_id=one.pk, lead_id=None, sent_at=timezone.now(), address=one.address
    )
    assert [address for _kind, address in built.recipients] == ["misaki@example.jp"]
    assert "Bcc" not in built.headers and "List-Unsubscribe" not in built.headers
    assert "{{ 姓 }} {% if x %}" in built.text and "終わり" in built.text
    assert built.from_header == "alert@smp.example"
    one.sent_at = timezone.now()
    assert rebuild(one).mail.text == built.text
    alert("b")
    assert TemplateSnapshot.objects.count() == 1


def test_nobody_is_told():
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    assert alert() == [] and Delivery.objects.count() == 0
    kenta.role = Role.PRIVILEGED
    kenta.save()
    set_setting("alert_mails", False, user=None)
    assert alert() == []
    set_setting("alert_mails", True, user=None)
    assert [one.address for one in alert()] == ["kenta@example.jp"]


def test_one_address_gets_one_mail():
    make_user("misaki")
    other = make_user("other")
    other.email = "MISAKI@example.jp"
    other.save()
    assert len(alert()) == 1


def test_histories_show_it_marked(client):
    client.force_login(make_user())
    (one,) = alert(subject="お知らせ")
    html = client.get(reverse("deliveries")).content.decode()
    assert "管理者への通知" in html
    html = client.get(reverse("deliveries"), {"kind": DeliveryKind.ALERT}).content.decode()
    assert reverse("delivery", args=[one.pk]) in html
    assert "管理者への通知" in client.get(reverse("delivery", args=[one.pk])).content.decode()
