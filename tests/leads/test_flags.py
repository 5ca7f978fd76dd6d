"""FLAG-1 to FLAG-6: the valid flag of an address."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from leads.edit import change_lead
from leads.flags import RESETTING, Flag, Way, flag_after, flag_sql, record_failures
from leads.models import Lead
from settings.models import AuditEntry, SystemSetting
from tests.factories import make_lead, make_user

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(days=30)
NINE_WAYS = [
    "admin_edit", "csv_update", "csv_application", "merge", "application", "auto_merge", "my_page",
    "api_visitor_put", "api_application_post",
]  # fmt: skip


def test_the_nine_ways():
    """FLAG-3."""
    assert sorted(RESETTING) == sorted(NINE_WAYS)


def after(way=Way.ADMIN_EDIT, **values):
    given = {
        "registration": "full",
        "old_norm": "old@a.jp",
        "new_norm": "new@a.jp",
        "malformed": False,
        "now": NOW,
    }
    return flag_after(Flag(False, 3, EARLIER), way=way, **(given | values))


@pytest.mark.parametrize("way", NINE_WAYS)
def test_a_new_valid_address_resets_the_flag(way):
    """FLAG-3."""
    assert after(Way(way)) == (True, 0, NOW)


@pytest.mark.parametrize("way", NINE_WAYS)
def test_provisional_leads_keep_the_flag(way):
    """FLAG-4."""
    assert after(Way(way), registration="provisional") == (False, 3, NOW)


@pytest.mark.parametrize("way", NINE_WAYS)
def test_the_same_address_resets_nothing(way):
    """FLAG-6."""
    assert after(Way(way), new_norm="old@a.jp") == (False, 3, EARLIER)


@pytest.mark.parametrize("values", [{"malformed": True}, {"new_norm": ""}])
def test_only_a_valid_address_resets(values):
    """FLAG-3."""
    assert after(**values) == (False, 3, NOW)


@pytest.mark.parametrize("way", list(Way))
def test_who_may_set_the_flag(way):
    """FLAG-5."""
    if way in {"admin_edit", "api_visitor_put"}:
        assert after(way, new_norm="old@a.jp", wanted=True) == (True, 0, NOW)
    else:
        with pytest.raises(ValueError, match="FLAG-5"):
            after(way, new_norm="old@a.jp", wanted=True)
    assert after(way, new_norm="old@a.jp", wanted=False) == (False, 3, EARLIER)  # as it was: nothing was set


def test_switching_off_by_hand_beats_the_reset():
    """FLAG-5."""
    given = {
        "way": Way.ADMIN_EDIT,
        "registration": "full",
        "old_norm": "a@a.jp",
        "new_norm": "b@a.jp",
        "malformed": False,
        "now": NOW,
    }
    assert flag_after(Flag(True, 1, EARLIER), **given, wanted=False) == (False, 1, NOW)


def test_sql_says_the_same(db):
    """FLAG-3, FLAG-4, FLAG-6: flag_sql and flag_after agree on every combination."""
    compared = 0
    addresses = ["", "old@a.jp", "new@a.jp", "wrong@"]
    for way, valid, failures, registration, old, new, malformed in product(
        Way, [True, False], [0, 3], ["full", "provisional"], addresses, addresses, [True, False]
    ):
        expected = flag_after(
            Flag(valid, failures, EARLIER),
            way=way,
            registration=registration,
            old_norm=old,
            new_norm=new,
            malformed=malformed,
            now=NOW,
        )
        sql = flag_sql(
            way, lead="lead", norm="new.norm", malformed="new.malformed", registration="new.registration"
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {sql['email_valid']}, {sql['email_failures']}, {sql['email_since']}"
                " FROM (SELECT %(valid)s::boolean, %(failures)s::int, %(old)s::text, %(earlier)s::timestamptz)"
                "   AS lead(email_valid, email_failures, email_norm, email_since),"
                " (SELECT %(new)s::text, %(malformed)s::boolean, %(registration)s::text) AS new(norm, malformed, registration)",
                {
                    "valid": valid, "failures": failures, "old": old, "earlier": EARLIER, "new": new,
                    "malformed": malformed, "registration": registration, "now": NOW,
                },
            )  # fmt: skip
            assert Flag(*cursor.fetchone()) == expected, (
                way,
                valid,
                failures,
                registration,
                old,
                new,
                malformed,
            )
        compared += 1
    assert compared == 12 * 2 * 2 * 2 * 4 * 4 * 2


def test_three_failures_switch_off(db):
    """FLAG-1: the third in a row, and no sooner; the audit log says so."""
    one, two, three = make_lead("1@a.jp"), make_lead("2@a.jp"), make_lead("3@a.jp")
    assert record_failures({one.pk: 1, two.pk: 2, three.pk: 3}, now=NOW) == {three.pk}
    rows = Lead.objects.order_by("email").values_list("email_failures", "email_valid")
    assert list(rows) == [(1, True), (2, True), (3, False)]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target_id, entry.user_name) == ("lead.flag", str(three.pk), "system")


def test_the_limit_is_a_setting(db):
    """FLAG-1."""
    SystemSetting.objects.create(key="failures_until_invalid", value=5)
    lead = make_lead()
    assert record_failures({lead.pk: 4}, now=NOW) == set()
    assert record_failures({lead.pk: 5}, now=NOW) == {lead.pk}


def test_some_codes_switch_off_at_once(db):
    """FLAG-2."""
    lead, other = make_lead("1@a.jp"), make_lead("2@a.jp", email_failures=2)
    assert record_failures({lead.pk: 1}, switch_off={lead.pk, other.pk}, now=NOW) == {lead.pk, other.pk}
    assert list(Lead.objects.order_by("email").values_list("email_failures", "email_valid")) == [
        (1, False),
        (2, False),
    ]


def test_it_never_comes_back_by_itself(db):
    """FLAG-1: a delivery that arrives resets the row, not the flag."""
    lead = make_lead(email_valid=False, email_failures=3)
    before = lead.updated_at
    assert record_failures({lead.pk: 0}, now=NOW) == set()
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures, lead.updated_at) == (False, 0, before)
    assert not AuditEntry.objects.exists()


def test_many_failures_take_one_statement(db, django_assert_num_queries):
    leads = [make_lead(f"{n}@a.jp") for n in range(20)]
    with django_assert_num_queries(5):  # the setting, a savepoint around the UPDATE and the log
        assert len(record_failures({lead.pk: 3 for lead in leads}, now=NOW)) == 20


def test_an_edit_brings_the_flag_back(db):
    """FLAG-3, FLAG-6 on a stored lead, the row of failures starts afresh."""
    lead = make_lead("old@a.jp", email_valid=False, email_failures=3, email_since=EARLIER)
    same = change_lead(lead, {"email": " OLD@a.jp"}, way=Way.ADMIN_EDIT, now=NOW)
    assert (same.email, same.email_valid, same.email_failures, same.email_since) == (
        "OLD@a.jp",
        False,
        3,
        EARLIER,
    )
    changed = change_lead(lead, {"email": "new@a.jp"}, way=Way.ADMIN_EDIT, now=NOW)
    changed.refresh_from_db()
    assert (changed.email_norm, changed.email_valid, changed.email_failures, changed.email_since) == (
        "new@a.jp",
        True,
        0,
        NOW,
    )
    assert AuditEntry.objects.first().detail["changes"] == {
        "email": ["OLD@a.jp", "new@a.jp"], "email_valid": [False, True], "email_failures": [3, 0],
    }  # fmt: skip


def test_an_edit_may_set_the_flag(db):
    """FLAG-5."""
    lead = make_lead(email_valid=False, email_failures=3, email_since=EARLIER)
    changed = change_lead(lead, {"email_valid": True}, way=Way.ADMIN_EDIT, user=make_user(), now=NOW)
    changed.refresh_from_db()
    assert (changed.email_valid, changed.email_failures, changed.email_since) == (True, 0, NOW)
    with pytest.raises(ValueError, match="FLAG-5"):
        change_lead(lead, {"email_valid": False}, way=Way.MY_PAGE, now=NOW)


def test_a_malformed_address_is_refused(db):
    lead = make_lead("old@a.jp")
    with pytest.raises(ValidationError) as refused:
        change_lead(lead, {"email": "a..b@a.jp"}, way=Way.ADMIN_EDIT, now=NOW)
    assert list(refused.value.message_dict) == ["email"]
