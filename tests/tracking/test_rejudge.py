"""TRK-4: what is stored is judged anew, by ranges, without harm to what comes meanwhile."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from settings.models import AuditEntry
from tests.factories import make_job
from tests.tracking.test_judge import CHROME, GMAIL
from tracking import rejudge as rejudging
from tracking.models import MailHit, PageView, TrackedSite, Visitor
from tracking.rejudge import judge_deliveries, rejudge

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def make_hit(kind="open", seconds_after=0, **values):
    values = {"delivery_id": 1, "agent": CHROME, "seconds": 3600, "hints": {}} | values
    return MailHit.objects.create(
        uid=uuid.uuid4(), kind=kind, at=AT + timedelta(seconds=seconds_after), **values
    )


def make_view(**values):
    values = {"agent": CHROME, "hints": {}, "at": AT} | values
    site = TrackedSite.objects.get_or_create(domain="www.example.jp", defaults={"name": "Web"})[0]
    visitor = Visitor.objects.create(uid=uuid.uuid4(), first_seen_at=AT, last_seen_at=AT)
    return PageView.objects.create(
        uid=uuid.uuid4(), site=site, visitor=visitor, url="https://www.example.jp/", **values
    )


def judged(row):
    row.refresh_from_db()
    return row.verdict, row.evidence


def run(*arguments):
    out = StringIO()
    call_command("judge_hits", *arguments, stdout=out)
    return out.getvalue()


def test_everything_stored_gets_the_judgement_of_todays_rules(monkeypatch):
    """TRK-4: in both directions and for page views; facts stay; several ranges; once more changes nothing"""
    monkeypatch.setattr(rejudging, "BATCH", 2)
    person = make_hit()
    wrong_machine = make_hit(verdict="machine", evidence=["scanner"])
    apple = make_hit(agent="Mozilla/5.0")
    gmail = make_hit(agent=GMAIL)
    soon = make_hit("click", seconds=0, url_id=5, delivery_id=9)
    curl = make_view(agent="curl/8.5.0")
    bot = make_view(agent="Googlebot/2.1", verdict="machine", evidence=["scanner"])
    facts = list(MailHit.objects.order_by("id").values("at", "ip", "agent", "hints", "seconds"))
    found = rejudge()
    assert judged(person) == ("person", [])
    assert judged(wrong_machine) == ("person", [])
    assert judged(apple) == ("machine", ["apple_privacy"])
    assert judged(gmail) == ("person", ["via_google"])
    assert judged(soon) == ("machine", ["too_soon"])
    assert judged(curl) == ("machine", ["library"])
    assert judged(bot) == ("machine", ["scanner"])
    mails, views = found.mails, found.views
    assert (mails.judged, mails.to_machine, mails.to_person, mails.evidence) == (5, 2, 1, 1)
    assert (views.judged, views.to_machine, views.to_person, views.evidence) == (2, 1, 0, 0)
    assert list(MailHit.objects.order_by("id").values("at", "ip", "agent", "hints", "seconds")) == facts
    again = rejudge()
    assert again.mails.changed == again.views.changed == 0
    assert (again.mails.judged, again.views.judged) == (5, 2)
    entry = AuditEntry.objects.filter(action="hits.judge").order_by("id")[0]
    assert entry.detail == {
        "rules_version": 1,
        "judged": 7,
        "to_machine": 3,
        "to_person": 1,
        "finished": True,
    }


def test_a_burst_is_seen_across_the_ranges(monkeypatch):
    """TRK-4: clicks of one mail that lie in different ranges of ids"""
    monkeypatch.setattr(rejudging, "BATCH", 1)
    burst = [make_hit("click", second / 2, url_id=second) for second in range(3)]
    alone = make_hit("click", 3600, url_id=1)
    other = make_hit("click", 0, url_id=7, delivery_id=2)
    rejudge()
    assert [judged(hit) for hit in burst] == [("machine", ["burst"])] * 3
    assert judged(alone) == judged(other) == ("person", [])


def test_later_clicks_make_a_burst_of_earlier_ones():
    """TRK-4: what recording asks for, of these mails and that time only"""
    early = [make_hit("click", 0, url_id=1), make_hit("click", 0.2, url_id=2)]
    untouched = make_hit("click", 0, url_id=1, delivery_id=2, verdict="machine", evidence=["head"])
    long_ago = make_hit("click", -90, url_id=1, verdict="machine", evidence=["head"])
    late = make_hit("click", 1, url_id=3)
    assert judge_deliveries([1], late.at, late.at) == 3
    assert [judged(hit) for hit in (*early, late)] == [("machine", ["burst"])] * 3
    assert judged(untouched) == judged(long_ago) == ("machine", ["head"])
    assert judge_deliveries([], AT, AT) == 0


def test_only_one_mailing_or_only_what_came_since(django_assert_max_num_queries):
    """TRK-4: --job leaves page views and other mailings alone, --since what is older"""
    job = make_job()
    of_job, of_other = make_hit(agent="", job_id=job.pk), make_hit(agent="", job_id=job.pk + 1)
    view = make_view(agent="")
    out = json.loads(run("--job", str(job.pk), "--json"))
    assert out["mails"] == {"judged": 1, "to_machine": 1, "to_person": 0, "evidence": 0}
    assert judged(of_job)[0] == "machine" and judged(of_other)[0] == judged(view)[0] == "person"
    entry = AuditEntry.objects.get(action="hits.judge")
    assert (entry.target_type, entry.target_id) == ("sendjob", str(job.pk))
    before = make_hit(seconds_after=-86400, agent="")
    assert json.loads(run("--since", "2026-11-22", "--json"))["mails"]["judged"] == 2
    assert judged(before)[0] == "person" and judged(of_other)[0] == judged(view)[0] == "machine"
    assert json.loads(run("--since", "2026-11-22T10:00:01", "--json"))["mails"]["judged"] == 0


def test_a_trial_changes_nothing():
    """TRK-4: --dry-run says what would change"""
    hit = make_hit(agent="")
    said = run("--dry-run")
    assert "機械に変更 1件" in said and "何も変更していません" in said
    assert judged(hit) == ("person", [])
    assert not AuditEntry.objects.filter(action="hits.judge").exists()
    assert "1 now a machine" in run("--language", "en")


def test_what_comes_meanwhile_is_neither_lost_nor_judged_twice(monkeypatch):
    """TRK-4: a hit that is stored while a range is judged stays as its flush judged it"""
    monkeypatch.setattr(rejudging, "BATCH", 1)
    first = make_hit(agent="")
    make_hit(agent="")
    new = []
    real = rejudging._judge

    def judge_while_hits_come(rows, found, dry_run):
        new.append(make_hit("open", 1, verdict="machine", evidence=["head"]))
        real(rows, found, dry_run)

    monkeypatch.setattr(rejudging, "_judge", judge_while_hits_come)
    assert rejudge().mails.judged == 2
    assert judged(first) == ("machine", ["no_agent"])
    assert [judged(hit) for hit in new] == [("machine", ["head"])] * 2


def test_broken_off_it_says_so_and_goes_on_another_time(monkeypatch):
    """TRK-4: what was judged stays, the audit log names the unfinished run"""
    monkeypatch.setattr(rejudging, "BATCH", 1)
    hits = [make_hit(agent=""), make_hit(agent="")]
    real = rejudging._judge
    calls = []

    def fails_the_second_time(rows, found, dry_run):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("gone")
        real(rows, found, dry_run)

    monkeypatch.setattr(rejudging, "_judge", fails_the_second_time)
    with pytest.raises(OSError, match="gone"):
        rejudge()
    assert [judged(hit)[0] for hit in hits] == ["machine", "person"]
    assert AuditEntry.objects.get(action="hits.judge").detail["finished"] is False
    monkeypatch.undo()
    assert rejudge().mails.to_machine == 1


@pytest.mark.parametrize(
    "arguments", [("--job", "999999"), ("--since", "yesterday"), ("--since", "2026-13-40")]
)
def test_what_does_not_exist_is_refused(arguments):
    """TRK-4"""
    with pytest.raises(CommandError):
        run(*arguments)


def test_nothing_stored_is_nothing_to_do():
    """TRK-4"""
    assert rejudge().mails.judged == 0
