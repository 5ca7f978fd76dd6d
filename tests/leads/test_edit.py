"""Writing one lead: values, odd characters (CHR-6), two administrators at once, the audit log."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from leads.edit import LeadChangedError, change_lead, create_lead, delete_lead
from leads.flags import Way
from leads.models import Lead, LeadColumn
from settings.models import AuditEntry
from tests.factories import make_lead, make_user

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def edit(lead, values, **more):
    return change_lead(lead, values, **({"way": Way.ADMIN_EDIT, "now": NOW} | more))


def test_a_lead_is_stored_as_typed_in_nfc(db):
    """CHR-6: か + ゛ becomes が; 髙, 𠮷, ①, ㈱ and 😀 stay what they are."""
    lead = create_lead(
        {"last_name": " か\u3099髙 ", "first_name": "𠮷①", "company": "㈱😀", "email": "ｙ@Ａ.jp", "note": "一行目\r\n二行目"},
        way=Way.ADMIN_EDIT, user=make_user(), now=NOW,
    )  # fmt: skip
    lead.refresh_from_db()
    assert (lead.last_name, lead.first_name, lead.company, lead.note) == (
        "が髙",
        "𠮷①",
        "㈱😀",
        "一行目\n二行目",
    )
    assert (lead.email, lead.email_norm, lead.email_malformed) == ("y@A.jp", "y@a.jp", False)
    assert (lead.kind, lead.registration, lead.dm_permission, lead.email_valid) == (
        "visitor",
        "full",
        "wanted",
        True,
    )
    assert AuditEntry.objects.get().detail["changes"]["email"] == [None, "y@A.jp"]


@pytest.mark.parametrize(
    "values",
    [
        {"last_name": "a\0b"}, {"last_name": "a\nb"}, {"company": "x" * 201}, {"kind": "king"}, {"registration": "half"},
        {"language": "fr"}, {"email": "a@b"}, {"note": "x" * 20_001}, {"last_name": "\ud800"},
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_by_field(db, values):
    lead = make_lead()
    with pytest.raises(ValidationError) as refused:
        edit(lead, values)
    assert list(refused.value.message_dict) == list(values)
    assert not AuditEntry.objects.exists()


def test_all_faults_come_at_once(db):
    column = LeadColumn.objects.create(label="従業員数", type="number")
    with pytest.raises(ValidationError) as refused:
        edit(make_lead(), {"company": "x" * 201, "email": "@", "extra": {column.key: "many"}})
    assert sorted(refused.value.message_dict) == ["company", "email", f"extra_{column.key}"]


def test_a_malformed_address_from_an_import_does_not_block_other_edits(db):
    lead = make_lead("a..b@a.jp", email_malformed=True)
    changed = edit(lead, {"email": "a..b@a.jp", "company": "山手"})
    assert (changed.email, changed.email_malformed, changed.company) == ("a..b@a.jp", True, "山手")


def test_columns_are_typed(db):
    columns = {
        name: LeadColumn.objects.create(
            label=name, type=name, choices=["製造", "小売"] if name == "choice" else []
        )
        for name in ("text", "number", "date", "choice")
    }
    key = {name: column.key for name, column in columns.items()}
    lead = create_lead(
        {"extra": {key["text"]: "ｱ髙", key["number"]: "１,２００", key["date"]: "2026年1月5日", key["choice"]: "小売"}},
        way=Way.COMMAND, now=NOW,
    )  # fmt: skip
    assert lead.extra == {
        key["text"]: "ｱ髙",
        key["number"]: 1200,
        key["date"]: "2026-01-05",
        key["choice"]: "小売",
    }
    changed = edit(lead, {"extra": {key["number"]: "1.5", key["text"]: ""}})
    changed.refresh_from_db()
    assert changed.extra == {key["number"]: 1.5, key["date"]: "2026-01-05", key["choice"]: "小売"}
    for wrong in (
        {key["number"]: "NaN"},
        {key["number"]: "9" * 400},
        {key["date"]: "2026-02-30"},
        {key["choice"]: "IT"},
        {"999": "x"},
        {"x": "y"},
    ):
        with pytest.raises(ValidationError):
            edit(lead, {"extra": wrong})


def test_nothing_changed_writes_nothing(db):
    lead = make_lead(updated_at=NOW - timedelta(days=1))
    assert edit(lead, {"last_name": lead.last_name, "email": lead.email}).updated_at == lead.updated_at
    assert not AuditEntry.objects.exists()


def test_two_administrators_at_once(db):
    """The second one is told what the first one changed, and writes nothing."""
    misaki, kenta = make_user("misaki"), make_user("kenta")
    lead = create_lead({"company": "山手", "email": "a@a.jp"}, way=Way.ADMIN_EDIT, user=misaki, now=NOW)
    seen = lead.updated_at
    edit(lead, {"company": "山手製作所"}, user=misaki, now=LATER, seen_at=seen)
    with pytest.raises(LeadChangedError) as conflict:
        edit(lead, {"company": "ヤマテ"}, user=kenta, now=LATER, seen_at=seen)
    assert conflict.value.changes == [("company", "山手", "山手製作所", "佐藤 美咲", LATER)]
    assert Lead.objects.get().company == "山手製作所"
    edit(lead, {"company": "ヤマテ"}, user=kenta, now=LATER + timedelta(minutes=1), seen_at=LATER)
    assert Lead.objects.get().company == "ヤマテ"


def test_deleting_is_soft_and_once(db):
    misaki, lead = make_user(), make_lead()
    assert delete_lead(lead, user=misaki, now=NOW) is True
    assert delete_lead(lead, user=misaki, now=LATER) is False
    assert Lead.objects.get().deleted_at == NOW
    assert not Lead.objects.existing().exists()
    assert AuditEntry.objects.get().action == "lead.delete"
    with pytest.raises(ValidationError):
        edit(lead, {"company": "山手"})
