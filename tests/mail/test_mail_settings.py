"""NAV-2 「メール設定」 of automatic mails, in both modes."""

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.events import LOGIN_URL, Event, Happening, announce
from campaigns.notices import is_on
from mail.delivery.claim import claim
from mail.delivery.compose import Composer
from mail.mail_kinds import in_force
from mail.models import Delivery, MailSettings, MailTemplate
from settings.audit_labels import detail_lines
from settings.models import AuditEntry
from smp.lib.mode import url_in
from tests.factories import make_application, make_campaign, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign():
    return make_campaign("髙﨑𠮷セミナー", staff_addresses="staff@seminar.example.jp")


@pytest.fixture
def kenta(client, campaign):
    """The administrator of one campaign."""
    user = make_user("kenta", role="campaign")
    campaign.members.add(user)
    client.force_login(user)
    return user


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def at(campaign, name, *args):
    return url_in(campaign.pk, name, *args)


def data(**values):
    return {
        "enabled": "on", "template": "", "from_address": "", "from_name": "", "cc": "", "bcc": "", "reply_to": "",
        "errors_to": "",
    } | values  # fmt: skip


def held(kind, campaign=None):
    return in_force([kind], [campaign and campaign.pk])[kind, campaign and campaign.pk]


def test_the_list_in_orange(client, kenta, campaign):
    """NAV-2, TKT-2: the campaign's mails with their labels; my page's mails belong to all campaigns."""
    page = client.get(at(campaign, "mail_settings")).content.decode()
    for label in (
        "申込完了",
        "申込完了(担当者宛)",
        "リマインド",
        "受講票URL再発行通知",
        "キャンセル待ち繰り上げ",
    ):
        assert label in page
    assert "マイページ: ログインURL" not in page and "1日前の10:00に送信" in page


def test_the_list_in_blue(client, misaki):
    page = client.get(reverse("mail_settings")).content.decode()
    assert "マイページ: ログインURL" in page and "受講票URL再発行通知" in page


def test_the_switch_of_the_ticket_mail(client, kenta, campaign, django_capture_on_commit_callbacks):
    """TKT-2: 「受講票URL再発行通知」 ON/OFF in the campaign, audited; pressed twice it stays."""
    assert is_on(Event.TICKET_REISSUED, campaign)
    for _time in range(2):
        response = client.post(at(campaign, "mail_settings_switch", "ticket_reissued"), {"enabled": "off"})
        assert response["Location"] == at(campaign, "mail_settings")
    assert not is_on(Event.TICKET_REISSUED, campaign)
    assert is_on(Event.TICKET_REISSUED, make_campaign("別のセミナー"))
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail["switched"], entry.user) == ("mail_settings.change", "OFF", kenta)
    assert dict(detail_lines(entry))["種別"] == "受講票URL再発行通知"
    assert "「受講票URL再発行通知」をOFFにしました" in client.get(response["Location"]).content.decode()
    client.post(at(campaign, "mail_settings_switch", "ticket_reissued"), {"enabled": "on"})
    assert is_on(Event.TICKET_REISSUED, campaign)


def test_what_cannot_be_switched(client, misaki, campaign):
    for kind in ("confirm", "template", "nothing"):
        assert client.post(at(campaign, "mail_settings_switch", kind), {"enabled": "off"}).status_code == 404
    assert client.post(at(campaign, "mail_settings_switch", "received"), {"enabled": "x"}).status_code == 404
    assert client.get(at(campaign, "mail_settings_switch", "received")).status_code == 405
    assert "enabled" not in client.get(at(campaign, "mail_settings_edit", "confirm")).context["form"].fields
    assert MailSettings.objects.count() == 0


def test_settings_of_a_campaign_and_of_all(client, misaki, campaign):
    """NAV-2: saved per campaign; an empty field is as in the all-campaign mode, and shown so."""
    values = data(from_address="all@seminar.example.jp", bcc="boss@seminar.example.jp")
    assert client.post(reverse("mail_settings_edit", args=["received"]), values).status_code == 302
    form = client.get(at(campaign, "mail_settings_edit", "received")).context["form"]
    assert form["from_address"].value() == ""
    assert form.fields["from_address"].widget.attrs["placeholder"] == "all@seminar.example.jp"
    client.post(at(campaign, "mail_settings_edit", "received"), data(from_name="事務局", enabled=""))
    sender = held("received", campaign).sender
    assert (sender["from_address"], sender["from_name"], sender["bcc"]) == (
        "all@seminar.example.jp", "事務局", "boss@seminar.example.jp",
    )  # fmt: skip
    assert (held("received").enabled, held("received", campaign).enabled) == (True, False)
    assert held("received").sender["from_name"] == ""


def test_the_reminders_days_and_time(client, kenta, campaign):
    url = at(campaign, "mail_settings_edit", "reminder")
    assert client.post(url, data(days_before="3", at="09:30")).status_code == 302
    assert held("reminder", campaign).options == {"days_before": 3, "at": "09:30"}
    assert held("reminder").options == {"days_before": 1, "at": "10:00"}
    assert "3日前の09:30に送信" in client.get(at(campaign, "mail_settings")).content.decode()
    for wrong in ({"days_before": "31", "at": "09:30"}, {"days_before": "-1", "at": "09:30"}, {"days_before": "1", "at": "25:00"}):  # fmt: skip
        assert client.post(url, data(**wrong)).status_code == 422
    assert held("reminder", campaign).options == {"days_before": 3, "at": "09:30"}


def test_only_usable_templates_of_the_campaign(client, kenta, campaign):
    """NAV-2, OPT-4: a business notice of this campaign; others are refused with the reason."""
    url = at(campaign, "mail_settings_edit", "received")
    good = make_template("お礼", campaign=campaign, purpose="notice")
    advertising = make_template("ご案内", campaign=campaign)
    foreign = make_template("よそ", campaign=make_campaign("別"), purpose="notice")
    blue = make_template("全体", purpose="notice")
    broken = make_template("壊れた", campaign=campaign, purpose="notice", text_body="{{ 無い項目 }}")
    page = client.post(url, data(template=advertising.pk))
    assert page.status_code == 422 and "目的が「広告宣伝」です" in page.content.decode()
    for other in (foreign, blue):
        page = client.post(url, data(template=other.pk))
        assert page.status_code == 422 and other.name not in page.content.decode()
    assert "先に修正が必要です" in client.post(url, data(template=broken.pk)).content.decode()
    assert client.post(url, data(template=good.pk)).status_code == 302
    assert held("received", campaign).template == good
    assert "お礼" in client.get(at(campaign, "mail_settings")).content.decode()


def test_a_template_without_what_the_mail_is_about(client, misaki):
    """APP-4: a login mail without its link would help nobody; in the subject it would be seen."""
    url = reverse("mail_settings_edit", args=["my_page_login"])
    without = make_template("なし", purpose="notice")
    assert "{{ ログインURL }} がありません" in client.post(url, data(template=without.pk)).content.decode()
    subject = make_template("件名", purpose="notice", subject="{{ login_url }}", text_body="{{ login_url }}")
    assert "件名から外してください" in client.post(url, data(template=subject.pk)).content.decode()
    good = make_template("よし", purpose="notice", text_body="{{ login_url }}")
    assert client.post(url, data(template=good.pk)).status_code == 302
    form = client.get(url).context["form"]
    assert "cc" not in form.fields and "bcc" not in form.fields


@pytest.mark.parametrize(
    ("language", "word"), [("ja", "誠にありがとうございます"), ("en", "Thank you for applying")]
)
def test_the_standard_text_as_a_template(client, kenta, campaign, language, word):
    """NAV-2: made, chosen and opened for editing; it can be chosen again and sent."""
    response = client.post(at(campaign, "mail_settings_template", "received"), {"language": language})
    template = MailTemplate.objects.get()
    assert response["Location"] == at(campaign, "template_edit", template.pk)
    assert (template.campaign, template.purpose, template.created_by) == (campaign, "notice", kenta)
    assert word in template.text_body
    assert held("received", campaign).template == template
    url = at(campaign, "mail_settings_edit", "received")
    assert client.post(url, data(template=template.pk)).status_code == 302
    assert client.get(response["Location"]).status_code == 200


@pytest.mark.parametrize(
    "kind", ["confirm", "ticket_reissued", "received_staff", "reminder", "my_page_password"]
)
def test_every_standard_text_may_be_chosen_as_a_template(client, misaki, kind):
    client.post(reverse("mail_settings_template", args=[kind]))
    template = MailTemplate.objects.get()
    extra = {"days_before": "1", "at": "10:00"} if kind == "reminder" else {}
    assert (
        client.post(
            reverse("mail_settings_edit", args=[kind]), data(template=template.pk, **extra)
        ).status_code
        == 302
    )


def test_a_test_of_each(client, kenta, campaign):
    """TEST-1, TEST-5: with an applicant's data, but nobody's ticket and no link that works; marked as a test."""
    application = make_application(campaign, make_lead(last_name="髙﨑"))
    for kind in ("received", "received_staff", "ticket_reissued"):
        url = at(campaign, "mail_settings_test", kind)
        assert client.get(url).status_code == 200
        response = client.post(url, {"addresses": "kenta@example.jp"})
        assert response["Location"] == at(campaign, "mail_settings_edit", kind)
        row = Delivery.objects.get(mail_kind=kind)
        assert (row.kind, row.campaign_id, row.lead) == ("test", campaign.pk, None)
        mail = Composer().make([one for one in claim(None, 10) if one.pk == row.pk])[0].mail
        assert mail.subject.startswith("【テスト】") and mail.recipients == [("to", "kenta@example.jp")]
        assert application.code in mail.text or kind == "ticket_reissued"
        if kind != "received_staff":
            assert "http://127.0.0.1:8000/t/test\n" in mail.text
    assert AuditEntry.objects.filter(action="mail_settings.test_send").count() == 3


def test_a_test_in_english(client, misaki, campaign):
    make_application(campaign, make_lead())
    client.post(
        at(campaign, "mail_settings_test", "waiting"), {"addresses": "a@example.jp", "language": "en"}
    )
    row = Delivery.objects.get()
    assert "waiting list" in row.snapshot.content["subject"] and "年" not in row.merge_values["campaign_date"]
    page = client.post(at(campaign, "mail_settings_test", "waiting"), {"addresses": "no"})
    assert page.status_code == 422


def test_the_preview_shows_both_languages(client, kenta, campaign):
    page = client.get(at(campaign, "mail_settings_edit", "received")).content.decode()
    assert "お申し込みを受け付けました" in page and "Your application was received" in page
    assert page.count("この文面をテンプレートにして編集する") == 2


def test_a_campaign_administrator_changes_only_the_campaign(client, kenta, campaign):
    """SYS-1, APP-1: nothing of all campaigns, nothing of another campaign."""
    other = make_campaign("別のセミナー")
    for name, method in (("mail_settings_edit", "get"), ("mail_settings_switch", "post"), ("mail_settings_template", "post"), ("mail_settings_test", "post")):  # fmt: skip
        assert getattr(client, method)(reverse(name, args=["received"])).status_code == 403
        assert getattr(client, method)(at(other, name, "received")).status_code == 403
        assert getattr(client, method)(at(campaign, name, "my_page_login")).status_code == 404
    assert (MailSettings.objects.count(), MailTemplate.objects.count(), Delivery.objects.count()) == (0, 0, 0)


def test_a_viewer_looks_only(client, campaign):
    client.force_login(make_user("yui", role="viewer"))
    page = client.get(at(campaign, "mail_settings"))
    assert page.status_code == 200 and "mail-settings/received" not in page.content.decode()
    assert (
        client.post(at(campaign, "mail_settings_switch", "received"), {"enabled": "off"}).status_code == 403
    )


def test_as_many_queries_for_any_number_of_settings(client, misaki, campaign, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as empty:
        client.get(at(campaign, "mail_settings"))
    for kind in ("received", "changed", "reminder"):
        template = make_template(kind, campaign=campaign, purpose="notice")
        MailSettings.objects.create(kind=kind, campaign=campaign, template=template)
    with django_assert_num_queries(len(empty)):
        client.get(at(campaign, "mail_settings"))


def test_links_of_login_mails_stay_with_their_reader(client, misaki):
    """APP-4: staff see the mail without its link, in every view of it, and cannot send it again."""
    link = "https://smp.example/my/in/secret"
    announce(Happening(Event.MY_PAGE_LOGIN, make_lead(), timezone.now(), values={LOGIN_URL: link}))
    (made,) = Composer().make(claim(None, 10))
    row = Delivery.objects.get()
    assert link in made.mail.text
    Delivery.objects.filter(pk=row.pk).update(
        state="sent", snapshot=made.snapshot_id, merge_values={**row.given_values, "氏名": "x"}, sent_at=timezone.now(),
        subject=made.mail.subject,
    )  # fmt: skip
    for name in ("delivery", "delivery_source"):
        page = client.get(reverse(name, args=[row.pk]))
        assert page.status_code == 200 and b"my/in/secret" not in page.content
    page = client.get(reverse("delivery", args=[row.pk])).content.decode()
    assert "有効なURLのため、この画面には表示しません" in page
    assert reverse("single_mail", args=[row.pk]) not in page
    response = client.get(reverse("single_mail", args=[row.pk]), follow=True)
    assert "ご本人だけが開けるURLを含むメールのため" in response.content.decode()
    assert b"my/in/secret" not in response.content


def test_a_template_in_use_says_so_and_stays(client, kenta, campaign):
    """NAV-2: archived, an automatic mail would silently change its text."""
    template = make_template("お礼", campaign=campaign, purpose="notice")
    client.post(at(campaign, "mail_settings_edit", "received"), data(template=template.pk))
    url = at(campaign, "template", template.pk)
    assert "自動送信メール「申込完了」の文面として使われています" in client.get(url).content.decode()
    response = client.post(at(campaign, "template_archive", template.pk), follow=True)
    assert "先にメール設定で別の文面を選んでください" in response.content.decode()
    template.refresh_from_db()
    assert template.archived_at is None
    client.post(at(campaign, "mail_settings_edit", "received"), data())
    client.post(at(campaign, "template_archive", template.pk))
    template.refresh_from_db()
    assert template.archived_at is not None
