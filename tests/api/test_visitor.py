"""API-1: visitor.put and reading leads; FLAG-3, FLAG-4, FLAG-5, FLAG-6 for it."""

import pytest

from leads.models import ConsentRecord, DmPermission, Lead, LeadColumn
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign, make_lead

PUT = "/visitor?upsert=1"


def codes(answer):
    return {fault["field"]: fault["code"] for fault in answer["errors"]}


def test_a_new_lead(api):
    """API-1"""
    column = LeadColumn.objects.create(label="業種", type="choice", choices=["製造"])
    body = {
        "last_name": "髙﨑", "first_name": "𠮷男😀", "email": "Yoshio@yamate.example.jp", "dm_permission": "wanted",
        "columns": {column.key: "製造"},
    }  # fmt: skip
    status, answer = api.put(PUT, body)
    lead = Lead.objects.get()
    assert status == 201 and answer["id"] == lead.pk
    assert (answer["last_name"], answer["columns"]) == ("髙﨑", {column.key: "製造"})
    assert (lead.email_norm, lead.registration) == ("yoshio@yamate.example.jp", "full")
    assert ConsentRecord.objects.get(lead=lead).source == "API: テスト"
    assert AuditEntry.objects.filter(action="lead.create", target_id=str(lead.pk)).exists()


def test_upsert_changes_the_newest_that_fits_and_leaves_the_rest(api):
    """API-1: update_key"""
    make_lead("same@yamate.example.jp", company="古い")
    newest = make_lead("same@yamate.example.jp", company="新しい", phone="03-1")
    status, answer = api.put(PUT, {"email": " SAME@yamate.example.jp", "company": "㈱山手"})
    assert (status, answer["id"], answer["company"], answer["phone"]) == (200, newest.pk, "㈱山手", "03-1")
    status, answer = api.put(
        PUT + "&update_key=last_name:phone",
        {"last_name": "髙橋", "phone": "03-1", "email": "new@yamate.example.jp"},
    )
    assert (status, answer["id"], answer["email"]) == (200, newest.pk, "new@yamate.example.jp")
    assert Lead.objects.count() == 2


def test_without_upsert_by_id_or_new(api):
    """API-1"""
    lead = make_lead("a@yamate.example.jp")
    assert api.put("/visitor", {"email": "a@yamate.example.jp"})[0] == 201
    status, answer = api.put("/visitor", {"id": lead.pk, "company": ""})
    assert (status, answer["id"]) == (200, lead.pk)
    assert codes(api.put("/visitor", {"id": 999_999_999})[1]) == {"id": "not_found"}
    assert codes(api.put(PUT, {"id": lead.pk, "email": "a@yamate.example.jp"})[1]) == {"id": "id_with_upsert"}


@pytest.mark.parametrize("registration, back", [("full", True), ("provisional", False)])
def test_a_changed_address_brings_the_flag_back(api, registration, back):
    """FLAG-3 visitor.put, FLAG-4"""
    lead = make_lead(
        "dead@yamate.example.jp", phone="03-1", email_valid=False, email_failures=3, registration=registration
    )
    api.put(PUT + "&update_key=phone", {"phone": "03-1", "email": "alive@yamate.example.jp"})
    lead.refresh_from_db()
    assert lead.email == "alive@yamate.example.jp"
    assert (lead.email_valid, lead.email_failures) == ((True, 0) if back else (False, 3))


def test_the_same_address_resets_nothing(api):
    """FLAG-6"""
    lead = make_lead("same@yamate.example.jp", email_valid=False, email_failures=3)
    api.put(PUT, {"email": "ＳＡＭＥ@yamate.example.jp"})
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == (False, 3)


def test_the_flag_is_set_with_upsert_only(api):
    """FLAG-5"""
    lead = make_lead("a@yamate.example.jp", email_valid=False, email_failures=3)
    assert codes(api.put("/visitor", {"id": lead.pk, "email_valid": True})[1]) == {
        "email_valid": "needs_upsert"
    }
    api.put(PUT, {"email": "a@yamate.example.jp", "email_valid": True})
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == (True, 0)


def test_nobody_is_made_to_want_mail_again(api):
    """OPT-2, API-1"""
    from django.utils import timezone

    lead = make_lead("a@yamate.example.jp", unsubscribed_at=timezone.now())
    status, answer = api.put(PUT, {"email": "a@yamate.example.jp", "dm_permission": "wanted", "company": "x"})
    assert (status, codes(answer)) == (422, {"dm_permission": "unsubscribed"})
    lead.refresh_from_db()
    assert (lead.dm_permission, lead.company) == (DmPermission.UNWANTED, "")  # nothing half-done


@pytest.mark.parametrize(
    "body, field",
    [
        ({"email": "no address"}, "email"),
        ({"email": "a@yamate.example.jp", "unknown": 1}, "unknown"),
        ({"email": "a@yamate.example.jp", "unsubscribed_at": None}, "unsubscribed_at"),
        ({"email": "a@yamate.example.jp", "last_name": "x" * 101}, "last_name"),
        ({"email": "a@yamate.example.jp", "company": "a\0b"}, "company"),
        ({"email": "a@yamate.example.jp", "columns": {"999": "x"}}, "columns"),
        ({"email": ""}, "email"),
    ],
    ids=["malformed", "unknown", "unsubscribed", "long", "nul", "column", "key"],
)
def test_what_is_wrong_is_named(api, body, field):
    """API-1: field, code, message; nothing is written"""
    status, answer = api.put(PUT, body)
    assert status == 422
    assert [fault["field"] for fault in answer["errors"]] == [field]
    assert all(fault["code"] and fault["message"] for fault in answer["errors"])
    assert not Lead.objects.exists()


def test_messages_in_the_language_asked_for(api):
    """API-1, SYS-4"""
    japanese = api.put(PUT, {"email": "x"})[1]["errors"][0]["message"]
    english = api("put", PUT, {"email": "x"}, **{"Accept-Language": "en-GB,en;q=0.8"})[1]["errors"][0][
        "message"
    ]
    assert japanese != english and english.isascii() and not japanese.isascii()


def test_reading_in_pages(api, django_assert_num_queries):
    """API-1"""
    campaign = make_campaign()
    leads = [make_lead(f"lead{n}@yamate.example.jp") for n in range(5)]
    make_application(campaign, leads[3])
    seen, after = [], 0
    while after is not None:
        answer = api.get(f"/leads?limit=2&after={after}")[1]
        seen += [lead["id"] for lead in answer["items"]]
        after = answer["next"]
    assert seen == [lead.pk for lead in leads]
    assert [lead["id"] for lead in api.get(f"/leads?campaign={campaign.pk}")[1]["items"]] == [leads[3].pk]
    assert [lead["id"] for lead in api.get("/leads?email=LEAD1@yamate.example.jp")[1]["items"]] == [
        leads[1].pk
    ]
    assert api.get("/leads?updated_since=2999-01-01T00:00:00Z")[1] == {"items": [], "next": None}
    assert api.get(f"/leads/{leads[0].pk}")[1]["email"] == "lead0@yamate.example.jp"
    with django_assert_num_queries(3):  # the key, the limit, the page
        api.get("/leads?limit=1000")
    assert codes(api.get("/leads?limit=1001")[1]) == {"limit": "less_than_equal"}


def test_the_key_is_compared_as_it_is_stored(api):
    """API-1, CHR-6: か + ゛ is が, however a program writes it"""
    body = {"last_name": "か\u3099んば", "first_name": " 太郎 ", "email": "ganba@yamate.example.jp"}
    path = "/visitor?upsert=1&update_key=last_name:first_name"
    first, again = api.put(path, body), api.put(path, body)
    assert (first[0], again[0]) == (201, 200) and again[1]["last_name"] == "がんば"
    assert Lead.objects.count() == 1
