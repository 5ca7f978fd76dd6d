"""STEP-2..4, WEB-1: which origins start a wait, once each, and why others do not."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.applications import Entry, apply, confirm
from campaigns.events import Event, Happening
from leads.models import Lead
from mail.models import Delivery, StepWait
from mail.step_mail import delete, stop
from mail.step_settings import BEFORE_KNOWN
from mail.step_waits import Viewed, applied, viewed
from settings.system_settings import set_setting
from tests.campaigns.test_csv_applications import THREE, bring_in
from tests.factories import make_application, make_campaign, make_lead, make_user
from tests.mail import step_scene
from tests.mail.step_scene import PAGE, active_step, application_step, look_at, make_search, tell

pytestmark = pytest.mark.django_db


def rows(step):
    return list(StepWait.objects.filter(step_mail=step).order_by("pk").values_list("state", "reason"))


def searching_for(campaign, state):
    condition = {
        "match": "all",
        "blocks": [{"item": f"campaign.{campaign.pk}.state", "operator": "is", "values": [state]}],
    }
    return make_search(condition, campaign)


class TestApplications:
    """STEP-3, orange: the application is the origin."""

    def test_one_wait(self):
        """STEP-1, TGT-12: a row with its due time, once, however often it is told."""
        step = application_step(wait_minutes=90)
        application = step_scene.apply(step)
        tell(application)
        (wait,) = StepWait.objects.all()
        assert (wait.step_mail, wait.lead, wait.application_id) == (step, application.lead, application.pk)
        assert wait.origin_at == application.applied_at
        assert wait.due_at - wait.origin_at == timedelta(minutes=90)
        assert not Delivery.objects.filter(kind="step").exists()

    @pytest.mark.parametrize(
        "values",
        [{"way": "form"}, {"way": "proxy"}, {"way": "csv", "tell": False}, {"way": "api", "tell": False}],
    )
    def test_whichever_way(self, values):
        """Also where nobody is mailed about the application."""
        step = application_step()
        entry = Entry({"email": "yoshio@yamate.example.jp", "last_name": "髙橋", "first_name": "𠮷男"})
        done = apply(step.campaign, entry, now=timezone.now(), token=uuid.uuid4(), **values)
        assert rows(step) == [("waiting", "")]
        assert StepWait.objects.get().application_id == done.application.pk
        assert Delivery.objects.filter(kind="automatic").exists() == values.get("tell", True)

    @pytest.mark.parametrize(("tell", "mails"), [(True, 3), (False, 0)])
    def test_a_file(self, tell, mails):
        """CSV一括申込, also without mails to the applicants; nobody of the file before the start counts."""
        step = application_step()
        assert bring_in(step.campaign, THREE, tell=tell).state == "done"
        assert rows(step) == [("waiting", "")] * 3
        assert Delivery.objects.filter(kind="automatic").count() == mails

    def test_when_it_is_confirmed(self):
        """A provisional application is none yet."""
        step = active_step(make_campaign(confirm_address=True))
        entry = Entry({"email": "yoshio@yamate.example.jp", "last_name": "髙橋", "first_name": "𠮷男"})
        done = apply(step.campaign, entry, way="form", now=timezone.now(), token=uuid.uuid4())
        assert rows(step) == []
        confirm(done.application, now=timezone.now())
        assert rows(step) == [("waiting", "")]

    def test_from_the_waiting_list(self):
        """Who does not match while waiting for a seat starts when moving up, from that moment on."""
        campaign = make_campaign()
        step = active_step(campaign, search=searching_for(campaign, "applied"))
        everybody = active_step(campaign)
        application = step_scene.apply(step, state="waiting", event=Event.WAITING)
        assert (rows(step), rows(everybody)) == ([("stopped", "condition")], [("waiting", "")])
        due = StepWait.objects.get(step_mail=everybody).due_at
        moment = timezone.now()
        application.state, application.applied_at = "applied", moment
        application.save()
        tell(application, Event.MOVED_UP)
        assert (rows(step), rows(everybody)) == ([("waiting", "")], [("waiting", "")])
        assert StepWait.objects.get(step_mail=step).origin_at == moment
        assert StepWait.objects.get(step_mail=everybody).due_at == due

    def test_why_not(self):
        """STEP-2 (M), TGT-12: the condition is checked at the application; the row says it did not match."""
        campaign = make_campaign()
        step = active_step(campaign, search=searching_for(campaign, "waiting"))
        step_scene.apply(step)
        (wait,) = StepWait.objects.all()
        assert (wait.state, wait.reason) == ("stopped", "condition")
        assert wait.decided_at is not None

    def test_told_again_is_no_new_origin(self):
        """Who did not match at the application and is told of it again does not start then."""
        campaign = make_campaign()
        condition = {
            "match": "all",
            "blocks": [{"item": "lead.company", "operator": "is", "values": ["山手製作所"]}],
        }
        step = active_step(campaign, search=make_search(condition, campaign))
        application = step_scene.apply(step)
        Lead.objects.update(company="山手製作所")
        tell(application)
        assert rows(step) == [("stopped", "condition")]

    def test_only_since_the_start(self):
        """Nor does a second telling of an old application count; nor one of another campaign, stopped or deleted steps."""
        campaign = make_campaign()
        step = active_step(campaign)
        old = make_application(campaign, applied_at=timezone.now() - timedelta(days=1))
        tell(old)
        tell(make_application(make_campaign()))
        stop(step, user=None, now=timezone.now())
        tell(make_application(campaign))
        delete(active_step(campaign), user=None, now=timezone.now())
        tell(make_application(campaign))
        assert StepWait.objects.count() == 0

    def test_other_events_start_nothing(self):
        step = application_step()
        application = make_application(step.campaign)
        for event in set(Event) - {Event.RECEIVED, Event.WAITING, Event.MOVED_UP}:
            tell_only = Happening(
                event, application.lead, timezone.now(), campaign=step.campaign, application=application
            )
            assert applied([tell_only]) == 0

    def test_a_condition_that_is_gone_keeps_nobody_from_applying(self, caplog):
        """They wait: it is asked again when they are due, and until then somebody can mend it."""
        step = application_step()
        type(step.search).objects.update(condition={"match": "all", "blocks": [{"item": "lead.column.gone"}]})
        step_scene.apply(step)
        assert rows(step) == [("waiting", "")]
        assert "cannot be asked" in caplog.text

    def test_as_many_queries_for_a_thousand(self):
        """STEP-6: a CSV file of a thousand costs the queries of one."""
        step = application_step()
        active_step(step.campaign)

        def queries(number):
            now = timezone.now()
            happenings = [
                Happening(Event.RECEIVED, one.lead, now, campaign=step.campaign, application=one)
                for one in [make_application(step.campaign) for _number in range(number)]
            ]
            with CaptureQueriesContext(connection) as captured:
                assert applied(happenings) == 2 * number
            return len(captured)

        assert queries(1) == queries(30)


class TestViews:
    """STEP-3, blue: a view of a tracked page by a known lead is the origin."""

    def test_one_wait_a_view(self):
        step = active_step(wait_minutes=10)
        lead, now = make_lead(), timezone.now()
        views = [
            Viewed(lead.pk, PAGE + "?utm=1", now, "a"),
            Viewed(lead.pk, "https://www.example.jp/other", now, "b"),
            Viewed(lead.pk, PAGE, now, "c"),
        ]
        assert viewed(views, now=now) == 2
        assert viewed(views, now=now) == 0  # flushed twice
        first, second = StepWait.objects.filter(step_mail=step).order_by("pk")
        assert (first.origin_key, first.origin_text, first.due_at) == (
            "a",
            PAGE + "?utm=1",
            now + timedelta(minutes=10),
        )
        assert (second.origin_key, second.application_id) == ("c", None)

    def test_only_since_the_start(self):
        step = active_step()
        assert look_at(make_lead(), PAGE, at=step.active_since - timedelta(seconds=1)) == 0
        assert look_at(make_lead("kenta@example.jp"), PAGE, at=step.active_since) == 1

    def test_who_does_not_match(self):
        """STEP-2: with the row that says why not."""
        step = active_step(
            search=make_search(
                {
                    "match": "all",
                    "blocks": [{"item": "lead.company", "operator": "is", "values": ["山手製作所"]}],
                }
            )
        )
        look_at(make_lead("a@example.jp", company="山手製作所"), PAGE)
        look_at(make_lead("b@example.jp"), PAGE)
        assert rows(step) == [("waiting", ""), ("stopped", "condition")]

    def test_inside_a_campaign_pages_start_nothing(self):
        step = application_step()
        look_at(make_application(step.campaign).lead, PAGE)
        assert StepWait.objects.count() == 0

    @pytest.mark.parametrize(("enabled", "mails"), [(True, 3), (False, 0)])
    def test_views_from_before(self, enabled, mails):
        """STEP-4: 「リード(申込者)登録前のトラッキングによるステップメール送信」: 有効: each earlier view; 無効 (default): none."""
        step = active_step(since=timezone.now() - timedelta(days=9), wait_minutes=60)
        if enabled:
            set_setting(BEFORE_KNOWN, True, user=make_user())
        now = timezone.now()
        look_at(
            make_lead(),
            PAGE,
            PAGE + "/a",
            PAGE + "/b",
            at=now - timedelta(days=5),
            before_known=True,
            now=now,
        )
        assert rows(step) == [("waiting", "")] * mails
        assert {wait.due_at for wait in StepWait.objects.all()} <= {now}  # not counted as five days late

    def test_hostile_addresses_of_pages(self):
        step = active_step(url_pattern="www.example.jp/*")
        lead = make_lead()
        nasty = [
            "",
            "javascript:1",
            "https://[",
            "https://www.example.jp/\0",
            "https://www.example.jp/髙﨑𠮷①㈱😀<b>",
            "https://www.example.jp/" + "x" * 5000,
        ]
        look_at(lead, *nasty)
        texts = [wait.origin_text for wait in StepWait.objects.filter(step_mail=step).order_by("pk")]
        assert texts == [nasty[4], nasty[5][:1000]]

    def test_as_many_queries_for_many(self):
        active_step()
        active_step()

        def queries(number):
            now = timezone.now()
            start = Lead.objects.count()
            views = [
                Viewed(make_lead(f"v{start + place}@example.jp").pk, PAGE, now, f"{start + place}")
                for place in range(number)
            ]
            with CaptureQueriesContext(connection) as captured:
                assert viewed(views, now=now) == 2 * number
            return len(captured)

        assert queries(1) == queries(30)
