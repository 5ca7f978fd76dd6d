"""API-1: application.post and reading applications; FLAG-3, FLAG-4, FLAG-6 for it, APP-3, APP-6."""

import uuid

import pytest

from campaigns.models import Application, FormItem, Session
from leads.models import Lead
from tests.factories import make_application, make_campaign, make_lead

PERSON = {"last_name": "髙﨑", "first_name": "𠮷男", "email": "yoshio@yamate.example.jp"}


def post(api, campaign, **body):
    body.setdefault("visitor", PERSON)
    return api.post("/applications", {"campaign": campaign.pk} | body)


def codes(answer):
    return {fault["field"]: fault["code"] for fault in answer["errors"]}


def test_an_application_with_answers_and_sessions(api):
    """API-1, APP-3"""
    campaign = make_campaign(session_choice="several")
    session = Session.objects.create(campaign=campaign, title="基調講演")
    choices = [{"key": "a1", "label": "製造", "label_en": ""}]
    question = FormItem.objects.create(
        campaign=campaign, source="question", type="choice", label="業種", choices=choices
    )
    status, answer = post(api, campaign, answers={question.key: "a1"}, sessions=[session.pk])
    application = Application.objects.get()
    assert (status, answer["outcome"]) == (201, "applied")
    shown = answer["application"]
    assert (shown["id"], shown["way"], shown["answers"], shown["sessions"]) == (
        application.pk, "api", {question.key: ["a1"]}, [session.pk],
    )  # fmt: skip
    assert api.get(f"/applications/{application.pk}")[1]["code"] == application.code


def test_the_same_token_is_one_application(api):
    """API-1: what a program sends again after a time-out"""
    campaign, token = make_campaign(known_address="new"), str(uuid.uuid4())
    first = post(api, campaign, token=token)
    again = post(api, campaign, token=token)
    assert (first[0], again[0], again[1]["outcome"]) == (201, 200, "repeated")
    assert first[1]["application"] == again[1]["application"]
    assert Application.objects.count() == Lead.objects.count() == 1


def test_a_full_campaign(api):
    """APP-6"""
    waits, full = make_campaign(capacity=0), make_campaign(capacity=0, waiting_list=False)
    assert post(api, waits)[1]["outcome"] == "waiting"
    status, answer = post(api, full)
    assert (status, codes(answer)) == (409, {"": "full"})


@pytest.mark.parametrize("registration, back", [("full", True), ("provisional", False)])
def test_a_known_lead_with_a_changed_address_gets_the_flag_back(api, registration, back):
    """FLAG-3 application.post, FLAG-4"""
    lead = make_lead("dead@yamate.example.jp", email_valid=False, email_failures=3, registration=registration)
    status, _answer = post(api, make_campaign(), lead=lead.pk, visitor={"email": "alive@yamate.example.jp"})
    lead.refresh_from_db()
    assert status == 201 and lead.email == "alive@yamate.example.jp"
    assert (lead.email_valid, lead.email_failures) == ((True, 0) if back else (False, 3))


def test_the_same_address_resets_nothing(api):
    """FLAG-6, APP-3"""
    lead = make_lead("same@yamate.example.jp", email_valid=False, email_failures=3)
    post(api, make_campaign(), visitor=PERSON | {"email": "SAME@yamate.example.jp"})
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == (False, 3)
    assert lead.applications.count() == 1


def test_what_is_wrong_is_named(api):
    """API-1"""
    campaign, other = make_campaign(), make_campaign()
    theirs = FormItem.objects.create(campaign=other, source="question", type="text", label="他")
    FormItem.objects.create(campaign=campaign, source="lead", field="company", required=True)
    needed = FormItem.objects.create(
        campaign=campaign, source="question", type="number", label="人数", required=True
    )
    assert codes(post(api, campaign)[1]) == {"visitor.company": "missing", f"answers.{needed.key}": "missing"}
    assert codes(post(api, campaign, answers={theirs.key: "x"})[1]) == {
        f"answers.{theirs.key}": "question_unknown"
    }
    assert list(codes(post(api, campaign, answers={needed.key: "many"})[1])) == [f"answers.{needed.key}"]
    assert codes(api.post("/applications", {"campaign": 999_999_999, "visitor": PERSON})[1]) == {
        "campaign": "not_found"
    }
    assert codes(post(api, campaign, lead=999_999_999)[1]) == {"lead": "not_found"}
    wrong = api.post(
        "/applications?ignore_itemcheck=1", {"campaign": campaign.pk, "visitor": PERSON | {"email": "x"}}
    )
    assert list(codes(wrong[1])) == ["visitor.email"]
    assert not Application.objects.exists() and not Lead.objects.exists()
    right = api.post("/applications?ignore_itemcheck=1", {"campaign": campaign.pk, "visitor": PERSON})
    assert right[0] == 201


def test_reading_in_pages_and_by_filter(api, django_assert_num_queries):
    """API-1"""
    campaign, other = make_campaign(), make_campaign()
    applied, cancelled = make_application(campaign), make_application(campaign, state="cancelled")
    make_application(other)

    def ids(query):
        return [row["id"] for row in api.get(f"/applications?{query}")[1]["items"]]

    assert ids(f"campaign={campaign.pk}") == [applied.pk, cancelled.pk]
    assert ids(f"campaign={campaign.pk}&state=cancelled") == [cancelled.pk]
    assert ids(f"lead={applied.lead_id}&attended=false") == [applied.pk]
    assert ids("attended=true") == []
    with django_assert_num_queries(4):  # the key, the limit, the page, its sessions
        api.get("/applications")
