"""Merge fields of campaigns and applications, for every kind of mail (APP-4, TEST-5, CHR-1, CHR-2)."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.models import ApplicationSession, Session
from campaigns.tickets import read_ticket
from mail.delivery.claim import claim
from mail.delivery.compose import Composer
from mail.links import NOBODY, my_page_url, read_my_page
from mail.merge_fields import merge_fields, values_for
from mail.merge_fields import test_values as field_values_in_test
from mail.message import take_snapshot
from mail.models import Delivery
from mail.test_send import send_test
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_lead,
    make_template,
    make_user,
)

pytestmark = pytest.mark.django_db
START = datetime.fromisoformat("2026-12-22T14:00:00+09:00")
NAMES = [
    "キャンペーン名", "開催日", "開催時間", "会場名", "会場住所", "会場URL", "オンラインURL", "申込番号", "申込状況", "申込日", "選択セッション",
    "申込内容", "受講票URL", "受講票", "申込データ_最新受講票", "マイページURL", "キャンペーンURL", "主催者名", "問い合わせ先", "有効期限",
]  # fmt: skip


def make(**values):
    values.setdefault("starts_at", START)
    values.setdefault("ends_at", START + timedelta(hours=2))
    return make_campaign(values.pop("name", "製造業DXセミナー"), **values)


def values(lead, campaign=None, names=NAMES):
    return values_for([lead], now=timezone.now(), names=names, campaign_id=campaign and campaign.pk)[lead.pk]


def test_every_value_in_japanese_and_english():
    campaign = make(
        name_en="DX seminar", place="both", venue_address="千代田区1-1", venue_url="https://map.example.jp/", slug="dx",
        online_url="https://live.example.jp/", organiser="株式会社エスエムピー", contact="03-0000-0000",
    )  # fmt: skip
    lead = make_lead()
    application = make_application(campaign, lead, created_at=START - timedelta(days=20))
    talk = Session.objects.create(campaign=campaign, title="基調講演", title_en="Keynote", starts_at=START, ends_at=START + timedelta(hours=1))  # fmt: skip
    ApplicationSession.objects.create(application=application, session=talk)
    found = values(lead, campaign)
    assert read_ticket(found["受講票URL"].rpartition("/")[2], now=timezone.now()).application == application
    assert found["受講票URL"] == found["受講票"] == found["申込データ_最新受講票"]
    del found["受講票URL"], found["受講票"], found["申込データ_最新受講票"], found["有効期限"]
    assert found == {
        "キャンペーン名": "製造業DXセミナー", "開催日": "2026年12月22日(火)", "開催時間": "14:00〜16:00", "会場名": "東京国際フォーラム ホールB5",
        "会場住所": "千代田区1-1", "会場URL": "https://map.example.jp/", "オンラインURL": "https://live.example.jp/",
        "申込番号": application.code, "申込状況": "申込", "申込日": "2026年12月2日(水)", "選択セッション": "基調講演 14:00〜15:00", "申込内容": "",
        "マイページURL": my_page_url(lead.pk, NOBODY), "キャンペーンURL": "http://127.0.0.1:8000/e/dx/",
        "主催者名": "株式会社エスエムピー", "問い合わせ先": "03-0000-0000",
    }  # fmt: skip
    application.language = "en"
    application.save()
    names = ["campaign_name", "campaign_date", "campaign_time", "application_state", "chosen_sessions"]
    assert values(lead, campaign, names) == {
        "campaign_name": "DX seminar", "campaign_date": "Tue 22 Dec 2026", "campaign_time": "14:00 - 16:00 (Japan time)",
        "application_state": "Applied", "chosen_sessions": "Keynote 14:00 - 15:00 (Japan time)",
    }  # fmt: skip


@pytest.mark.parametrize("state", ["waiting", "cancelled", "provisional"])
def test_without_a_seat_no_ticket_and_no_online_url(state):
    """TKT-1"""
    campaign = make(place="online", online_url="https://live.example.jp/")
    application = make_application(campaign, state=state)
    found = values(application.lead, campaign)
    assert (found["受講票URL"], found["オンラインURL"], found["有効期限"], found["会場名"]) == (
        "",
        "",
        "",
        "",
    )
    assert found["申込番号"] == application.code


def test_a_campaign_without_tickets_or_at_a_venue_only():
    campaign = make(ticket=False, online_url="https://live.example.jp/")
    found = values(make_application(campaign).lead, campaign)
    assert (found["受講票URL"], found["オンラインURL"]) == ("", "")


def test_which_application_is_meant():
    """In a campaign the lead's own for it, the live one before a cancelled one; in all campaigns the newest live one."""
    first, second, third = make(name="一"), make(name="二"), make(name="三")
    lead = make_lead()
    live = make_application(first, lead)
    make_application(first, lead, state="cancelled")
    newest = make_application(second, lead)
    make_application(third, lead, state="cancelled")
    assert values(lead, first)["申込番号"] == live.code
    assert values(lead, second)["申込番号"] == newest.code
    assert values(lead)["キャンペーン名"] == "二"
    stranger = make_lead("s@b.example.jp")
    assert values(stranger)["キャンペーン名"] == "" and values(stranger)["申込番号"] == ""
    assert values(stranger, first)["キャンペーン名"] == "一" and values(stranger, first)["申込番号"] == ""


def test_days_that_are_not_known_or_several():
    campaign = make(starts_at=None, ends_at=None)
    assert values(make_application(campaign).lead, campaign)["開催日"] == ""
    two = make(ends_at=START + timedelta(days=1))
    assert values(make_application(two).lead, two)["開催日"] == "2026年12月22日(火)〜2026年12月23日(水)"


def test_as_many_queries_for_one_and_many(django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    campaign = make()
    leads = [make_application(campaign).lead for _one in range(4)]
    for lead in leads:
        lead.applications.update(answers={"1": "x"})
    with CaptureQueriesContext(connection) as one:
        values_for(leads[:1], now=timezone.now(), names=NAMES, campaign_id=campaign.pk)
    with django_assert_num_queries(len(one)):
        values_for(leads, now=timezone.now(), names=NAMES, campaign_id=campaign.pk)


def test_a_wizard_mail_in_a_campaign():
    """CHR-1, CHR-2: a campaign's name that ISO-2022-JP cannot carry makes that mail UTF-8; line ends stay out of headers."""
    campaign = make(name="髙﨑𠮷\r\nBcc: x@evil.example")
    lead = make_application(campaign).lead
    template = make_template(
        campaign=campaign,
        charset="iso-2022-jp",
        purpose="notice",
        subject="{{ キャンペーン名 }}",
        text_body="{{ 受講票URL }}",
    )
    make_delivery(lead, kind="automatic", campaign_id=campaign.pk, snapshot=take_snapshot(template))
    (made,) = Composer().make(claim(None, 10))
    assert made.mail.charset == "utf-8" and made.mail.subject == "髙﨑𠮷 Bcc: x@evil.example"
    assert b"\r\nBcc:" not in made.mail.data.split(b"\r\n\r\n")[0]
    assert "/t/" in made.mail.text


def test_a_test_mail_shows_nobodys_ticket(client):
    """TEST-5: the dummy URL, with or without a lead that fits; opened it says so."""
    campaign = make()
    template = make_template(
        campaign=campaign, text_body="{{ 受講票 }} {{ ticket_url }} {{ 確認URL }}", purpose="notice"
    )
    for _time in range(2):
        send_test(template, addresses=["a@b.example.jp"], user=None, now=timezone.now())
        shown = Delivery.objects.first().merge_values
        assert {shown["受講票"], shown["ticket_url"]} == {"http://127.0.0.1:8000/t/test"}
        assert shown["確認URL"] == "(実際のメールに表示されます)"
        make_application(campaign)
    page = client.get("/t/test").content.decode()
    assert "お客様がお申込されている情報ではないため、受講票を表示できません。" in page


def test_the_picker_offers_them(client):
    client.force_login(make_user("misaki"))
    page = client.get(reverse("template_new")).content.decode()
    for word in ("{{ キャンペーン名 }}", "{{ 受講票URL }}", "{{ 申込番号 }}", "自動送信メールのみ"):
        assert word in page
    names = [name for field in merge_fields() for name in field.names]
    assert len(names) == len(set(names))


def test_the_link_to_my_page_says_who_follows_it_but_in_test_mails():
    """WEB-1, TEST-5"""
    lead = make_lead()
    url = values(lead)["マイページURL"]
    assert read_my_page(url.rpartition("/")[2]) == (lead.pk, NOBODY)
    assert read_my_page(field_values_in_test(["マイページURL"])["マイページURL"].rpartition("/")[2]) == (
        NOBODY,
        NOBODY,
    )
