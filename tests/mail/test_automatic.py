"""APP-4, TKT-2, NAV-2, TGT-12: what happens to applications becomes mails, in the same transaction."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from campaigns.events import CHANGES, CONFIRM_URL, LOGIN_URL, Event, Happening, announce
from campaigns.models import Application, ApplicationSession, Session
from leads.consent import unsubscribe
from leads.models import Lead
from mail.delivery.claim import claim
from mail.delivery.compose import Composer, Made
from mail.delivery.engine import ALL, deliver
from mail.delivery.failures import recount
from mail.delivery_list import deliveries_matching
from mail.links import NOBODY, my_page_url
from mail.mail_kinds import mail_kind_of
from mail.models import Delivery, MailSettings
from mail.recipients.explain import explain_delivery
from mail.results import ADDRESSED
from smp.lib.mode import url_in
from tests.factories import make_application, make_campaign, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


def tell(event, application=None, *, lead=None, now=None, **values):
    campaign = values.pop("campaign", application.campaign if application else None)
    announce(
        Happening(
            event,
            lead or application.lead,
            now or timezone.now(),
            campaign=campaign,
            application=application,
            **values,
        )
    )


def the_mail(**wanted):
    """The only delivery like this, made as the engine makes it."""
    row = Delivery.objects.get(**wanted)
    made = {one.row.pk: one for one in Composer().make(claim(None, 100))}[row.pk]
    assert isinstance(made, Made), made.text
    return made


def applied(**values):
    start = datetime.fromisoformat("2026-12-22T14:00:00+09:00")
    campaign = make_campaign(
        "髙﨑𠮷①㈱セミナー😀",
        starts_at=start,
        ends_at=start + timedelta(hours=2),
        organiser="株式会社エスエムピー",
        **values,
    )
    return make_application(campaign, make_lead(company="山手製作所"))


def test_an_application_received(django_capture_on_commit_callbacks):
    """APP-4, TGT-12: one row with the decision and its values; CHR-1: nothing in the name becomes "?"."""
    application = applied()
    with django_capture_on_commit_callbacks() as hints:
        tell(Event.RECEIVED, application)
    row = Delivery.objects.get()
    assert (row.kind, row.mail_kind, row.state, row.reason) == ("automatic", "received", "queued", "")
    assert (row.campaign_id, row.application_id) == (application.campaign_id, application.pk)
    assert (row.lead, row.address, row.dm_permission, row.registration) == (
        application.lead, "yoshio@yamate.example.jp", "wanted", "full",
    )  # fmt: skip
    assert len(hints) == 1
    mail = the_mail().mail
    assert mail.subject == "【髙﨑𠮷①㈱セミナー😀】お申し込みを受け付けました"
    assert "山手製作所\n髙橋 𠮷男 様" in mail.text
    assert "日時 : 2026年12月22日(火) 14:00〜16:00\n会場 : 東京国際フォーラム ホールB5\n" in mail.text
    assert application.code in mail.text and "/t/" in mail.text
    assert mail.from_header == "noreply@smp.example" and b"List-Unsubscribe" not in mail.data


def test_switched_off(django_capture_on_commit_callbacks):
    """NAV-2, APP-4: OFF per mail and campaign; the lead's page says why nothing came. Asked for by a person it is sent."""
    application = applied()
    MailSettings.objects.create(kind="received", enabled=True)
    MailSettings.objects.create(kind="received", campaign=application.campaign, enabled=False)
    with django_capture_on_commit_callbacks() as hints:
        tell(Event.RECEIVED, application)
    row = Delivery.objects.get()
    assert (row.state, row.reason, row.next_at) == ("excluded", "automatic_off", None)
    assert hints == []
    assert "メール設定がOFF" in explain_delivery(row).sentence
    assert list(deliveries_matching({"state": ADDRESSED})) == []
    tell(Event.CHANGED, application)
    assert Delivery.objects.get(mail_kind="changed").state == "queued"
    tell(Event.RECEIVED, make_application(make_campaign("別のセミナー"), make_lead("b@b.example.jp")))
    assert Delivery.objects.get(mail_kind="received", lead__email="b@b.example.jp").state == "queued"
    tell(Event.RECEIVED, application, asked=True)
    assert Delivery.objects.filter(mail_kind="received", state="queued").count() == 2


def test_blue_off_holds_where_a_campaign_says_nothing():
    """NAV-2"""
    application = applied()
    MailSettings.objects.create(kind="reminder", enabled=False)
    tell(Event.REMINDER, application)
    assert Delivery.objects.get().reason == "automatic_off"


def test_what_cannot_be_switched_off():
    MailSettings.objects.create(kind="confirm", enabled=False)
    application = applied()
    tell(Event.CONFIRM, application, values={CONFIRM_URL: "https://smp.example/e/confirm/x"})
    assert "\nhttps://smp.example/e/confirm/x\n" in the_mail().mail.text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"deleted_at": timezone.now(), "email": ""}, "deleted"),
        ({"email": "", "email_norm": ""}, "no_address"),
        ({"email": "a b", "email_malformed": True, "email_valid": False}, "malformed_address"),
        ({"email_valid": False, "registration": "provisional"}, "invalid_address"),
        ({"registration": "provisional"}, "provisional"),
        ({"dm_permission": "unwanted"}, ""),
    ],
)
def test_the_first_reason_that_applies(values, reason):
    """TGT-12, EXC-1: for a business notice; DM許可 does not count."""
    application = make_application(make_campaign(), make_lead(**values))
    tell(Event.RECEIVED, application)
    row = Delivery.objects.get()
    assert (row.reason, row.state) == (reason, "excluded" if reason else "queued")


def test_opt_out_does_not_stop_business_notices():
    """OPT-6: neither at the decision nor at the last moment, because it is no advertising."""
    application = applied()
    unsubscribe(application.lead, evidence="one_click", source="", ip=None, now=timezone.now())
    application.lead.refresh_from_db()
    tell(Event.RECEIVED, application)
    made = the_mail()
    assert made.purpose == "notice" and "List-Unsubscribe" not in made.mail.headers


def test_provisional_leads_are_told_what_they_need_only():
    """TGT-12: the confirmation and their my page, nothing else."""
    lead = make_lead(registration="provisional")
    application = make_application(make_campaign(), lead, state="provisional")
    for event in Event:
        tell(event, application)
    mailed = set(Delivery.objects.filter(state="queued").values_list("mail_kind", flat=True))
    assert mailed == {"confirm", "my_page_login", "my_page_password", "my_page_changed", "address_confirm", "address_changed"}  # fmt: skip
    assert set(Delivery.objects.exclude(state="queued").values_list("reason", flat=True)) == {"provisional"}


def test_a_rollback_tells_nobody(django_capture_on_commit_callbacks):
    application = applied()
    with django_capture_on_commit_callbacks() as hints, pytest.raises(RuntimeError), transaction.atomic():
        tell(Event.RECEIVED, application)
        raise RuntimeError
    assert (Delivery.objects.count(), hints) == (0, [])


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_event_has_a_text(event, language):
    """APP-4: subject and body in the applicant's language, with nothing left to merge."""
    campaign = make_campaign("製造業DXセミナー", name_en="DX seminar", contact="03-0000-0000", place="both", venue_name="Forum",
                             online_url="https://live.example.jp/1", staff_addresses="staff@seminar.example.jp")  # fmt: skip
    application = make_application(campaign, make_lead(language=language), language=language)
    url = "https://smp.example/once"
    values = {CONFIRM_URL: url, LOGIN_URL: url, "パスワード設定URL": url, CHANGES: "会社名: 山手製作所"}
    tell(event, application, values=values)
    mail = the_mail(lead=application.lead).mail
    assert "{" not in mail.text + mail.subject and "\n\n\n" not in mail.text
    if event not in {
        Event.TICKET_REISSUED, Event.MY_PAGE_LOGIN, Event.MY_PAGE_PASSWORD, Event.MY_PAGE_CHANGED, Event.ADDRESS_CONFIRM,
        Event.ADDRESS_CHANGED,
    }:  # fmt: skip
        assert ("DX seminar" if language == "en" else "製造業DXセミナー") in mail.subject
    if event in {Event.CONFIRM, Event.MY_PAGE_LOGIN, Event.MY_PAGE_PASSWORD, Event.ADDRESS_CONFIRM}:
        assert f"\n{url}\n" in mail.text
    if event in {Event.CHANGED, Event.MY_PAGE_CHANGED}:
        assert "会社名: 山手製作所" in mail.text
    japanese = any("\u3040" < letter < "\u30ff" for letter in mail.text.replace("セミナー", ""))
    assert japanese == (language == "ja")


def test_the_ticket_mail_has_its_subject():
    """TKT-2: 「受講票アクセスURL再発行のお知らせ」, and the URL that was made for it."""
    application = applied()
    tell(
        Event.TICKET_REISSUED,
        application,
        values={"受講票URL": "https://smp.example/t/new", "有効期限": "2026-12-01 10:00"},
    )
    mail = the_mail().mail
    assert mail.subject == "受講票アクセスURL再発行のお知らせ"
    assert "受講票 : https://smp.example/t/new\n有効期限 : 2026-12-01 10:00\n" in mail.text


def test_the_very_application_is_meant():
    """APP-4: cancelled and applied again, the mail of the cancelled one still speaks of that."""
    cancelled = applied()
    Application.objects.filter(pk=cancelled.pk).update(state="cancelled", cancelled_at=timezone.now())
    cancelled.refresh_from_db()
    tell(Event.CANCELLED, cancelled)
    again = make_application(cancelled.campaign, cancelled.lead)
    text = the_mail().mail.text
    assert cancelled.code in text and again.code not in text and "/t/" not in text


def test_to_staff():
    """APP-4: one mail an address, once each, however they are separated; OFF for itself; no lead, so nobody's history."""
    application = applied(
        staff_addresses="a@seminar.example.jp, A@seminar.example.jp;b@seminar.example.jp、none"
    )
    tell(Event.RECEIVED, application)
    staff = Delivery.objects.filter(mail_kind="received_staff").order_by("address")
    assert [(row.address, row.state, row.reason, row.lead) for row in staff] == [
        ("a@seminar.example.jp", "queued", "", None),
        ("b@seminar.example.jp", "queued", "", None),
        ("none", "excluded", "malformed_address", None),
    ]
    mail = the_mail(address="a@seminar.example.jp").mail
    assert mail.subject == "[申込完了] 髙﨑𠮷①㈱セミナー😀 / 髙橋 𠮷男 様"
    assert "E-mail : yoshio@yamate.example.jp\n" in mail.text
    assert f"/c/{application.campaign_id}/leads/{application.lead_id}/" in mail.text
    assert mail.recipients == [("to", "a@seminar.example.jp")]
    MailSettings.objects.create(kind="received_staff", enabled=False)
    tell(Event.RECEIVED, application)
    assert Delivery.objects.filter(mail_kind="received_staff").count() == 3


def test_a_thousand_at_once(django_assert_max_num_queries, django_assert_num_queries):
    """APP-4: a CSV file of a thousand is decided in as many queries as one of thirty; staff are told once."""
    campaign = make_campaign(
        staff_addresses="staff@seminar.example.jp", online_url="https://live.example.jp/"
    )
    now = timezone.now()
    leads = Lead.objects.bulk_create(
        Lead(email=f"p{n}@b.example.jp", email_norm=f"p{n}@b.example.jp", last_name="髙﨑")
        for n in range(1000)
    )
    applications = Application.objects.bulk_create(
        Application(
            campaign=campaign, lead=lead, state="applied", way="csv", applied_at=now, token=uuid.uuid4()
        )
        for lead in leads
    )
    happenings = [
        Happening(Event.RECEIVED, lead, now, campaign=campaign, application=application)
        for lead, application in zip(leads, applications, strict=True)
    ]
    announce(*happenings[:30])  # the text is stored once, by whoever comes first
    Delivery.objects.all().delete()
    with django_assert_max_num_queries(40) as few:
        announce(*happenings[:30])
    with django_assert_num_queries(len(few)):
        announce(*happenings[30:])
    assert Delivery.objects.filter(mail_kind="received", state="queued").count() == 1000
    assert Delivery.objects.filter(mail_kind="received").values("snapshot").distinct().count() == 1
    assert Delivery.objects.filter(mail_kind="received_staff").count() == 2
    Delivery.objects.filter(mail_kind="received").delete()
    assert "/ 970件" in the_mail(mail_kind="received_staff", given_values__件数="970").mail.subject


def test_a_reminder_goes_out_once():
    """APP-4: announced twice, even in one breath, it is one mail."""
    application = applied()
    one = Happening(Event.REMINDER, application.lead, timezone.now(), application.campaign, application)
    announce(one, one)
    announce(one)
    assert Delivery.objects.count() == 1


def test_line_ends_in_values_never_reach_a_header():
    """CHR-2: a campaign's name or what was changed may hold anything."""
    application = applied()
    application.campaign.name = "セミナー\r\nBcc: x@evil.example\x00"
    make_template_of(application.campaign, "received", subject="{{ キャンペーン名 }} {{ 変更内容 }}")
    tell(Event.RECEIVED, application, values={CHANGES: "a\r\nX-Evil: 1\0"})
    made = the_mail()
    assert made.mail.subject == "セミナー Bcc: x@evil.example a X-Evil: 1"
    head = made.mail.data.split(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in head and b"\r\nX-Evil" not in head
    assert [address for _kind, address in made.mail.recipients] == ["yoshio@yamate.example.jp"]


def make_template_of(campaign, kind, **values):
    values.setdefault("purpose", "notice")
    template = make_template("申込受付の文面", campaign=campaign, **values)
    MailSettings.objects.create(kind=kind, campaign=campaign, template=template)
    return template


def test_a_template_of_ones_own():
    """NAV-2: with its sender, unless one is set for this mail; HTML values are escaped; it counts as sent (EXC-2)."""
    application = applied()
    template = make_template_of(
        application.campaign,
        "received",
        form="html",
        html_body="<p>{{ キャンペーン名 }} {{ 申込状況 }}</p>",
        cc="c@seminar.example.jp",
    )
    application.campaign.name = "<b>A&B</b>"
    tell(Event.RECEIVED, application)
    made = the_mail()
    assert made.mail.html == "<p>&lt;b&gt;A&amp;B&lt;/b&gt; 申込</p>\n"
    assert made.mail.from_header == "info@seminar.example.jp"
    assert ("cc", "c@seminar.example.jp") in made.mail.recipients
    assert Delivery.objects.get().template == template
    MailSettings.objects.filter(kind="received").update(from_address="seminar@seminar.example.jp")
    tell(Event.RECEIVED, application)
    assert the_mail(state="queued").mail.from_header == "seminar@seminar.example.jp"


@pytest.mark.parametrize(
    "change", [{"purpose": "advertising"}, {"archived_at": timezone.now()}, {"text_body": "{% if %}"}]
)
def test_a_template_that_cannot_be_used_any_more(change):
    """NAV-2, OPT-4: an application never fails because of it; the text of the product is sent."""
    application = applied()
    template = make_template_of(application.campaign, "received")
    type(template).objects.filter(pk=template.pk).update(**change)
    tell(Event.RECEIVED, application)
    made = the_mail()
    assert (
        made.mail.subject == "【髙﨑𠮷①㈱セミナー😀】お申し込みを受け付けました" and made.purpose == "notice"
    )
    assert Delivery.objects.get().template is None


def test_senders_fall_back_field_by_field():
    """NAV-2: the campaign's, the all-campaign mode's, the templates' defaults, the system's."""
    application = applied()
    MailSettings.objects.create(
        kind="template",
        from_address="news@seminar.example.jp",
        from_name="広報",
        bcc="boss@seminar.example.jp",
    )
    tell(Event.RECEIVED, application)
    mail = the_mail().mail
    assert mail.from_header == "news@seminar.example.jp" and mail.recipients == [
        ("to", "yoshio@yamate.example.jp")
    ]
    MailSettings.objects.create(
        kind="received", from_address="all@seminar.example.jp", reply_to="r@seminar.example.jp"
    )
    MailSettings.objects.create(
        kind="received", campaign=application.campaign, from_name="事務局", bcc="b@seminar.example.jp"
    )
    tell(Event.RECEIVED, application)
    mail = the_mail(state="queued").mail
    assert mail.from_header == "all@seminar.example.jp" and ("bcc", "b@seminar.example.jp") in mail.recipients
    assert b"Reply-To: r@seminar.example.jp" in mail.data


def test_a_login_link_goes_to_its_address_only():
    """APP-4: whatever To, CC and BCC a template or the settings name."""
    lead = make_lead()
    template = make_template(
        "x",
        purpose="notice",
        to="{{ メールアドレス }}, other@b.example.jp",
        cc="c@b.example.jp",
        text_body="{{ ログインURL }}",
    )
    MailSettings.objects.create(kind="my_page_login", template=template, bcc="b@b.example.jp")
    tell(Event.MY_PAGE_LOGIN, lead=lead, values={LOGIN_URL: "https://smp.example/my/in/x"})
    made = the_mail()
    assert made.mail.recipients == [("to", "yoshio@yamate.example.jp")]
    assert made.mail.text.strip() == "https://smp.example/my/in/x"


def test_the_address_that_is_to_be_confirmed():
    """APP-4: it goes to the new address, whatever is known of the old one."""
    lead = make_lead(email_valid=False)
    tell(
        Event.ADDRESS_CONFIRM,
        lead=lead,
        address="new@b.example.jp",
        values={CONFIRM_URL: "https://smp.example/x"},
    )
    assert the_mail().mail.recipients == [("to", "new@b.example.jp")]
    tell(Event.ADDRESS_CONFIRM, lead=lead, address="no address")
    assert Delivery.objects.get(state="excluded").reason == "malformed_address"


def test_what_was_chosen_and_answered():
    """APP-2: sessions and questions in the mail, choices by their labels."""
    application = applied(session_choice="several")
    item = application.campaign.form_items.create(
        source="question", type="multiple", label="業種", choices=[{"key": "a1", "label": "製造"}, {"key": "a2", "label": "小売"}]
    )  # fmt: skip
    application.answers = {item.key: ["a1", "a2"]}
    talk = Session.objects.create(
        campaign=application.campaign, title="基調講演", starts_at=application.campaign.starts_at
    )
    ApplicationSession.objects.create(application=application, session=talk)
    tell(Event.RECEIVED, application)
    text = the_mail().mail.text
    assert "お申し込みのセッション :\n基調講演 14:00〜\n" in text
    assert "業種: 製造、小売" in text


def test_every_event_is_a_kind():
    """NAV-2"""
    assert all(mail_kind_of(event.value) for event in Event)


def test_in_the_history(client):
    """RES-4, EXC-6: as 自動送信 with its name, to be filtered by it; the mail and the lead's page say so too."""
    client.force_login(make_user("misaki"))
    application = applied()
    tell(Event.RECEIVED, application)
    tell(Event.CHANGED, application)
    page = client.get(reverse("deliveries"), {"mail_kind": "received"}).content.decode()
    assert "自動送信: 申込完了" in page and "自動送信: 申込内容の変更" not in page
    assert client.get(reverse("deliveries"), {"mail_kind": "nothing"}).status_code == 422
    row = Delivery.objects.get(mail_kind="changed")
    page = client.get(reverse("delivery", args=[row.pk])).content.decode()
    assert "「申込内容の変更」メールとして自動送信" in page and "標準の文面" in page
    inside = client.get(url_in(application.campaign_id, "deliveries")).content.decode()
    assert "自動送信: 申込完了" in inside and "自動送信: 申込内容の変更" in inside
    lead = client.get(reverse("lead", args=[application.lead_id])).content.decode()
    assert "「申込完了」メールとして自動送信" in lead


def test_the_list_of_the_history_asks_as_much_for_three(client, django_assert_num_queries):
    client.force_login(make_user("misaki"))
    application = applied()
    tell(Event.RECEIVED, application)
    client.get(reverse("deliveries"))
    with CaptureQueriesContext(connection) as one:
        client.get(reverse("deliveries"))
    tell(Event.CHANGED, application)
    tell(Event.CANCELLED, application)
    with django_assert_num_queries(len(one)):
        client.get(reverse("deliveries"))


@pytest.mark.django_db(transaction=True)
def test_the_engine_sends_them(sink):
    """APP-4: from the announcement to the receiver's server, the staff's copy too."""
    application = applied(staff_addresses="staff@seminar.example.jp")
    tell(Event.RECEIVED, application)
    deliver(ALL, until=timezone.now() + timedelta(seconds=30))
    assert set(Delivery.objects.values_list("address", "state", "code")) == {
        ("yoshio@yamate.example.jp", "sent", 40000), ("staff@seminar.example.jp", "sent", 40000),
    }  # fmt: skip
    to = sorted(mail["recipients"][0] for mail in sink.mails)
    assert to == ["staff@seminar.example.jp", "yoshio@yamate.example.jp"]


def test_a_failed_notice_to_another_address_is_not_the_leads_failure():
    """FLAG-1: the mail to an address that is only to be confirmed says nothing about the lead's own."""
    lead = make_lead()
    common = {"kind": "automatic", "lead": lead, "state": "error", "code": 42550, "decided_at": timezone.now(),
              "result_at": timezone.now(), "cause": "no_mailbox"}  # fmt: skip
    Delivery.objects.create(**common, address="new@b.example.jp")
    assert recount([lead.pk], now=timezone.now()) == {lead.pk: 0}
    Delivery.objects.create(**common, address=lead.email)
    assert recount([lead.pk], now=timezone.now()) == {lead.pk: 1}


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("event", [Event.CONFIRM, Event.ADDRESS_CONFIRM])
def test_a_name_is_not_sent_to_an_address_nobody_confirmed(event, language):
    """Whoever fills in a form with a stranger's address cannot write to it."""
    lead = make_lead(last_name="Win a prize", first_name="https://evil.example", company="https://evil.example", registration="provisional")  # fmt: skip
    application = make_application(make_campaign(), lead, state="provisional", language=language)
    tell(event, application, values={CONFIRM_URL: "https://smp.example/x"}, address="stranger@b.example.jp")
    text = the_mail().mail.text
    assert "evil" not in text and "prize" not in text and "https://smp.example/x" in text


def test_the_link_to_my_page_says_who_follows_it_in_the_leads_own_mail_only():
    """WEB-1: not in a mail to staff"""
    campaign = make_campaign(staff_addresses="staff@seminar.example.jp")
    application = make_application(campaign)
    tell(Event.RECEIVED, application)
    to_lead = Delivery.objects.get(lead=application.lead)
    assert to_lead.given_values["マイページURL"] == my_page_url(application.lead.pk, NOBODY)
    to_staff = Delivery.objects.get(lead=None)
    assert "/m/" not in str(to_staff.given_values)
