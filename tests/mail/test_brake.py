"""RATE-2: past a share of failures a job brakes at a domain, tells the administrators, and goes on when told to."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from mail import send_jobs
from mail.bounces.record import Bounce, record_bounce
from mail.delivery import brake
from mail.delivery.brake import GRACE, Tally, braked_domains, brakes_of, count_report, count_results, go_on
from mail.models import Delivery, JobDomain
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from settings.models import AuditEntry, Role
from settings.system_settings import set_setting
from tests.factories import make_delivery, make_lead, make_sending_job, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return make_sending_job("yoshio@docomo.ne.jp", "hanako@yamate.example.jp")


def count(job, domain="docomo.ne.jp", sent=0, failed=0, ours=0):
    return count_results(job.pk, {domain: Tally(sent, failed, ours)}, now=timezone.now())


def braked(job):
    return braked_domains([job.pk])[job.pk]


# ---- what counts


def test_what_counts():
    """RATE-2: temporary trouble, full mailboxes and domains that do not exist say nothing about us; our faults do."""
    tally = Tally().plus(DeliveryState.SENT, "")
    for cause in Cause:
        tally = tally.plus(DeliveryState.ERROR, cause)
    assert tally == Tally(1, 7, 1)
    for state in (DeliveryState.UNKNOWN, DeliveryState.DEFERRED, DeliveryState.EXCLUDED):
        assert tally.plus(state, Cause.REFUSED) == tally
    assert tally.plus(DeliveryState.ERROR, "") == tally  # a mail that could not be made


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("A@Docomo.NE.jp", "docomo.ne.jp"),
        ("a..b@docomo.ne.jp", "docomo.ne.jp"),
        ("info@日本語.jp", "xn--wgv71a119e.jp"),
        ("nobody", ""),
        ("", ""),
        ("a@b\r\nRCPT TO:<x@y>", ""),
    ],
)
def test_receiving_domain(address, domain):
    assert brake.receiving_domain(address) == domain


# ---- when it brakes


@pytest.mark.parametrize(
    ("sent", "failed", "ours", "expected"),
    [
        (0, 99, 0, False),  # a small job never brakes
        (0, 100, 0, True),
        (400, 100, 0, True),
        (401, 100, 0, False),  # under the share
        (0, 9, 9, False),
        (0, 10, 10, True),  # our own fault: a tenth is enough
        (40, 10, 10, True),
        (41, 10, 10, False),
        (0, 50, 5, False),
    ],
)
def test_share_and_minimum(job, sent, failed, ours, expected):
    """RATE-2: both the share (20 %) and the number (100; our own faults 10) must be reached."""
    assert count(job, sent=sent, failed=failed, ours=ours) == ({"docomo.ne.jp"} if expected else set())
    assert braked(job) == ({"docomo.ne.jp"} if expected else set())


def test_batches_add_up_and_domains_are_apart(job):
    for _batch in range(4):
        assert count(job, failed=24) == set()
    assert count(job, "ezweb.ne.jp", failed=30) == set()
    assert count(job, failed=4) == {"docomo.ne.jp"}
    assert count(job, failed=50) == set()  # braked already: those were in the air
    other = make_sending_job("jiro@docomo.ne.jp")
    assert braked_domains([job.pk, other.pk]) == {job.pk: {"docomo.ne.jp"}, other.pk: set()}


def test_old_results_fade(job):
    """A block that begins after many good mails is noticed soon."""
    for _batch in range(100):
        count(job, sent=500)
    failures = 0
    while not braked(job):
        count(job, failed=10)
        failures += 10
        assert failures < 400
    assert failures >= 100


def test_the_settings_decide(job):
    set_setting("brake_share", 50, user=None)
    set_setting("brake_minimum", 1000, user=None)
    assert count(job, sent=1001, failed=1000) == set()
    assert count(job, failed=2) == {"docomo.ne.jp"}


def test_a_later_report_counts(job):
    """RATE-2 through a relay: what bounces after acceptance moves from sent to failed."""
    set_setting("brake_minimum", 10, user=None)
    count(job, sent=40)
    for number in range(9):
        assert not count_report(job.pk, f"{number}@docomo.ne.jp", Cause.NO_MAILBOX, now=timezone.now())
    assert not count_report(job.pk, "full@docomo.ne.jp", Cause.FULL, now=timezone.now())
    assert count_report(job.pk, "last@docomo.ne.jp", Cause.NO_MAILBOX, now=timezone.now())
    row = JobDomain.objects.get()
    assert (row.sent, row.failed) == (30, 10)
    assert not count_report(job.pk, "no address", Cause.NO_MAILBOX, now=timezone.now())


def test_a_recorded_bounce_brakes(job, django_capture_on_commit_callbacks):
    """RATE-2 behind a relay: the intake counts, once per mail."""
    set_setting("brake_minimum", 10, user=None)
    mails = [make_delivery(make_lead(f"b{n}@docomo.ne.jp"), job=job, state="sent") for n in range(10)]
    count(job, sent=10)
    for mail in mails:
        bounce = Bounce(mail.address, "5.1.1", "550 5.1.1 unknown", Cause.NO_MAILBOX, hard=True)
        for _twice in range(2):
            with django_capture_on_commit_callbacks(execute=True):
                record_bounce(mail, bounce, now=timezone.now())
    row = JobDomain.objects.get()
    assert (row.sent, row.failed, row.reply) == (0, 10, "550 5.1.1 unknown")
    assert braked(job) == {"docomo.ne.jp"}


def test_reports_never_go_below_zero(job):
    count_report(job.pk, "a@docomo.ne.jp", Cause.NO_MAILBOX, now=timezone.now())
    count_report(job.pk, "a@docomo.ne.jp", Cause.NO_MAILBOX, now=timezone.now())
    row = JobDomain.objects.get()
    assert (row.sent, row.failed) == (0, 2)


def test_a_job_that_is_over_does_not_brake(job):
    send_jobs.stop(job, user=None, now=timezone.now())
    assert count(job, failed=500) == set()
    assert not Delivery.objects.filter(kind=DeliveryKind.ALERT).exists()


def test_one_statement_a_batch(job, django_assert_num_queries):
    domains = {f"d{number}.example.jp": Tally(3, 1, 0) for number in range(50)}
    with django_assert_num_queries(3):  # two settings, one upsert
        assert count_results(job.pk, domains, now=timezone.now()) == set()
    assert JobDomain.objects.count() == 50
    with django_assert_num_queries(0):
        assert count_results(job.pk, {"": Tally(1, 1), "x.example": Tally()}, now=timezone.now()) == set()


# ---- who is told


def failed_mails(job, number, **values):
    values = {"state": "error", "code": 42550, "enhanced_status": "5.1.1", "cause": "no_mailbox"} | values
    for index in range(number):
        reply = f"550 5.1.1 Unknown user {index}"
        make_delivery(make_lead(f"x{index}.{number}@docomo.ne.jp"), job=job, **({"reply": reply} | values))


def test_the_administrators_are_told_once(job):
    """RATE-2: one mail to each active privileged administrator with an address, in their language."""
    make_user("misaki")
    make_user("john", name="John", language="en")
    make_user("kenta", role=Role.CAMPAIGN)
    make_user("yui", is_active=False)
    nobody = make_user("nobody")
    nobody.email = "not an address"
    nobody.save()
    failed_mails(job, 3)
    failed_mails(job, 2, reply="554 5.7.1 blocked", code=42554, enhanced_status="5.7.1", cause="refused")
    count(job, failed=100)
    alerts = Delivery.objects.filter(kind=DeliveryKind.ALERT).order_by("address")
    assert [(one.address, one.lead_id, one.job_id, one.state) for one in alerts] == [
        ("john@example.jp", None, None, "queued"),
        ("misaki@example.jp", None, None, "queued"),
    ]
    english, japanese = (one.merge_values["text"] for one in alerts)
    assert "100 of the last 100 mails there have failed" in english
    assert "550 5.1.1 Unknown user 0" in english and "550 5.1.1 Unknown user 0" in japanese
    assert "直近100通のうち100通" in japanese
    assert f"/mail/jobs/{job.pk}/" in japanese
    assert AuditEntry.objects.get(action="job.brake").detail == {
        "domain": "docomo.ne.jp", "failed": 100, "mails": 100,
    }  # fmt: skip


def test_the_most_frequent_answer_of_our_fault(job):
    failed_mails(job, 3)
    failed_mails(
        job, 1, reply="550 5.7.515 Access denied", enhanced_status="5.7.515", cause="ours", code=42550
    )
    count(job, failed=20, ours=15)
    assert brakes_of(job)[0].reply == "550 5.7.515 Access denied"


def test_answers_of_international_domains_are_found(job):
    make_delivery(
        make_lead("info@日本語.jp"), job=job, state="error", code=42550, reply="550 いいえ", cause="refused"
    )
    count(job, "xn--wgv71a119e.jp", failed=100)
    assert brakes_of(job)[0].reply == "550 いいえ"


def test_it_brakes_even_if_nobody_can_be_told(job, monkeypatch):
    def broken(*_args, **_values):
        raise RuntimeError("no mail today")

    monkeypatch.setattr(brake, "alert_admins", broken)
    make_user()
    assert count(job, failed=100) == {"docomo.ne.jp"}
    assert braked(job) == {"docomo.ne.jp"}


# ---- going on


def held(job, address, minutes=30, **values):
    later = timezone.now() + timedelta(minutes=minutes)
    return make_delivery(make_lead(address), job=job, **({"next_at": later} | values))


def test_go_on(job):
    """RATE-2 「送信を続ける」: what waits is due again, audited, and it is judged by new results only."""
    misaki = make_user()
    count(job, sent=10, failed=110)
    mine = held(job, "taro@DOCOMO.ne.jp")
    other = held(job, "taro@ezweb.ne.jp")
    lookalike = held(job, "taro@docomo.ne.jp.example.com")
    now = timezone.now()
    assert go_on(job, "docomo.ne.jp", user=misaki, now=now)
    for row in (mine, other, lookalike):
        row.refresh_from_db()
    assert mine.next_at == now + GRACE and other.next_at > now + GRACE and lookalike.next_at > now + GRACE
    assert braked(job) == set() and brakes_of(job) == []
    row = JobDomain.objects.get()
    assert (row.sent, row.failed, row.released_by) == (0, 0, misaki)
    entry = AuditEntry.objects.get(action="job.go_on")
    assert entry.user == misaki and entry.detail == {"domain": "docomo.ne.jp", "failed": 110, "mails": 120}
    assert count(job, failed=99) == set()
    assert count(job, failed=1) == {"docomo.ne.jp"}
    assert brakes_of(job)[0].released_at is None


def test_go_on_reaches_international_domains(job):
    count(job, "xn--wgv71a119e.jp", failed=100)
    row = held(job, "info@日本語.jp")
    now = timezone.now()
    assert go_on(job, "xn--wgv71a119e.jp", user=None, now=now)
    row.refresh_from_db()
    assert row.next_at == now + GRACE


def test_go_on_where_nothing_is_braked(job):
    count(job, failed=5)
    assert not go_on(job, "docomo.ne.jp", user=None, now=timezone.now())
    assert not go_on(job, "'; DROP TABLE mail_delivery; --", user=None, now=timezone.now())
    assert not AuditEntry.objects.filter(action="job.go_on").exists()


def test_an_ended_job_does_not_go_on(job):
    count(job, failed=100)
    send_jobs.stop(job, user=None, now=timezone.now())
    assert brakes_of(job) == []
    assert not go_on(job, "docomo.ne.jp", user=None, now=timezone.now())


def test_a_braked_job_stays_open(job):
    """RATE-2: the job stays 送信中 while braked mails wait."""
    count(job, failed=100)
    job.deliveries.filter(address__endswith="yamate.example.jp").update(state="sent")
    assert not send_jobs.finish_if_empty(job.pk, now=timezone.now())
    send_jobs.pause(job, user=None, now=timezone.now())
    assert [row.domain for row in brakes_of(job)] == ["docomo.ne.jp"]
    assert go_on(job, "docomo.ne.jp", user=None, now=timezone.now())


def test_the_command_shows_brakes(job, capsys):
    count(job, failed=100)
    call_command("job", str(job.pk), "--json")
    (shown,) = json.loads(capsys.readouterr().out)["brakes"]
    assert (shown["domain"], shown["failed"], shown["of"]) == ("docomo.ne.jp", 100, 100)
    call_command("job", str(job.pk))
    assert "docomo.ne.jp" in capsys.readouterr().out
