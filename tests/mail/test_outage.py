"""A receiver's outage is taken back in one action (MAG-3)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mail.magazines.failures import count, stop_over_thresholds
from mail.magazines.outage import affected, coming_back, take_back
from mail.magazines.readers import change_reader, leave
from mail.models import Magazine, Outage, Reader, ReaderChange, ReaderFailure
from mail.refused import Refused
from settings.models import AuditEntry
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader
from tests.mail.test_reader_failures import assert_true, fails

pytestmark = pytest.mark.django_db
DOMAIN = "docomo.ne.jp"


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def magazine():
    return make_magazine()


def period(now):
    return now - timedelta(hours=3), now - timedelta(hours=1)


def hit(magazine, name, now, *, times=3, cause="refused", hours=2, domain=DOMAIN):
    """A reader whose mails failed two hours ago."""
    reader = make_reader(magazine, f"{name}@{domain}")
    return fails(
        reader, cause, times=times, at=now - timedelta(hours=hours), now=now - timedelta(hours=hours)
    )


def test_who_comes_back(magazine, now):
    """Chosen are domain and period; who is under all thresholds without these failures is deliverable again, and it stands in
    their history; it is seen before."""
    user = make_user()
    stopped, counted = hit(magazine, "stopped", now), hit(magazine, "counted", now, times=2)
    elsewhere = hit(magazine, "elsewhere", now, domain="ezweb.ne.jp")
    before = hit(magazine, "before", now, hours=9)
    other = hit(make_magazine("別"), "other", now)
    assert stopped.state == elsewhere.state == before.state == other.state == "error_stopped"
    seen = affected(magazine, DOMAIN, *period(now))
    assert (seen.failures, seen.readers, seen.come_back) == (5, 2, 1)
    assert list(coming_back(magazine, DOMAIN, *period(now))) == [stopped]
    outage = take_back(
        magazine, " DOCOMO.ne.jp", *period(now), note="大規模障害", user=user, now=now, ip="192.0.2.1"
    )
    assert (outage.domain, outage.failures_count, outage.readers_back, outage.note) == (
        DOMAIN,
        5,
        1,
        "大規模障害",
    )
    for reader in (stopped, counted, elsewhere, before, other):
        assert_true(reader)
    assert [one.state for one in (stopped, counted, elsewhere, before, other)] == [
        "deliverable", "deliverable", "error_stopped", "error_stopped", "error_stopped",
    ]  # fmt: skip
    assert (stopped.failures_refused, stopped.state_at, counted.failures_refused) == (0, now, 0)
    change = ReaderChange.objects.get(way="outage")
    assert (change.lead_id, change.before, change.after, change.user) == (
        stopped.lead_id, "error_stopped", "deliverable", user,
    )  # fmt: skip
    assert change.detail == {"outage": outage.pk, "failures": 3}
    assert ReaderFailure.objects.filter(outage=outage, reset_at=now).count() == 5
    entry = AuditEntry.objects.get(action="magazine.outage", user=user)
    assert (entry.detail["domain"], entry.detail["failed"], entry.detail["readers"]) == (DOMAIN, 5, 1)
    assert stop_over_thresholds(magazine, job_id=1, now=now) == 0


def test_twice_changes_nothing(magazine, now):
    reader = hit(magazine, "stopped", now)
    take_back(magazine, DOMAIN, *period(now), user=None, now=now)
    with pytest.raises(Refused) as refused:
        take_back(magazine, DOMAIN, *period(now), user=None, now=now)
    assert refused.value.code == "nothing"
    assert Outage.objects.count() == AuditEntry.objects.filter(action="magazine.outage").count() == 1
    assert_true(reader)


def test_who_left_or_was_stopped_by_hand_stays(magazine, now):
    """Their stop has another reason by now; their failures do not count any more all the same."""
    left, by_hand = hit(magazine, "left", now), hit(magazine, "by-hand", now)
    leave(magazine, left.lead, way="form", now=now)
    change_reader(by_hand, {}, state="stopped", reset_failures=False, user=None, now=now)
    assert affected(magazine, DOMAIN, *period(now)).come_back == 0
    assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).failures_count == 6
    for reader in (left, by_hand):
        assert_true(reader)
        assert (reader.state, reader.failures_refused) == ("stopped", 0)


def test_who_is_over_a_threshold_without_them_stays(magazine, now):
    """Of the same kind, or of another."""
    same = hit(magazine, "same", now)
    fails(same, "refused", times=3, at=now - timedelta(days=9))
    another = hit(magazine, "another", now)
    fails(another, "full", times=5, at=now - timedelta(days=9))
    assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).readers_back == 0
    assert (same.failures_refused, another.failures_full) == (6, 5)
    for reader in (same, another):
        assert_true(reader)
        assert reader.state == "error_stopped"


def test_who_was_stopped_for_another_reason_stays(magazine, now):
    """Stopped by a missing mailbox; the threshold was loosened since, and the outage had a part in nothing."""
    reader = fails(make_reader(magazine, f"a@{DOMAIN}"), "no_mailbox", at=now - timedelta(days=2))
    fails(reader, "refused", at=now - timedelta(hours=2))
    Magazine.objects.update(stop_no_mailbox=5)
    assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).readers_back == 0
    assert_true(reader)
    assert reader.state == "error_stopped"


def test_who_was_stopped_before_the_outage_stays(magazine, now):
    """By the same kind of failure, of earlier mails; the threshold was loosened since."""
    reader = hit(magazine, "early", now, hours=50)
    fails(reader, "refused", at=now - timedelta(hours=2))
    Magazine.objects.update(stop_refused=9)
    assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).readers_back == 0
    assert_true(reader)
    assert reader.state == "error_stopped"


def test_stopped_at_a_start_comes_back(magazine, now):
    """MAG-5: set back without a reset, and stopped again by the same failures."""
    reader = hit(magazine, "again", now)
    change_reader(reader, {}, state="deliverable", reset_failures=False, user=None, now=now)
    assert stop_over_thresholds(magazine, job_id=1, now=now) == 1
    assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).readers_back == 1


def test_kinds_of_failures(magazine, now):
    """No such mailbox is said by no outage, unless one chooses it."""
    reader = hit(magazine, "nobody", now, times=1, cause="no_mailbox")
    with pytest.raises(Refused):
        take_back(magazine, DOMAIN, *period(now), user=None, now=now)
    outage = take_back(magazine, DOMAIN, *period(now), groups=["no_mailbox"], user=None, now=now)
    assert (outage.readers_back, outage.groups) == (1, ["no_mailbox"])
    assert_true(reader)
    assert reader.state == "deliverable"


def test_a_failure_that_is_reported_later(magazine, now):
    """It is part of the outage."""
    reader = hit(magazine, "late", now, times=2)
    outage = take_back(magazine, DOMAIN, *period(now), user=None, now=now)
    fails(reader, "refused", times=3, at=now - timedelta(hours=2), now=now + timedelta(days=1))
    assert (reader.state, reader.failures_refused) == ("deliverable", 0)
    assert ReaderFailure.objects.filter(outage=outage).count() == 5
    fails(reader, "refused", at=now)
    assert reader.failures_refused == 1
    assert_true(reader)


def test_japanese_domains(magazine, now):
    reader = hit(magazine, "a", now, domain="例え.jp")
    assert take_back(magazine, "例え.jp", *period(now), user=None, now=now).readers_back == 1
    assert_true(reader)


@pytest.mark.parametrize(
    ("domain", "hours", "groups", "code"),
    [("", 2, ["full"], "domain"), ("a b\0c", 2, ["full"], "domain"), (DOMAIN, 0, ["full"], "period"),
     (DOMAIN, 2, ["nonsense"], "groups")],
)  # fmt: skip
def test_what_cannot_be_chosen(magazine, now, domain, hours, groups, code):
    with pytest.raises(Refused) as refused:
        affected(magazine, domain, now - timedelta(hours=hours), now, groups=groups)
    assert refused.value.code == code


def test_the_number_of_statements(magazine, now, django_assert_num_queries):
    for place in range(4):
        hit(magazine, f"r{place}", now)
    with django_assert_num_queries(1):
        assert affected(magazine, DOMAIN, *period(now)).come_back == 4
    with django_assert_num_queries(8):
        assert take_back(magazine, DOMAIN, *period(now), user=None, now=now).readers_back == 4
    assert Reader.objects.filter(state="deliverable").count() == 4
    assert count([], now=now) == 0
