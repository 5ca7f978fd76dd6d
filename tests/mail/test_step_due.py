"""STEP-2, STEP-4..6, EXC-2, OPT-4, OPT-6, TGT-12, RSV-4: what is due becomes decisions, one a wait, with reasons."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from leads.consent import unsubscribe
from leads.models import Lead
from mail import job_start, step_due
from mail.click_count import choose
from mail.delivery.claim import claim
from mail.delivery.compose import Composer, Made
from mail.delivery.intent import Intent, intend, settle_refused
from mail.models import CountedUrl, Delivery, StepMail, StepWait
from mail.step_due import DUE, decide_due
from mail.step_mail import change, delete, go_on, start, stop
from mail.step_settings import BEFORE_KNOWN, LATE_HOURS
from mail.tasks import tick
from settings.models import AuditEntry
from settings.system_settings import set_setting
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_template,
    make_user,
)
from tests.mail.step_scene import PAGE, active_step, application_step, apply, draft_step, look_at, make_search

pytestmark = pytest.mark.django_db

LATER = timedelta(days=3, minutes=1)


def decisions(step):
    found = Delivery.objects.filter(kind="step", step_mail_id=step.pk).order_by("pk")
    return list(found.values_list("lead_id", "state", "reason"))


def due(step):
    return timezone.now() + timedelta(minutes=step.wait_minutes, seconds=1)


def company(name, campaign=None):
    block = {"item": "lead.company", "operator": "is", "values": [name]}
    return make_search({"match": "all", "blocks": [block]}, campaign)


def test_decided_when_it_is_due(django_capture_on_commit_callbacks):
    """STEP-1, TGT-12, RSV-4: not before; then one delivery with the lead's values and the template of this moment."""
    step = application_step()
    application = apply(step)
    assert decide_due(timezone.now() + timedelta(days=2, hours=23)) == 0
    type(step.template).objects.update(subject="直前に変えた件名")
    now = due(step)
    with django_capture_on_commit_callbacks() as hints:
        assert decide_due(now) == 1
    assert len(hints) == 1
    row = Delivery.objects.get(kind="step")
    assert (row.state, row.reason, row.decided_at, row.next_at, row.job_id) == ("queued", "", now, now, None)
    assert (row.lead, row.address, row.campaign_id, row.template, row.application_id) == (
        application.lead, application.lead.email, step.campaign_id, step.template, application.pk,
    )  # fmt: skip
    assert row.snapshot.content["subject"] == "直前に変えた件名"
    wait = StepWait.objects.get()
    assert (wait.state, wait.decided_at, wait.delivery_id) == ("decided", now, row.pk)
    assert decide_due(now + LATER) == 0


def test_a_step_mail_counts_what_was_chosen():
    """TRK-1, TRK-5: by URL, in the template of the moment it is due."""
    step = application_step()
    url = "https://x.example/apply"
    counted = [{"url": url, "name": "申込"}, {"url": "https://x.example/gone", "name": "旧"}]
    StepMail.objects.update(count_clicks=True, counted_urls=counted, count_opens=True)
    template = step.template
    type(template).objects.update(
        form="html",
        html_body=f'<a href="https://x.example/new">a</a><a href="{url}">b</a>' + template.text_body,
    )
    apply(step)
    assert decide_due(due(step)) == 1
    row = Delivery.objects.get(kind="step")
    (registered,) = CountedUrl.objects.all()
    assert (registered.url, registered.campaign_id) == (url, step.campaign_id)
    assert row.snapshot.content["counted"] == {url: registered.pk}
    assert row.snapshot.content["opens"] is True


def test_no_wait_at_all():
    """STEP-1: 0 minutes."""
    step = application_step(wait_minutes=0)
    apply(step)
    assert decide_due(timezone.now()) == 1


def test_every_reason_of_other_mails():
    """EXC-1 holds as for every mailing, in its order."""
    step = application_step()
    leads = {
        "unsubscribed": make_lead("a@example.jp"),
        "invalid_address": make_lead("b@example.jp", email_valid=False),
        "provisional": make_lead("c@example.jp", registration="provisional"),
        "dm_permission": make_lead("d@example.jp", dm_permission="unwanted"),
        "no_address": make_lead("", email_norm=""),
        "malformed_address": make_lead("e@", email_malformed=True),
        "deleted": make_lead("f@example.jp"),
        "": make_lead("g@example.jp"),
    }
    for lead in leads.values():
        apply(step, lead)
    unsubscribe(leads["unsubscribed"], now=timezone.now(), evidence="form", source="")
    Lead.objects.filter(pk=leads["deleted"].pk).update(deleted_at=timezone.now())
    assert decide_due(due(step)) == len(leads)
    found = {lead: (state, reason) for lead, state, reason in decisions(step)}
    assert found == {lead.pk: ("excluded" if reason else "queued", reason) for reason, lead in leads.items()}


def test_the_condition_again():
    """STEP-2, STEP-6: by the search as it is saved now, and the lead as it is now."""
    campaign = make_campaign()
    step = active_step(campaign, search=company("山手製作所", campaign))
    stays, leaves = (make_lead(f"{name}@example.jp", company="山手製作所") for name in "ab")
    apply(step, stays)
    apply(step, leaves)
    Lead.objects.filter(pk=leaves.pk).update(company="別の会社")
    decide_due(due(step))
    assert decisions(step) == [(leaves.pk, "excluded", "condition"), (stays.pk, "queued", "")]
    other = active_step(
        campaign, search=company("別の会社", campaign), template=make_template(campaign=campaign)
    )
    apply(other, make_lead("c@example.jp", company="別の会社"))
    search = other.search
    search.condition = company("第三の会社", campaign).condition
    search.save()
    decide_due(due(other))
    assert [one[2] for one in decisions(other)] == ["condition"]


def test_a_cancelled_application():
    """STEP-6: cancelled before the due time."""
    step = application_step()
    application = apply(step)
    application.state = "cancelled"
    application.save()
    decide_due(due(step))
    assert decisions(step) == [(application.lead_id, "excluded", "application_cancelled")]


def test_an_opt_out_at_the_last_moment():
    """OPT-6: decided and on its way, but not handed over: the intent looks at advertising without a job too."""
    advert = application_step(wait_minutes=0)
    lead = make_lead()
    apply(advert, lead)
    decide_due(timezone.now())
    (row,) = claim(None, 10)
    (made,) = Composer().make([row])
    assert isinstance(made, Made)
    assert made.purpose == "advertising"
    unsubscribe(lead, now=timezone.now(), evidence="form", source="")
    intent = Intent(
        row.pk, row.token, made.snapshot_id, made.values, made.mail.subject, made.sent_at, row.address
    )
    assert intend([intent]) == set()
    assert settle_refused([intent]) == {row.pk: "unsubscribed_late"}


def test_deleted_while_in_a_workers_hands():
    """STEP-6: deleting the step mail is obeyed until the hand-over."""
    step = application_step(wait_minutes=0)
    apply(step)
    decide_due(timezone.now())
    (row,) = claim(None, 10)
    (made,) = Composer().make([row])
    assert delete(step, user=None, now=timezone.now()) == 0
    intent = Intent(
        row.pk, row.token, made.snapshot_id, made.values, made.mail.subject, made.sent_at, row.address
    )
    assert intend([intent]) == set()
    assert settle_refused([intent]) == {row.pk: "step_deleted"}
    assert decisions(step) == [(row.lead_id, "excluded", "step_deleted")]


def test_a_business_notice_for_refusers():
    """OPT-4: confirmed, 希望しない is mailed, and so is who unsubscribed."""
    campaign = make_campaign()
    step = active_step(
        campaign, template=make_template(campaign=campaign, purpose="notice"), dm_permissions=["wanted", "unwanted"],
        unwanted_confirmed=True,
    )  # fmt: skip
    apply(step, make_lead(dm_permission="unwanted", unsubscribed_at=timezone.now()))
    decide_due(due(step))
    assert [one[1:] for one in decisions(step)] == [("queued", "")]


@pytest.mark.parametrize(
    ("include_sent", "reasons"), [(False, ["", "already_sent", "already_sent"]), (True, ["", "", ""])]
)
def test_several_origins_of_one_lead(include_sent, reasons):
    """STEP-5: しない: the same template reaches a lead once, also when all are due together; する: each is sent."""
    step = active_step(include_sent=include_sent)
    lead = make_lead()
    look_at(lead, PAGE, PAGE + "/a", PAGE + "/b")
    assert decide_due(due(step)) == 3
    assert [one[2] for one in decisions(step)] == reasons
    first, *others = Delivery.objects.filter(kind="step").order_by("pk")
    if not include_sent:
        assert {one.related_id for one in others} == {first.pk}
    keys = StepWait.objects.order_by("pk").values_list("delivery_id", flat=True)
    assert list(keys) == list(
        Delivery.objects.filter(kind="step").order_by("pk").values_list("pk", flat=True)
    )


def test_more_origins_than_rounds(monkeypatch):
    """One lead looks at a page a hundred times: decided all the same, a bounded number of statements a batch."""
    monkeypatch.setattr(step_due, "ROUNDS", 3)
    step = active_step()
    look_at(make_lead(), *[f"{PAGE}/{number}" for number in range(8)])
    now = due(step)
    assert [decide_due(now), decide_due(now), decide_due(now), decide_due(now)] == [3, 3, 2, 0]
    assert StepWait.objects.filter(state="decided").count() == 8


def test_one_visitor_keeps_nobody_back(monkeypatch):
    """A page looked at a thousand times in a row, perhaps by a script: whoever comes behind is decided in the same tick."""
    monkeypatch.setattr(step_due, "BATCH", 4)
    monkeypatch.setattr(step_due, "ROUNDS", 2)
    step = active_step()
    restless, other = make_lead(), make_lead()
    first = timezone.now() - timedelta(seconds=30)
    look_at(restless, *[f"{PAGE}/{number}" for number in range(12)], at=first)
    look_at(other, PAGE)
    now = due(step)
    assert decide_due(now) == 3
    assert [one[0] for one in decisions(step)] == [restless.pk, restless.pk, other.pk]
    assert [decide_due(now) for _tick in range(6)] == [2, 2, 2, 2, 2, 0]


def test_the_wizard_before_the_step_mail():
    """EXC-2: per template and lead, over every way."""
    step = application_step()
    lead = make_lead()
    apply(step, lead)
    sent = make_delivery(lead, job=make_job(step.template), state="sent")
    decide_due(due(step))
    (row,) = Delivery.objects.filter(kind="step")
    assert (row.reason, row.related_id) == ("already_sent", sent.pk)


def test_an_automatic_mail_before_the_step_mail():
    """EXC-2: what was sent by itself with this template counts; a test of it, or one that failed, does not."""
    step = application_step()
    leads = {}
    for kind, state in (("automatic", "sent"), ("automatic", "error"), ("test", "sent")):
        lead = leads[kind, state] = make_lead(f"{kind}-{state}@example.jp")
        apply(step, lead)
        sent = make_delivery(lead, kind=kind, state=state)
        Delivery.objects.filter(pk=sent.pk).update(template=step.template)
    decide_due(due(step))
    found = {lead: reason for lead, _state, reason in decisions(step)}
    assert found == {
        leads["automatic", "sent"].pk: "already_sent",
        leads["automatic", "error"].pk: "",
        leads["test", "sent"].pk: "",
    }


def test_the_step_mail_before_the_wizard():
    """EXC-2, the other way round."""
    step = application_step()
    application = apply(step)
    decide_due(due(step))
    job = make_job(step.template, campaign=step.campaign, state="preparing")
    job_start.run(job.pk, now=timezone.now())
    (row,) = job.deliveries.all()
    assert (row.lead, row.reason) == (application.lead, "already_sent")
    assert row.related_id == Delivery.objects.get(kind="step").pk


def test_two_leads_with_one_address():
    """EXC-3 is the wizard's: each application gets its mail, whether they are due together or not."""
    step = application_step()
    apply(step, make_lead("info@example.jp"))
    apply(step, make_lead("info@example.jp"))
    decide_due(due(step))
    assert [one[2] for one in decisions(step)] == ["", ""]


def test_values_of_the_very_application():
    """The text speaks of the application that was the origin, in its language, not of a newer one."""
    campaign = make_campaign("セミナーA", venue_name="東京会場")
    template = make_template(
        campaign=campaign,
        purpose="notice",
        subject="{{ キャンペーン名 }} {{ 申込番号 }}",
        text_body="{{ 会場名 }} {{ 氏名 }}",
    )
    step = active_step(campaign, template=template, wait_minutes=0)
    lead = make_lead()
    application = apply(step, lead)
    make_application(make_campaign("セミナーB"), lead)
    decide_due(timezone.now())
    (made,) = Composer().make(claim(None, 10))
    assert isinstance(made, Made), made.text
    assert made.mail.subject == f"セミナーA {application.code}"
    assert "東京会場 髙橋 𠮷男" in made.mail.text


@pytest.mark.parametrize(("hours", "reason"), [(72, "too_late"), (0, ""), (1000, "")])
def test_a_long_outage(hours, reason):
    """What is overdue by more than the setting allows is not sent; the other is, once, oldest first."""
    set_setting(LATE_HOURS, hours, user=make_user())
    step = application_step(wait_minutes=0)
    old, fresh = apply(step), apply(step)
    now = timezone.now() + timedelta(hours=100)
    StepWait.objects.filter(application_id=fresh.pk).update(due_at=now - timedelta(hours=71))
    assert decide_due(now) == 2
    assert decisions(step) == [
        (old.lead_id, "excluded" if reason else "queued", reason),
        (fresh.lead_id, "queued", ""),
    ]


def test_after_an_outage_in_portions():
    """Oldest first, bounded a tick, nobody twice."""
    step = application_step(wait_minutes=0)
    applications = [apply(step) for _number in range(5)]
    now = timezone.now()
    assert decide_due(now, limit=2) == 2
    assert [one[0] for one in decisions(step)] == [one.lead_id for one in applications[:2]]
    assert decide_due(now, limit=2) == 2
    assert decide_due(now, limit=2) == 1
    assert [one[0] for one in decisions(step)] == [one.lead_id for one in applications]


def test_stopped_and_going_on():
    """Stopped: nothing is decided, nobody is lost; going on decides what is overdue."""
    step = application_step(wait_minutes=0)
    apply(step)
    stop(step, user=None, now=timezone.now())
    now = timezone.now() + timedelta(hours=1)
    assert decide_due(now) == 0
    go_on(step, user=None, now=now)
    assert decide_due(now) == 1
    assert [one[1] for one in decisions(step)] == ["queued"]


def test_a_broken_step_mail_keeps_its_waits(caplog):
    """Template archived, condition gone: it says what is wrong, once, keeps what waits, and goes on when it is mended."""
    make_user()
    broken, well = application_step(wait_minutes=0), application_step(wait_minutes=0)
    apply(broken)
    apply(well)
    type(broken.template).objects.filter(pk=broken.template_id).update(archived_at=timezone.now())
    now = timezone.now()
    assert decide_due(now) == 1
    assert decide_due(now) == 0
    broken.refresh_from_db()
    assert broken.trouble == "このテンプレートは保管済みです。別のテンプレートを選ぶか、元に戻してください。"
    assert len(decisions(well)) == 1
    assert AuditEntry.objects.filter(action="step_mail.trouble").count() == 1
    (alert,) = Delivery.objects.filter(kind="alert")
    assert broken.name in alert.merge_values["subject"]
    change(broken, user=None, now=now, template=make_template(campaign=broken.campaign))
    assert decide_due(now) == 1
    broken.refresh_from_db()
    assert broken.trouble == ""


def test_trouble_that_was_mended_elsewhere():
    """The template came back by itself: the next tick goes on, and takes the sentence away."""
    step = application_step(wait_minutes=0)
    apply(step)
    templates = type(step.template).objects.filter(pk=step.template_id)
    templates.update(archived_at=timezone.now())
    decide_due(timezone.now())
    templates.update(archived_at=None)
    assert decide_due(timezone.now()) == 1
    step.refresh_from_db()
    assert step.trouble == ""


def test_something_unexpected_keeps_nobody_else(monkeypatch, caplog):
    """STEP-6: one step mail's mistake leaves its waits whole, says so once, and the others go on."""
    broken, well = application_step(wait_minutes=0), application_step(wait_minutes=0)
    apply(broken)
    apply(well)
    real = step_due.snapshot_of
    monkeypatch.setattr(step_due, "snapshot_of", lambda step: 1 / 0 if step.pk == broken.pk else real(step))
    now = timezone.now()
    assert decide_due(now) == 1
    assert decide_due(now) == 0
    assert caplog.text.count("could not be decided") == 1 + caplog.text.count("is held up: The mails")
    assert StepWait.objects.get(step_mail=broken).state == "waiting"
    broken.refresh_from_db()
    assert broken.trouble
    monkeypatch.undo()
    assert decide_due(now) == 1


@pytest.mark.parametrize(("enabled", "states"), [(True, ["queued"] * 3), (False, [])])
def test_three_visits_then_an_application(enabled, states):
    """STEP-4, SPEC's story: three anonymous visits, then an application makes them the lead's: three mails (with
    「送信済の人も含めて送信する」), or none."""
    if enabled:
        set_setting(BEFORE_KNOWN, True, user=make_user())
    step = active_step(include_sent=True, wait_minutes=5, since=timezone.now() - timedelta(days=2))
    application = make_application(make_campaign())
    look_at(application.lead, PAGE, PAGE, PAGE, at=timezone.now() - timedelta(days=1), before_known=True)
    decide_due(timezone.now() + timedelta(minutes=6))
    assert [one[1] for one in decisions(step)] == states
    look_at(application.lead, PAGE)  # known by now
    decide_due(timezone.now() + timedelta(minutes=6))
    assert [one[1] for one in decisions(step)] == [*states, "queued"]


def test_counted_urls_of_the_due_moment():
    """TRK-1, TRK-5: what the step mail counts is found by URL in the template as it is then."""
    kept, gone = "https://www.example.jp/a", "https://www.example.jp/b"
    body = f"<p><a href='{kept}'>A</a> <a href='{gone}'>B</a></p>"
    template = make_template(form="html", purpose="notice", html_body=body, text_body="")
    step = draft_step(template=template, wait_minutes=0)
    choose(step, urls={kept: "A", gone: "B"}, opens=True)
    start(step, user=None, now=timezone.now() - timedelta(minutes=1))
    look_at(make_lead(), PAGE)
    type(template).objects.update(html_body=f"<p><a href='{kept}'>A</a></p>")
    decide_due(timezone.now())
    (made,) = Composer().make(claim(None, 10))
    assert isinstance(made, Made), made.text
    content = Delivery.objects.get(kind="step").snapshot.content
    assert (list(content["counted"]), content["opens"]) == ([kept], True)
    assert "/l/" in made.mail.html and kept not in made.mail.html and "/o/" in made.mail.html


def test_the_tick_does_it(monkeypatch):
    step = application_step(wait_minutes=0)
    apply(step)
    tick()
    assert [one[1] for one in decisions(step)] == ["queued"]


def test_many_that_wait_cost_nothing():
    """STEP-6: 100,000 waits, of a step mail in operation and of a stopped one whose time is over: the tick's question touches
    a handful of index entries."""
    lead = make_lead()
    active, stopped = active_step(), active_step()
    stop(stopped, user=None, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO mail_stepwait (step_mail_id, lead_id, origin_key, origin_at, origin_text, due_at, state, reason)
            SELECT step, %s, number, now(), '', now() + far, 'waiting', ''
            FROM generate_series(1, 50000) AS number,
                 (VALUES (%s, interval '3 days'), (%s, interval '-1 hour')) AS steps (step, far)
            """,
            [lead.pk, active.pk, stopped.pk],
        )
        cursor.execute("ANALYZE mail_stepwait, mail_stepmail")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + DUE, {"now": timezone.now()})
        (plan,) = cursor.fetchone()
    nodes, todo = [], [plan[0]["Plan"]]
    while todo:
        node = todo.pop()
        nodes.append(node)
        todo += node.get("Plans", [])
    scans = [node for node in nodes if node.get("Relation Name") == "mail_stepwait"]
    assert [node["Index Name"] for node in scans] == ["step_wait_due"]
    assert plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"] < 50
    assert decide_due(timezone.now()) == 0


def test_drafts_have_no_origins():
    step = draft_step(make_campaign())
    apply(step)
    assert not StepWait.objects.exists()
    assert StepMail.objects.get(pk=step.pk).state == "draft"
