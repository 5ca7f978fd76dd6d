"""Step mails and the rest of the product: explanations, merged leads, copied campaigns, what may not be deleted under them."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.campaigns import copy_campaign
from leads.edit import delete_lead
from leads.merge import merge, undo
from leads.searches import delete_search
from mail.delivery_list import deliveries_matching
from mail.lead_panel import why_panel
from mail.models import Delivery, StepMail, StepWait
from mail.recipients.explain import explain_delivery, explain_step
from mail.recipients.explain_steps import wait_text
from mail.step_due import decide_due
from mail.step_mail import delete, stop
from mail.templates import archive_template
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_lead,
    make_template,
    make_user,
)
from tests.mail.step_scene import PAGE, active_step, application_step, apply, draft_step, look_at, make_search

pytestmark = pytest.mark.django_db


def sentence(step, lead):
    return explain_step(step, lead, now=timezone.now()).sentence


def test_why_it_came():
    """EXC-6, STEP-6: which step mail, what was its origin, how long it waited."""
    step = application_step(wait_minutes=0)
    application = apply(step)
    decide_due(timezone.now())
    row = Delivery.objects.get(kind="step")
    found = explain_delivery(row)
    assert found.evidence[0].startswith(f"ステップメール「{step.name}」(ID {step.pk})、起点: ")
    assert found.evidence[1].endswith("(起点から0分後)。")
    assert explain_step(step, application.lead, now=timezone.now()) == found


def test_why_it_did_not_come():
    """EXC-6: one sentence for each way not to be mailed, and for who still waits."""
    campaign = make_campaign()
    step = active_step(
        campaign,
        search=make_search(
            {"match": "all", "blocks": [{"item": "lead.company", "operator": "is", "values": ["山手"]}]},
            campaign,
        ),
    )
    stranger, other, waits, cancelled = (make_lead(f"{name}@example.jp", company="山手") for name in "abcd")
    odd = make_lead("e@example.jp")
    make_application(campaign, other, applied_at=timezone.now() - timedelta(days=9))
    for lead in (waits, odd, cancelled):
        apply(step, lead)
    assert sentence(step, stranger).startswith("対象外です。このステップメールは")
    assert sentence(step, other) == "起点がありません。稼働中にこのリードの申込はありませんでした。"
    assert sentence(step, waits).endswith("まで待機し、その時点で送信するかどうかを判定します。")
    assert "起点の時点" in sentence(step, odd)
    StepMail.objects.filter(pk=step.pk).update(trouble="壊れた")
    assert sentence(step, waits) == "待機中です。ステップメールを送信できません: 壊れた"
    StepMail.objects.filter(pk=step.pk).update(trouble="")
    cancelled.applications.update(state="cancelled")
    decide_due(timezone.now() + timedelta(days=4))
    assert "申込がキャンセルされていました" in sentence(step, cancelled)
    page = active_step()
    assert "閲覧は記録されていません" in sentence(page, stranger)
    look_at(stranger, PAGE)
    stop(page, user=None, now=timezone.now())
    assert sentence(page, stranger).startswith("待機中です。ステップメールが停止しています")
    delete(page, user=None, now=timezone.now())
    assert "送信時刻の前にステップメールが削除されました" in sentence(page, stranger)
    assert "稼働したことがありません" in sentence(draft_step(), stranger)


def test_wait_in_words():
    assert wait_text(timedelta(days=3, hours=1, minutes=5)) == "3日 1時間 5分"
    assert wait_text(timedelta()) == "0分"


def test_the_command():
    """EXC-6: manage.py explain --step."""
    step = application_step(wait_minutes=0)
    lead = apply(step).lead
    decide_due(timezone.now())

    def explain(*options):
        out = StringIO()
        call_command("explain", *options, "--json", stdout=out)
        return json.loads(out.getvalue())

    found = explain("--step", str(step.pk), "--lead", str(lead.pk))
    assert (found["step"], found["lead"], found["decision"]) == (step.pk, lead.pk, "addressed")
    found = explain("--step", str(step.pk), "--email", lead.email)
    assert [one["decision"] for one in found["leads"]] == ["addressed"]
    for options in (["--step", "0"], ["--step", "1", "--job", "1"], []):
        with pytest.raises(CommandError):
            explain(*options, "--lead", str(lead.pk))


def test_the_leads_page():
    """EXC-6: decided, waiting and stopped ones, in the same number of queries; a campaign shows its own only (APP-1)."""
    lead, campaign = make_lead(), make_campaign()
    mine = active_step(campaign)
    apply(mine, lead)
    page = active_step(wait_minutes=0)
    request = RequestFactory().get("/")

    def panel(campaign_id=None):
        request.campaign_id = campaign_id
        with CaptureQueriesContext(connection) as queries:
            return why_panel(request, lead)["mails"], len(queries)

    look_at(lead, PAGE)
    decide_due(timezone.now())
    mails, number = panel()
    assert [mail["title"] for mail in mails] == [mine.name, page.template.name]
    assert [bool(mail["delivery"]) for mail in mails] == [False, True]
    look_at(lead, PAGE + "/a", PAGE + "/b")
    decide_due(timezone.now())
    again, more = panel()
    assert (len(again), more) == (4, number)
    assert [mail["wait"].step_mail for mail in panel(campaign.pk)[0]] == [mine]


def test_the_lead_page_is_drawn(client):
    user, lead = make_user(), make_lead()
    step = active_step(name="<b>3日後</b>")
    look_at(lead, PAGE)
    client.force_login(user)
    page = client.get(f"/leads/{lead.pk}/").content.decode()
    assert "&lt;b&gt;3日後&lt;/b&gt;" in page and "まで待機し" in page
    assert step.name not in page


def test_the_history_of_one_step_mail():
    """RES-4: 「個別メール送信履歴」 by kind and step mail."""
    first, second = active_step(wait_minutes=0), active_step(wait_minutes=0)
    look_at(make_lead(), PAGE)
    decide_due(timezone.now())
    make_delivery(make_lead("x@example.jp"))
    assert deliveries_matching({"kind": "step"}).count() == 2
    assert [row.step_mail_id for row in deliveries_matching({"step": first.pk})] == [first.pk]
    assert second.pk != first.pk


def test_a_merged_leads_waits():
    """APP-5: they go along with the lead, and come back with it."""
    step = active_step()
    survivor, other = make_lead("a@example.jp"), make_lead("b@example.jp")
    look_at(other, PAGE)
    misaki = make_user()
    merged = merge(survivor.pk, [survivor.pk, other.pk], chosen={}, user=misaki, now=timezone.now())
    assert StepWait.objects.get().lead == survivor
    undo(merged, user=misaki, now=timezone.now())
    assert StepWait.objects.get().lead == other
    assert StepWait.objects.get().step_mail == step


def test_a_deleted_lead():
    """Its waits end with that reason when they are due."""
    step = active_step(wait_minutes=0)
    lead = make_lead()
    look_at(lead, PAGE)
    delete_lead(lead, user=make_user(), now=timezone.now())
    decide_due(timezone.now())
    assert Delivery.objects.get(step_mail_id=step.pk).reason == "deleted"


def test_a_search_in_use(client):
    """STEP-2: it cannot be deleted under a step mail, and the page says why; after the step mail is deleted it can."""
    misaki = make_user()
    step = active_step(search=make_search(owner=misaki))
    search = step.search
    client.force_login(misaki)
    assert (
        "ステップメール「お申し込みから3日後」で利用しています。"
        in client.get(f"/leads/searches/{search.pk}/delete/").content.decode()
    )
    answer = client.post(f"/leads/searches/{search.pk}/delete/", follow=True)
    assert answer.status_code == 200
    assert "この検索条件は削除できません" in answer.content.decode()
    with pytest.raises(ValidationError):
        delete_search(search, user=misaki)
    delete(step, user=misaki, now=timezone.now())
    delete_search(search, user=misaki)


def test_a_template_in_use(client):
    """It is not archived under a step mail that was started."""
    step = active_step()
    misaki = make_user()
    assert archive_template(step.template, user=misaki, now=timezone.now()) is False
    client.force_login(misaki)
    answer = client.post(f"/mail/templates/{step.template_id}/archive/", follow=True)
    assert (
        "このテンプレートはステップメール(お申し込みから3日後)で利用しています。" in answer.content.decode()
    )
    delete(step, user=misaki, now=timezone.now())
    assert archive_template(step.template, user=misaki, now=timezone.now()) is True


def test_a_copied_campaign():
    """「コピー」: step mails that were started are drafts of the copy, with its templates and searches; nobody waits there."""
    misaki, campaign = make_user(), make_campaign()
    step = active_step(
        campaign, template=make_template(campaign=campaign, purpose="notice"), include_sent=True, wait_minutes=90,
        dm_permissions=["wanted", "unwanted"], unwanted_confirmed=True, count_clicks=True, counted_urls=[],
    )  # fmt: skip
    apply(step)
    draft_step(campaign, name="下書き")
    copy = copy_campaign(campaign, user=misaki, now=timezone.now())
    (new,) = StepMail.objects.filter(campaign=copy)
    assert (new.name, new.state, new.origin, new.wait_minutes, new.include_sent, new.count_clicks) == (
        step.name, "draft", "application", 90, True, True,
    )  # fmt: skip
    assert (new.active_since, new.unwanted_confirmed, new.created_by) == (None, False, misaki)
    assert (new.template.campaign, new.search.campaign_id) == (copy, copy.pk)
    assert new.token != step.token
    assert not new.waits.exists()
    assert StepMail.objects.filter(campaign=campaign).count() == 2
