"""The sample data shows what the product is for, and obeys its rules: leads, mailings, seats, a day at the door."""

import pytest
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from campaigns.models import Application, ApplicationState, Campaign
from campaigns.seats import seats_of
from campaigns.status import status_of
from leads.models import Lead, SavedSearch
from leads.search import leads_matching
from mail.brake_queries import brakes_shown
from mail.models import (
    BlacklistedAddress,
    CountedUrl,
    Delivery,
    Magazine,
    MailTemplate,
    Reader,
    ReaderChange,
    ReaderState,
    ReturnedMail,
    SendJob,
    StepMail,
    StepWait,
    Story,
    StoryTurn,
)
from mail.recipients.reasons import DECIDED_AT_START, Reason
from mail.stories.content import problems
from mail.template_check import check_template
from settings.models import DomainRule, SourceIp, User
from smp.demo import sample_data
from tracking.models import MailHit, PageView

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def loaded(django_db_setup, django_db_blocker):
    """Seconds of work: once for all, in a transaction around those of the tests. The moment it was loaded."""
    with django_db_blocker.unblock(), transaction.atomic():
        now = timezone.now()
        sample_data.load(now=now, leads=1500)
        yield now
        transaction.set_rollback(True)


def test_all_there_is_to_see_is_there(loaded):
    assert Lead.objects.count() == 1500
    assert sorted(User.objects.values_list("username", "role")) == [
        ("admin", "privileged"),
        ("campaign", "campaign"),
        ("viewer", "viewer"),
    ]
    assert set(SendJob.objects.values_list("state", flat=True)) == {
        "done",
        "sending",
        "reserved",
        "stopped",
        "deleted",
    }
    assert set(SendJob.objects.values_list("rule", flat=True)) == {"by_user", "by_search"}
    assert {(t.form, t.charset, t.purpose) for t in MailTemplate.objects.all()} >= {
        ("text", "iso-2022-jp", "advertising"),
        ("text", "utf-8", "notice"),
        ("html", "utf-8", "advertising"),
        ("multipart", "utf-8", "advertising"),
    }


def test_every_reason_has_an_example(loaded):
    """EXC-1: all that can be decided, and what comes later."""
    reasons = set(Delivery.objects.exclude(reason="").values_list("reason", flat=True))
    of_steps = {Reason.CONDITION, Reason.APPLICATION_CANCELLED, Reason.STEP_DELETED, Reason.TOO_LATE}
    assert reasons >= set(Reason.values) - {Reason.AUTOMATIC_OFF} - of_steps
    everyone = SendJob.objects.get(state="done", rule="by_search", magazine=None)
    of_magazines = {Reason.READER_STOPPED, Reason.READER_ERROR_STOPPED, Reason.FILTER}
    assert {Reason(reason) for reason in everyone.counts["reason"]} >= set(
        DECIDED_AT_START
    ) - of_magazines - {Reason.DELETED}
    of_stories = Delivery.objects.filter(kind="magazine").values_list("reason", flat=True)
    assert set(of_stories) >= {*of_magazines, Reason.READER_LEFT_LATE, Reason.DUPLICATE}


def test_templates_may_be_sent(loaded):
    """LAW-1: every legal line is there. Only the demo's own site has no TLS."""
    found = [
        (template.name, one)
        for template in MailTemplate.objects.filter(magazine=None)
        for one in check_template(template)
    ]
    found += [(story.name, one) for story in Story.objects.all() for one in problems(story)]
    assert [(name, one) for name, one in found if "//localhost" not in one.text] == []
    assert {one.severity for _name, one in found} <= {"warning"}


def test_mailings_were_opened_clicked_and_led_to_the_site(loaded):
    """TRK-3, TRK-4, WEB-1, STEP-3: every page of tracking has something to show."""
    jobs = SendJob.objects.filter(count_clicks=True, magazine=None)
    assert jobs.count() == 3
    for job in jobs:
        hits = MailHit.objects.filter(job_id=job.pk)
        assert {"person", "machine"} == set(hits.values_list("verdict", flat=True))
        assert {"open", "click"} == set(hits.values_list("kind", flat=True))
        assert set(hits.exclude(url_id=None).values_list("url_id", flat=True)) <= set(
            CountedUrl.objects.values_list("pk", flat=True)
        )
    assert PageView.objects.filter(lead_id=None).exists() and PageView.objects.exclude(lead_id=None).exists()
    assert PageView.objects.exclude(linked_at=None).exists(), "views from before the visitor was known"
    assert {step.origin for step in StepMail.objects.filter(state="active")} == {"application", "page_view"}
    assert StepWait.objects.filter(state="waiting", due_at__gt=timezone.now()).exists()


def test_magazines_have_readers_in_every_state_and_stories_that_run(loaded):
    """MAG-1, MAG-8, OPT-10: two magazines, each with states of its own; step and loop stories whose starts are real."""
    for magazine in Magazine.objects.all():
        assert set(magazine.readers.values_list("state", flat=True)) == set(ReaderState.values)
        registered = ReaderChange.objects.filter(magazine=magazine, what="registered").exclude(evidence="")
        assert set(registered.values_list("lead_id", flat=True)) >= set(
            magazine.readers.values_list("lead_id", flat=True)
        )
    assert Reader.objects.values("lead").annotate(n=Count("pk")).filter(n=2).exists(), "somebody reads both"
    assert {(s.kind, s.state) for s in Story.objects.all()} >= {
        ("step", "running"), ("loop", "running"), ("loop", "paused"), ("extra", "running"), ("extra", "draft"),
    }  # fmt: skip
    jobs = SendJob.objects.exclude(magazine=None)
    assert set(jobs.values_list("story__kind", flat=True)) == {"step", "loop", "extra"}
    assert set(jobs.values_list("state", flat=True)) == {"done", "reserved"}
    assert not Delivery.objects.filter(
        kind="magazine", lead__readers__registered_at__gt=F("decided_at")
    ).filter(lead__readers__magazine=F("job__magazine")), "nobody was mailed before they registered"
    assert {turn.state for turn in StoryTurn.objects.all()} == {"waiting", "decided", "skipped"}
    assert ReaderChange.objects.filter(way="start").exclude(job_id=None).exists(), (
        "a stricter threshold (MAG-5)"
    )
    assert BlacklistedAddress.objects.filter(own_act=True).exists()
    assert MailHit.objects.filter(job_id__in=jobs.values("pk"), kind="click", verdict="person").exists()


def test_every_search_finds_somebody(loaded):
    found = {
        search.name: leads_matching(
            search.condition, now=timezone.now(), campaign_id=search.campaign_id
        ).count()
        for search in SavedSearch.objects.all()
    }
    assert {name for name, number in found.items() if not number} == set()


def test_one_more_error_switches_a_lead_off(loaded):
    """FLAG-1: two in a row, counted from the deliveries."""
    assert Lead.objects.filter(
        email_norm__endswith="@unknown.example", email_failures=2, email_valid=True
    ).exists()


def test_running_job_has_mails_to_come_and_mails_done(loaded):
    job = SendJob.objects.get(state="sending", domains=None)
    states = set(job.deliveries.values_list("state", flat=True))
    assert {"sent", "queued", "excluded"} <= states
    assert job.deliveries.filter(state="queued", next_at__gt=timezone.now()).exists()


def test_what_an_operator_looks_after_is_there(loaded):
    """RATE-1..3, OPT-9, ERR-4, ERR-5: a braked mailing, every kind of returned mail, causes, 結果不明, source IPs."""
    braked = SendJob.objects.get(state="sending", domains__braked_at__isnull=False)
    (brake,) = brakes_shown(braked)
    assert brake.total == braked.deliveries.filter(state="error", cause="ours").count() > 0
    assert brake.waiting
    kinds = set(ReturnedMail.objects.values_list("kind", flat=True))
    assert kinds >= {"failure", "complaint", "auto_reply", "delayed", "unsigned"}
    complaints = ReturnedMail.objects.filter(kind="complaint", changed=True)
    assert (
        Lead.objects.filter(pk__in=complaints.values("lead_id"), unsubscribed_at__isnull=False).count() == 3
    )
    assert Delivery.objects.filter(state="unknown").exists()
    assert not Delivery.objects.filter(state="error", cause="").exists()
    assert SourceIp.objects.filter(warmup_started_on__isnull=False).exists()
    assert DomainRule.objects.filter(domains=["busy.example"], route="mx").exists()


def test_is_the_same_every_time(loaded):
    first = list(Lead.objects.order_by("id").values_list("email", "last_name", "prefecture"))
    dice = sample_data.random.Random(sample_data.SEED)
    columns = {column.label: column for column in sample_data.LeadColumn.objects.all()}
    again = sample_data.make_leads(
        dice, 1440, columns, timezone.now() - sample_data.timedelta(days=40), sample_data.timedelta(days=1095)
    )
    assert [(lead.email, lead.last_name, lead.prefecture) for lead in again] == first[:1440]


def test_addresses_are_reserved_for_examples_or_carriers_traps(loaded):
    """No sample mail can reach anybody: only example domains, and the carriers' odd addresses."""
    real = [
        email
        for email in Lead.objects.filter(email_malformed=False)
        .exclude(email="")
        .values_list("email_norm", flat=True)
        if not email.endswith((".example", "example.jp", ".example.com", "example.com", "example.jp"))
    ]
    assert sorted(real) == [".hanako@ezweb.ne.jp", "a..b.@docomo.ne.jp"]


def test_three_campaigns_one_of_them_full(loaded):
    """APP-1, APP-6"""
    campaigns = list(Campaign.objects.order_by("pk"))
    seats = seats_of(campaigns)
    statuses = [status_of(one, now=loaded, seats=seats[one.pk]).key for one in campaigns]
    assert statuses[:2] == ["open", "waiting"]
    winter, full, today = campaigns
    assert (seats[full.pk].taken, seats[full.pk].capacity) == (30, 30)
    assert seats[full.pk].waiting >= 5
    assert 60 < seats[winter.pk].taken < 120
    assert today.applications.exclude(attended_at=None).count() == 21
    states = set(Application.objects.values_list("state", flat=True))
    assert states == set(ApplicationState.values)


def test_some_are_told_by_mail_and_the_rest_is_the_past(loaded):
    """APP-4: the mails are decided like all others"""
    mails = Delivery.objects.filter(kind="automatic")
    assert 5 <= mails.count() <= 40
    assert set(mails.exclude(lead=None).values_list("state", flat=True)) == {"queued"}
    assert {"received", "waiting", "confirm"} <= set(mails.values_list("mail_kind", flat=True))
