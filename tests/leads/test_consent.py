"""OPT-1, OPT-2, OPT-10: consent and its evidence."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from leads.consent import set_dm_permission, unsubscribe
from leads.edit import change_lead, create_lead
from leads.flags import Way
from leads.models import ConsentRecord, Lead
from settings.models import AuditEntry
from tests.factories import make_lead, make_user

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def records():
    return list(ConsentRecord.objects.order_by("id").values_list("change", "evidence", "source", "ip", "at"))


def test_unsubscribing(db):
    """OPT-1: 配信停止 with its time, DM許可 希望しない, evidence, audit."""
    lead, other = make_lead("a@a.jp"), make_lead("b@a.jp")
    assert unsubscribe(lead, evidence="opt_out_form", source="form", ip="192.0.2.1", now=NOW) is True
    assert Lead.objects.values_list("unsubscribed_at", "dm_permission").get(pk=lead.pk) == (NOW, "unwanted")
    assert Lead.objects.values_list("unsubscribed_at", "dm_permission").get(pk=other.pk) == (None, "wanted")
    assert records() == [("unsubscribed", "opt_out_form", "form", "192.0.2.1", NOW)]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target_id) == ("lead.unsubscribe", str(lead.pk))
    assert entry.detail["changes"] == {
        "unsubscribed_at": [None, NOW.isoformat()],
        "dm_permission": ["wanted", "unwanted"],
    }


def test_twice_is_once(db):
    """OPT-1: idempotent, also for an object read before; the first time stays."""
    lead = make_lead()
    stale = Lead.objects.get(pk=lead.pk)
    assert unsubscribe(lead, evidence="one_click", now=NOW) is True
    assert unsubscribe(stale, evidence="one_click", now=NOW + timedelta(hours=1)) is False
    assert Lead.objects.get().unsubscribed_at == NOW
    assert (ConsentRecord.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_an_admin_sets_dm_permission_only(db):
    """OPT-2."""
    misaki, lead = make_user(), make_lead()
    assert set_dm_permission(lead, "unwanted", evidence="admin", user=misaki, now=NOW) is True
    assert set_dm_permission(lead, "unwanted", evidence="admin", user=misaki, now=NOW) is False
    stored = Lead.objects.get()
    assert (stored.dm_permission, stored.unsubscribed_at) == ("unwanted", None)
    assert set_dm_permission(lead, "wanted", evidence="card", source="名刺", user=misaki, now=NOW) is True
    assert records() == [("refused", "admin", "", None, NOW), ("granted", "card", "名刺", None, NOW)]
    with pytest.raises(ValueError, match="unsubscribing only"):
        set_dm_permission(lead, "unwanted", evidence="one_click", user=misaki, now=NOW)
    with pytest.raises(ValidationError):
        set_dm_permission(lead, "maybe", evidence="admin", user=misaki, now=NOW)


def test_nobody_wants_mail_for_somebody_who_unsubscribed(db):
    """OPT-1, OPT-2: refused with a clear message, also when they unsubscribed after the form was opened."""
    misaki, lead = make_user(), make_lead()
    stale = Lead.objects.get(pk=lead.pk)
    unsubscribe(lead, evidence="opt_out_form", now=NOW)
    for write in (
        lambda: set_dm_permission(stale, "wanted", evidence="admin", user=misaki, now=NOW),
        lambda: change_lead(
            stale, {"dm_permission": "wanted", "company": "山手"}, way=Way.ADMIN_EDIT, user=misaki, now=NOW
        ),
    ):
        with pytest.raises(ValidationError) as refused:
            write()
        assert "unsubscribed" in str(refused.value) or "配信停止" in str(refused.value)
    stored = Lead.objects.get()
    assert (stored.dm_permission, stored.company) == ("unwanted", "")
    with pytest.raises(ValueError, match="cannot be written"):
        change_lead(lead, {"unsubscribed_at": None}, way=Way.ADMIN_EDIT, user=misaki, now=NOW)


def test_evidence_survives_changes(db):
    """OPT-10: every change of DM許可 adds a line, nothing is overwritten."""
    misaki = make_user()
    lead = create_lead({"email": "a@a.jp"}, way=Way.CSV_ADD, user=misaki, now=NOW, source="展示会.csv")
    change_lead(lead, {"dm_permission": "unwanted"}, way=Way.ADMIN_EDIT, user=misaki, now=NOW)
    change_lead(lead, {"company": "山手"}, way=Way.ADMIN_EDIT, user=misaki, now=NOW)
    change_lead(lead, {"dm_permission": "wanted"}, way=Way.MY_PAGE, now=NOW, ip="2001:db8::1")
    assert records() == [
        ("granted", "import", "展示会.csv", None, NOW),
        ("refused", "admin", "", None, NOW),
        ("granted", "form", "", "2001:db8::1", NOW),
    ]


@pytest.mark.django_db(transaction=True)
def test_many_opt_outs_at_once_are_one():
    """OPT-1: real connections, at the same moment: one record, one audit entry."""
    lead = make_lead()
    start = Barrier(4)

    def opt_out(hour):
        try:
            start.wait(timeout=10)
            return unsubscribe(
                Lead.objects.get(pk=lead.pk), evidence="one_click", now=NOW + timedelta(hours=hour)
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(opt_out, range(4)))
    assert sorted(results) == [False, False, False, True]
    assert (ConsentRecord.objects.count(), AuditEntry.objects.count()) == (1, 1)
    assert Lead.objects.get().unsubscribed_at == NOW + timedelta(hours=results.index(True))


@pytest.mark.django_db(transaction=True)
def test_an_opt_out_while_an_administrator_saves():
    """OPT-1, OPT-2: whoever is first, the lead ends unsubscribed and not wanting mail."""
    lead = make_lead(dm_permission="unwanted")
    start = Barrier(2)

    def run(write):
        try:
            start.wait(timeout=10)
            write()
        except ValidationError:
            return "refused"
        finally:
            connection.close()
        return "done"

    own = lambda: unsubscribe(lead, evidence="opt_out_form", now=NOW)  # noqa: E731
    admin = lambda: change_lead(lead, {"dm_permission": "wanted"}, way=Way.ADMIN_EDIT, now=NOW)  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        assert next(iter(pool.map(run, [own, admin]))) == "done"
    assert Lead.objects.values_list("unsubscribed_at", "dm_permission").get() == (NOW, "unwanted")
