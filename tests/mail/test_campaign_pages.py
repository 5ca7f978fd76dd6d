"""The pages of mail/ inside a campaign, by the people who use them: RES-1, RES-4, NAV-1, NAV-2, and what they cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.links import opt_out_url
from mail.message import take_snapshot
from mail.models import Delivery, MailSettings, MailTemplate, ReturnedMail
from settings.models import AuditEntry
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_template,
    make_user,
)


@pytest.fixture
def kenta(client, db):
    user = make_user("kenta", role="campaign")
    client.force_login(user)
    return user


@pytest.fixture
def campaign(kenta):
    return make_campaign(members=[kenta])


def sent_mail(campaign, number=0):
    lead = make_lead(f"a{number}@yamate.example.jp")
    if campaign:
        make_application(campaign, lead)
    template = make_template(f"ご案内 {number}", campaign=campaign)
    job = make_job(
        template, state="done", snapshot=take_snapshot(template), campaign=campaign, started_at=timezone.now(),
        finished_at=timezone.now(), counts={"state": {"sent": 1}},
    )  # fmt: skip
    delivery = make_delivery(
        lead, job=job, state="sent", snapshot=job.snapshot, campaign_id=campaign and campaign.pk, sent_at=timezone.now(),
        merge_values={"姓": "髙橋", "氏名": "髙橋 𠮷男", "メールアドレス": lead.email, "配信停止URL": opt_out_url(lead.pk)},
        subject=f"髙橋様へ 製造業DXセミナーのご案内 {number}",
    )  # fmt: skip
    ReturnedMail.objects.create(
        digest=str(number), kind="auto_reply", delivery_id=delivery.pk, lead_id=lead.pk
    )
    return delivery


@pytest.mark.parametrize("inside", [True, False])
def test_res_1_resending_in_both_modes(client, campaign, inside):
    """RES-1: 詳細 → 再送信 → 送信内容確認 → メール送信 → done, without ever leaving the mode; the new mail belongs to it."""
    if not inside:
        client.force_login(make_user("misaki"))
    mode = campaign if inside else None
    path = f"/c/{campaign.pk}" if inside else ""
    original = sent_mail(mode)
    listed = client.get(path + reverse("deliveries")).content.decode()
    detail = path + reverse("delivery", args=[original.pk])
    assert f'href="{detail}"' in listed
    resend = path + reverse("single_mail", args=[original.pk])
    assert f'href="{resend}"' in client.get(detail).content.decode()
    form = client.get(resend).context["form"]
    values = {name: form[name].value() for name in form.fields if name != "files"}
    values = {name: value for name, value in values.items() if value not in (None, False)}
    checked = client.post(resend, values)
    assert checked.headers["Location"].startswith(path + reverse("single_mail_confirm", args=[original.pk]))
    assert client.get(checked.headers["Location"]).status_code == 200
    done = client.post(checked.headers["Location"])
    mail = Delivery.objects.get(kind="single")
    assert done.headers["Location"] == path + reverse("single_mail_done", args=[mail.pk])
    assert client.get(done.headers["Location"]).status_code == 200
    assert (mail.campaign_id, mail.original_id, mail.lead_id) == (
        mode and mode.pk, original.pk, original.lead_id,
    )  # fmt: skip


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("typed", ["YAMATE.example", "yamate.EXAMPLE"])
def test_res_4_the_history_is_searched_in_both_modes(client, campaign, inside, typed):
    """RES-4: by address and title, ignoring case."""
    if not inside:
        client.force_login(make_user("misaki"))
    mail = sent_mail(campaign if inside else None)
    url = (f"/c/{campaign.pk}" if inside else "") + reverse("deliveries")
    for query in ({"address": typed}, {"title": "dxセミナー"}, {"title": "DXセミナー"}):
        assert [row.pk for row in client.get(url, query).context["page"].rows] == [mail.pk]
    assert client.get(url, {"title": "ＤＹ"}).context["page"].rows == []


LISTS = [
    "jobs", "deliveries", "templates", "returned_mails", "wizard", "templates_of_all", "home",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("inside", [True, False])
def test_as_many_queries_for_one_row_as_for_three(client, campaign, name, inside):
    if not inside:
        if name == "templates_of_all":
            pytest.skip("exists inside campaigns only")
        client.force_login(make_user("misaki"))
    path = f"/c/{campaign.pk}" if inside else ""
    other = None if inside else campaign  # in blue: rows of campaigns among them, each with its name
    url = path + reverse(name)

    def fill(number):
        sent_mail(campaign if inside else (other if number % 2 else None), number)
        make_template(f"全体 {number}")
        make_job(make_template(f"下書き {number}", campaign=campaign if inside else None),
                 campaign=campaign if inside else None, created_by=campaign.members.get())  # fmt: skip
        make_job(make_template(f"実行中 {number}", campaign=campaign), campaign=campaign, state="sending",
                 started_at=timezone.now())  # fmt: skip

    fill(1)
    fill(2)
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        assert client.get(url).status_code == 200
    for number in (3, 4, 5, 6):
        fill(number)
    with CaptureQueriesContext(connection) as many:
        assert client.get(url).status_code == 200
    assert len(many) == len(few)


def test_nav_1_the_menu_of_a_campaign_is_its_own(client, campaign):
    """NAV-1: メール with the campaign's pages, each inside it; speed, sending domains stay among all campaigns."""
    page = client.get(f"/c/{campaign.pk}" + reverse("jobs")).content.decode()
    for name in ("wizard", "jobs", "deliveries", "returned_mails", "templates", "mail_settings"):
        assert f'href="/c/{campaign.pk}{reverse(name)}"' in page, name
    for name in ("speed", "sending_domains"):
        assert reverse(name) not in page
        assert client.get(f"/c/{campaign.pk}" + reverse(name)).status_code == 404


def test_no_link_of_a_campaigns_page_leads_nowhere(client, campaign):
    """Every link of these pages opens for the campaign's administrator."""
    mail = sent_mail(campaign)
    make_template("全体のご案内")
    draft = make_job(
        make_template("下書き", campaign=campaign), campaign=campaign, created_by=campaign.members.get()
    )
    pages = [reverse(name) for name in ("jobs", "deliveries", "templates", "returned_mails", "wizard", "mail_settings", "templates_of_all")]  # fmt: skip
    pages += [reverse(name, args=[mail.job_id]) for name in ("job", "job_content")]
    pages += [reverse(name, args=[mail.pk]) for name in ("delivery", "single_mail")]
    pages += [
        reverse(name, args=[mail.template_id]) for name in ("template", "template_edit", "template_test_send")
    ]
    pages += [
        reverse(name, args=[draft.pk]) for name in ("wizard_condition", "wizard_confirm", "wizard_expected")
    ]
    inside, seen = f"/c/{campaign.pk}", set()
    for page in pages:
        shown = client.get(inside + page)
        assert shown.status_code == 200, page
        links = {link.split("#")[0] for link in find_links(shown.content.decode())}
        for link in sorted(links - seen):
            seen.add(link)
            if f"{inside}/mail/" in link:
                assert client.get(link).status_code in {200, 302}, (page, link)
            else:
                assert not link.startswith("/mail/"), (page, link)


def find_links(html):
    import re

    return {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]*)"', html)}


def test_templates_are_written_inside_a_campaign(client, campaign):
    """NAV-2, APP-1: a new template starts from the campaign's mail settings, and else from those of all campaigns."""
    MailSettings.objects.create(kind="template", from_address="all@seminar.example.jp", from_name="全体")
    new = f"/c/{campaign.pk}" + reverse("template_new")
    assert client.get(new).context["form"]["from_address"].value() == "all@seminar.example.jp"
    MailSettings.objects.create(
        kind="template", campaign=campaign, from_address="one@seminar.example.jp", from_name="担当"
    )
    form = client.get(new).context["form"]
    assert (form["from_address"].value(), form["from_name"].value()) == ("one@seminar.example.jp", "担当")
    assert "申込" in str(client.get(new).context["groups"]) or client.get(new).context["groups"]
    values = {name: form[name].value() for name in form.fields if name not in {"files", "removed"}}
    values = {name: value for name, value in values.items() if value is not None}
    saved = client.post(new, values | {"name": "新しい案内", "subject": "ご案内", "form": "text", "text_body": "本文", "purpose": "notice"})  # fmt: skip
    assert saved.status_code == 302, saved.context["form"].errors
    template = MailTemplate.objects.get(name="新しい案内")
    assert (template.campaign, template.created_by) == (campaign, campaign.members.get())
    copied = client.post(f"/c/{campaign.pk}" + reverse("template_copy", args=[template.pk]))
    assert copied.status_code == 302
    assert MailTemplate.objects.latest("pk").campaign == campaign
    assert AuditEntry.objects.filter(action="template.create", target_id=str(template.pk)).exists()
