"""STEP-1..3, OPT-4, RATE-5: a step mail's life, and what may be changed when."""

import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import StepMail, StepWait
from mail.send_jobs import Refused
from mail.step_mail import change, change_draft, counts, create_draft, delete, go_on, problems, start, stop
from settings.audit_labels import detail_lines
from settings.models import AuditEntry
from tests.factories import make_campaign, make_delivery, make_lead, make_template, make_user
from tests.mail.step_scene import active_step, application_step, draft_step, make_search

pytestmark = pytest.mark.django_db


def refused(act, *args, **values):
    with pytest.raises(Refused) as error:
        act(*args, user=None, now=timezone.now(), **values)
    return error.value.code


def test_another_template_asks_for_the_urls_again():
    """TRK-1: a choice is of one template's URLs."""
    step = draft_step(count_clicks=True, count_opens=True, counted_urls=[])
    change_draft(step, template=step.template)
    assert step.counted_urls == []
    change_draft(step, template=make_template("別のテンプレート"))
    assert (step.counted_urls, step.count_opens) == (None, False)


def test_one_run_is_one_row():
    """STEP-1, RSV-5: the same page posted twice is one step mail."""
    token = uuid.uuid4()
    first = create_draft(user=None, name=" 3日後\u3000の ご案内 ", token=token)
    assert create_draft(user=None, name="もう一度", token=token) == first
    assert (first.name, first.state, first.origin) == ("3日後 の ご案内", "draft", "page_view")
    assert create_draft(user=None, name="x", campaign_id=make_campaign().pk).origin == "application"


def test_started_once():
    """STEP-1: the start sets from when on origins count; a double click starts it once."""
    misaki, step, now = make_user(), draft_step(), timezone.now()
    assert start(step, user=misaki, now=now) is True
    assert start(step, user=misaki, now=now + timedelta(seconds=1)) is False
    assert (step.state, step.active_since) == ("active", now)
    (entry,) = AuditEntry.objects.filter(action="step_mail.start")
    assert entry.detail["wait_minutes"] == 4320 and entry.user == misaki


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"name": ""}, "no_name"),
        ({"template": None}, "no_template"),
        ({"search": None}, "no_condition"),
        ({"url_pattern": ""}, "url_pattern"),
        ({"dm_permissions": []}, "no_dm_permission"),
        ({"count_clicks": True}, "no_url_choice"),
        ({"dm_permissions": ["wanted", "unwanted"]}, "unwanted_advertising"),
    ],
)
def test_what_is_missing_is_said(values, code):
    """STEP-1, STEP-3, OPT-4: with the reason, and nothing starts."""
    step = draft_step(**values)
    assert refused(start, step) == code
    step.refresh_from_db()
    assert step.state == "draft"


def test_only_shared_searches():
    """STEP-2: 「検索条件を保存(全ユーザ使用可)」 only, when it is chosen and when it starts."""
    with pytest.raises(Refused) as error:
        draft_step(search=make_search(shared=False))
    assert error.value.code == "not_shared"
    step = draft_step()
    type(step.search).objects.update(shared=False)
    step.refresh_from_db()
    assert refused(start, step) == "not_shared"


def test_things_of_another_mode():
    """APP-1: templates and searches of the same mode only."""
    one, other = make_campaign(), make_campaign()
    for values in (
        {"template": make_template(campaign=other)},
        {"search": make_search(campaign=other)},
        {"search": make_search()},
    ):
        with pytest.raises(Refused) as error:
            draft_step(one, **values)
        assert error.value.code == "other_mode"


def test_refusers_need_a_second_confirmation():
    """OPT-4: 希望しない for a business notice only, confirmed; it stands in the audit log."""
    step = draft_step(template=make_template(purpose="notice"), dm_permissions=["wanted", "unwanted"])
    assert refused(start, step) == "unwanted_not_confirmed"
    change_draft(step, unwanted_confirmed=True)
    assert start(step, user=None, now=timezone.now())
    assert AuditEntry.objects.get(action="step_mail.start").detail["dm_permissions"] == ["wanted", "unwanted"]


def test_advertising_without_alignment_is_refused(settings):
    """RATE-5: as for mailings; a notice is only warned."""
    settings.REQUIRE_ALIGNMENT = True
    step = draft_step(template=make_template(from_address="info@nobody.invalid"))
    assert refused(start, step) == "alignment"
    notice = draft_step(template=make_template(from_address="info@nobody.invalid", purpose="notice"))
    (problem,) = [one for one in problems(notice, now=timezone.now()) if one.code == "alignment"]
    assert problem.severity == "warning"


@pytest.mark.parametrize(
    "values",
    [{"name": "x" * 101}, {"wait_minutes": -1}, {"wait_minutes": 366 * 24 * 60 + 1}, {"url_pattern": "*"}],
)
def test_values_that_cannot_be(values):
    with pytest.raises(ValidationError) as error:
        draft_step(**values)
    assert set(error.value.message_dict) == set(values)


def test_no_wait_is_a_wait():
    """STEP-1: 0 days 0 hours 0 minutes: as soon as the tick comes."""
    assert start(draft_step(wait_minutes=0), user=None, now=timezone.now())


def test_changed_while_it_runs():
    """STEP-6: what is decided from then on goes by the new choice; a change that could not go on is refused as a whole."""
    step = active_step()
    change(step, user=make_user(), now=timezone.now(), name="新しい名前", wait_minutes=60)
    assert (step.name, step.wait_minutes, step.state) == ("新しい名前", 60, "active")
    assert AuditEntry.objects.get(action="step_mail.change").detail["changes"] == {
        "name": ["お申し込みから3日後", "新しい名前"], "wait_minutes": [4320, 60],
    }  # fmt: skip
    archived = make_template(archived_at=timezone.now())
    assert refused(change, step, name="もっと新しい名前", template=archived) == "archived"
    step.refresh_from_db()
    assert step.name == "新しい名前"
    with pytest.raises(Refused):
        change_draft(step, name="x")
    stop(step, user=None, now=timezone.now())
    change(step, user=None, now=timezone.now(), template=archived)  # told when it shall go on
    assert refused(go_on, step) == "archived"


def test_changes_are_read_in_words():
    """SYS-2: 操作履歴 names every field and value as the screens do."""
    step = active_step(template=make_template(purpose="notice"))
    change(
        step, user=None, now=timezone.now(), wait_minutes=5, include_sent=True, count_clicks=True, unwanted_confirmed=True,
        dm_permissions=["wanted", "unwanted"], counted_urls=[{"url": "https://www.example.jp/a", "name": "資料"}],
        template=make_template("別", purpose="notice"),
    )  # fmt: skip
    lines = detail_lines(AuditEntry.objects.get(action="step_mail.change"))
    assert not [word for word, _text in lines if word.isascii()]
    said = dict(lines)
    assert said["起点からの時間(分)"] == "4320 → 5"
    assert said["DM許可"] == "希望する → 希望する、希望しない"
    assert said["クリックカウントURL指定"] == "– → 資料"


def test_stopped_and_going_on():
    """Origins of the time between do not count; what is not possible in a state is refused."""
    step, now = active_step(), timezone.now()
    assert refused(go_on, step) == "wrong_state"
    stop(step, user=None, now=now)
    assert refused(stop, step) == "wrong_state"
    later = now + timedelta(hours=1)
    go_on(step, user=None, now=later)
    assert (step.state, step.active_since) == ("active", later)
    actions = AuditEntry.objects.filter(action__startswith="step_mail.").order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        "step_mail.start", "step_mail.stop", "step_mail.go_on",
    ]  # fmt: skip


def wait(step, lead=None, **values):
    lead = lead or make_lead(f"w{StepWait.objects.count()}@example.jp")
    values.setdefault("origin_key", str(StepWait.objects.count()))
    now = timezone.now()
    return StepWait.objects.create(step_mail=step, lead=lead, origin_at=now, due_at=now, **values)


def test_deleted():
    """STEP-6: who waits and what is not handed over ends with the reason; what was sent stays. A draft is gone."""
    step, other = application_step(), application_step()
    mine, theirs = wait(step), wait(other)
    lead = make_lead()
    mails = {
        state: make_delivery(lead, kind="step", state=state, step_mail_id=step.pk)
        for state in ("queued", "deferred", "claimed", "sent")
    }
    partly = make_delivery(lead, kind="step", step_mail_id=step.pk, accepted=["a@example.jp"])
    foreign = make_delivery(lead, kind="step", step_mail_id=other.pk)
    assert delete(step, user=make_user(), now=timezone.now()) == 3
    assert delete(step, user=None, now=timezone.now()) == 0
    assert step.state == "deleted"
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.state, mine.reason, theirs.state) == ("stopped", "step_deleted", "waiting")
    after = {}
    for name, mail in {**mails, "partly": partly, "foreign": foreign}.items():
        mail.refresh_from_db()
        after[name] = (mail.state, mail.reason)
    assert after == {
        "queued": ("excluded", "step_deleted"), "deferred": ("excluded", "step_deleted"), "claimed": ("claimed", ""),
        "sent": ("sent", ""), "partly": ("queued", ""), "foreign": ("queued", ""),
    }  # fmt: skip
    assert AuditEntry.objects.get(action="step_mail.delete").detail["not_sent"] == 3
    assert refused(start, step) == "wrong_state"
    draft = draft_step()
    assert delete(draft, user=None, now=timezone.now()) == 0
    assert not StepMail.objects.filter(pk=draft.pk).exists()
    assert refused(start, draft) == "wrong_state"


def test_counts():
    """The numbers of the list, from the rows, in two queries for however many step mails."""
    steps = [application_step() for _number in range(3)]
    lead = make_lead()
    for step in steps[:2]:
        wait(step, lead)
        wait(step, lead)
        wait(step, lead, state="stopped", reason="condition")
        wait(step, lead, state="decided")
        for state, reason in [("queued", ""), ("handing_over", ""), ("sent", ""), ("error", ""), ("unknown", ""),
                              ("excluded", "already_sent"), ("excluded", "condition")]:  # fmt: skip
            make_delivery(lead, kind="step", state=state, reason=reason, step_mail_id=step.pk)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = counts(steps)
    assert len(queries) == 2
    one = found[steps[0].pk]
    assert one == found[steps[1].pk]
    assert (one.waiting, one.open, one.sent, one.error, one.unknown, one.excluded, one.stopped) == (
        2,
        2,
        1,
        1,
        1,
        2,
        1,
    )
    assert (one.not_sent, one.by_reason) == (3, {"condition": 2, "already_sent": 1})
    assert found[steps[2].pk].waiting == 0
