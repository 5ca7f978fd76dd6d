"""「タイムライン」 of a lead, and the hits of one mail (TRK-4, WEB-1)."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.merge import merge
from leads.models import ConsentRecord
from mail.models import StepMail, StepWait
from tests.factories import (
    make_application,
    make_campaign,
    make_counted_url,
    make_delivery,
    make_hit,
    make_lead,
    make_user,
)
from tracking.models import Identification, PageView, TrackedSite, Visitor
from tracking.timeline import timeline
from tracking.timeline_entries import place_of

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)


def ago(hours):
    return NOW - timedelta(hours=hours)


def make_story(lead, campaign=None):
    """One of everything, an hour apart, of the campaign; page views and identifications belong to none."""
    campaign_id = campaign and campaign.pk
    mail = make_delivery(
        lead, state="sent", sent_at=ago(9), decided_at=ago(9), subject="ご案内", campaign_id=campaign_id
    )
    url = make_counted_url(f"https://shop.example.jp/{uuid4()}", "カタログ", campaign=campaign)
    make_hit(mail, at=ago(8))
    make_hit(mail, "click", at=ago(7), url_id=url.pk)
    make_hit(mail, verdict="machine", evidence=["too_soon"], at=ago(6))
    step = StepMail.objects.create(name="お礼", origin="application", campaign=campaign)
    StepWait.objects.create(
        step_mail=step, lead=lead, origin_key=str(uuid4()), origin_at=ago(3), due_at=NOW + timedelta(days=1)
    )
    return mail


def send_step_mail(lead):
    """One whose wait is over, and the mail it became."""
    step = StepMail.objects.create(name="お礼", origin="application")
    mail = make_delivery(lead, kind="step", step_mail_id=step.pk, state="sent", sent_at=ago(1))
    StepWait.objects.create(
        step_mail=step, lead=lead, origin_key=str(uuid4()), origin_at=ago(3), due_at=ago(2), state="decided", delivery_id=mail.pk,
    )  # fmt: skip


@pytest.fixture
def lead():
    """Of all campaigns and of one, everything."""
    lead = make_lead()
    make_story(lead)
    site = TrackedSite.objects.create(name="EC", domain=f"{uuid4()}.example.jp", key=uuid4().hex[:20])
    visitor = Visitor.objects.create(uid=uuid4(), lead_id=lead.pk, first_seen_at=ago(5), last_seen_at=ago(5))
    PageView.objects.create(
        uid=uuid4(), visitor=visitor, site=site, lead_id=lead.pk, linked_at=ago(4), at=ago(5), url="https://ec.example.jp/料金", title="料金表",
    )  # fmt: skip
    Identification.objects.create(
        visitor=visitor, lead_id=lead.pk, at=ago(4), how="application", linked=True, views=1
    )
    ConsentRecord.objects.create(
        lead=lead, at=ago(2), change="granted", evidence="form", source="秘密の出どころ"
    )
    return lead


def kinds(entries):
    return [entry.kind for entry in entries]


def test_one_order_of_everything(lead):
    """TRK-3, WEB-1: the newest first, each with its words"""
    entries, more = timeline(lead.pk, campaign_id=None, limit=50)
    assert kinds(entries) == ["consent", "step", "identified", "view", "open", "click", "open", "mail"]
    assert not more
    click = entries[5]
    assert (click.text, click.tag) == ("カタログ", "クリック")
    assert click.details[0].startswith("https://shop.example.jp/")
    assert [entry.machine for entry in entries if entry.kind == "open"] == [True, False]


def test_pages_go_on_without_gap_or_repetition(lead):
    """Also where several things happened at the very same moment."""
    mail = make_delivery(lead, state="sent", sent_at=ago(9), decided_at=ago(9), subject="同時")
    for _n in range(5):
        make_hit(mail, at=ago(9))
    whole, _more = timeline(lead.pk, campaign_id=None, limit=100)
    for size in (1, 3, 4):
        found, before, more = [], None, True
        while more:
            entries, more = timeline(lead.pk, campaign_id=None, limit=size, before=before)
            found += entries
            before = place_of(str(entries[-1].place))
        assert [entry.place for entry in found] == [entry.place for entry in whole]


@pytest.mark.parametrize(
    "text", ["", "x", "1_2", "99999999T999999999999_1_1_1", "20261120T100000000000_a_1_0", "\0_1_1_1"]
)
def test_a_place_nobody_wrote_is_the_beginning(text):
    assert place_of(text) is None


def test_kinds_and_machines_are_chosen(lead):
    entries, _more = timeline(lead.pk, campaign_id=None, limit=50, kinds=["open", "view"], machines=False)
    assert kinds(entries) == ["view", "open"]


def test_an_application_tells_its_moments():
    """TKT-4: applied, cancelled, attended"""
    campaign = make_campaign("セミナー")
    application = make_application(
        campaign,
        created_at=ago(3),
        applied_at=ago(3),
        attended_at=ago(1),
        state="cancelled",
        cancelled_at=ago(2),
    )
    entries, _more = timeline(application.lead_id, campaign_id=None, limit=50)
    assert [(entry.tag, entry.text) for entry in entries] == [
        ("来場", "セミナー"),
        ("キャンセル", "セミナー"),
        ("申込", "セミナー"),
    ]


def test_a_campaign_sees_what_belongs_to_it(lead):
    """APP-1: no page views, no identification, nothing of others, no source of a consent"""
    ours, theirs = make_campaign("担当"), make_campaign("よそ")
    for campaign in (ours, theirs):
        make_application(campaign, lead, created_at=ago(1), applied_at=ago(1))
        make_story(lead, campaign)
    entries, _more = timeline(lead.pk, campaign_id=ours.pk, limit=100)
    assert sorted(kinds(entries)) == ["application", "click", "consent", "mail", "open", "open", "step"]
    said = " ".join(f"{entry.text} {entry.details}" for entry in entries)
    assert "よそ" not in said and "秘密" not in said
    assert len(timeline(lead.pk, campaign_id=None, limit=100)[0]) == 8 + 2 * 6


def test_the_same_queries_for_one_and_many(lead):
    counts = []
    send_step_mail(lead)
    for _round in (1, 2):
        with CaptureQueriesContext(connection) as queries:
            timeline(lead.pk, campaign_id=None, limit=50)
        counts.append(len(queries))
        for _n in range(3):
            make_story(lead)
            send_step_mail(lead)
            make_application(make_campaign(), lead)
    assert counts[0] == counts[1]


def test_hits_follow_the_mail_when_leads_are_merged(lead):
    """APP-5"""
    survivor = make_lead("survivor@example.jp")
    merge(survivor.pk, [lead.pk], chosen={}, user=make_user(), now=timezone.now())
    found = kinds(timeline(survivor.pk, campaign_id=None, limit=50)[0])
    assert found.count("open") == 2 and found.count("click") == 1 and found.count("mail") == 1


# ---- pages
@pytest.fixture
def misaki(client):
    user = make_user()
    client.force_login(user)
    return user


def test_the_page_and_the_panel(client, misaki, lead):
    for _n in range(3):
        make_story(lead)
    panel = client.get(f"/leads/{lead.pk}/").content.decode().split('id="timeline"')[1].split("</section>")[0]
    assert panel.count('class="entry') == 10
    assert f"/tracking/leads/{lead.pk}/timeline/" in panel
    text = client.get(f"/tracking/leads/{lead.pk}/timeline/").content.decode()
    assert "https://ec.example.jp/料金" in text and "料金表" in text
    assert text.count('class="entry machine"') == 4
    assert "送信から1秒もたたない" not in text or "機械" in text
    narrowed = client.get(
        f"/tracking/leads/{lead.pk}/timeline/?kind=open&machines=0&kind=nonsense"
    ).content.decode()
    assert narrowed.count('class="entry') == 4 and "machine" not in narrowed.split('class="why timeline"')[1]


def test_what_is_written_by_strangers_is_only_text(client, misaki, lead):
    view = PageView.objects.get(lead_id=lead.pk)
    view.title, view.url = "<script>alert(1)</script>", "javascript:alert(2)"
    view.save()
    text = client.get(f"/tracking/leads/{lead.pk}/timeline/").content.decode()
    assert "<script>alert" not in text
    assert 'href="javascript' not in text


def test_a_campaigns_page_of_a_lead(client):
    """APP-1, SYS-1: applicants of the campaign only"""
    kenta = make_user("kenta", role="campaign")
    ours = make_campaign(members=[kenta])
    client.force_login(kenta)
    lead, stranger = make_lead(), make_lead("stranger@example.jp")
    make_application(ours, lead)
    assert client.get(f"/c/{ours.pk}/tracking/leads/{lead.pk}/timeline/?kind=view").status_code == 200
    assert client.get(f"/c/{ours.pk}/tracking/leads/{stranger.pk}/timeline/").status_code == 404
    assert client.get(f"/tracking/leads/{lead.pk}/timeline/").status_code == 403


def test_the_hits_of_one_mail(client, misaki):
    """TRK-4: with agent, address and the evidence in sentences; loaded by the page of the mail"""
    lead = make_lead()
    mail = make_story(lead)
    hit_part = client.get(
        f"/mail/deliveries/{mail.pk}/hits/", headers={"hx-request": "true"}
    ).content.decode()
    assert "<html" not in hit_part
    assert hit_part.count('class="entry') == 3 and "カタログ" in hit_part
    assert "なぜ機械" in hit_part
    alone = client.get(f"/mail/deliveries/{mail.pk}/hits/").content.decode()
    assert "<html" in alone and "カタログ" in alone
    ours = make_campaign()
    assert client.get(f"/c/{ours.pk}/mail/deliveries/{mail.pk}/hits/").status_code == 404
