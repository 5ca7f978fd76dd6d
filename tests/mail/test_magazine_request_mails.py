"""The mails of double opt-in (MAG-13), made as the engine makes them."""

import pytest
from django.utils import timezone

from mail import links
from mail.automatic_kinds import is_secret, shown_values
from mail.delivery.claim import claim
from mail.delivery.compose import Composer, Made
from mail.magazines import requests
from mail.models import Delivery
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader

pytestmark = pytest.mark.django_db


def mail_for(magazine, address, language="ja"):
    now = timezone.now()
    requests.ask(magazine, address, {}, way="form", language=language, source="", ip=None, now=now)
    requests.handle_requests(now)
    [made] = Composer().make(claim(None, 10))
    assert isinstance(made, Made), made.text
    return made.mail


@pytest.mark.parametrize(("language", "words"), [("ja", "まだ完了していません"), ("en", "not done yet")])
def test_the_confirmation_mail(language, words):
    """OPT-8 holds for the mail, too. It is a notice from the magazine's sender, to the address that was entered."""
    magazine = make_magazine("髙﨑 {{ 氏名 }} ①㈱ 通信", reply_to="reply@seminar.example.jp")
    mail = mail_for(magazine, "yui@yamate.example.jp", language)
    assert words in mail.text
    assert "髙﨑 {{ 氏名 }} ①㈱ 通信" in mail.subject  # a name is no template
    assert mail.recipients == [("to", "yui@yamate.example.jp")]
    assert mail.from_header == magazine.from_address
    assert "List-Unsubscribe" not in mail.headers
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in mail.data  # RFC 3834: no machine answers it
    url = Delivery.objects.get().given_values["confirm_url"]
    assert url in mail.text
    assert links.is_personal(url)


def test_a_reader_is_told_where_to_leave():
    magazine = make_magazine()
    make_reader(magazine, "yui@yamate.example.jp")
    assert links.leave_url(magazine.pk) in mail_for(magazine, "yui@yamate.example.jp").text


@pytest.mark.parametrize(
    "sender", ["{{ 氏名 }}@x.example.jp", "nobody", "", "a@x.example.jp, b@x.example.jp"]
)
def test_a_sender_that_cannot_be_used_keeps_nobody_from_registering(sender, settings):
    """The system's own is taken."""
    mail = mail_for(make_magazine(from_address=sender), "yui@yamate.example.jp")
    assert mail.from_header == f"noreply@{settings.MAIL_DOMAIN}"


def test_staff_cannot_follow_somebodys_link(client):
    """Whoever has it registers the address: no page of staff shows it."""
    mail_for(make_magazine(), "yui@yamate.example.jp")
    row = Delivery.objects.get()
    assert is_secret(row.mail_kind)
    assert row.given_values["confirm_url"] not in shown_values(row.mail_kind, row.given_values).values()
    client.force_login(make_user("misaki"))
    page = client.get(f"/mail/deliveries/{row.pk}/").content.decode()
    assert row.given_values["confirm_url"] not in page
    assert "アドレスの確認" in page
