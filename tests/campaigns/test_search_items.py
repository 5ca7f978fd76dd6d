"""EXC-5, NAV-1: applied / cancelled / attended campaign X, answer to question Q; 「一致しない」 is not NOT."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from campaigns.models import ApplicationSession, FormItem, Session
from leads.search import leads_matching, validate_condition
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db


def found(item, operator, *values, campaign=None, expression=None):
    condition = {"match": "all", "blocks": [{"item": item, "operator": operator, "values": list(values)}]}
    if expression:
        condition |= {"match": "expression", "expression": expression}
    clean = validate_condition(condition, campaign_id=campaign.pk if campaign else None)
    leads = leads_matching(clean, now=timezone.now(), campaign_id=campaign.pk if campaign else None)
    return sorted(lead.first_name for lead in leads)


def person(name):
    return make_lead(f"{name}@yamate.example.jp", first_name=name)


@pytest.fixture
def two():
    """a applied for x; b cancelled x; c attended x and applied for y; d never applied."""
    x, y = make_campaign("X"), make_campaign("Y")
    a, b, c, _d = (person(name) for name in "abcd")
    make_application(x, a)
    make_application(x, b, state="cancelled")
    make_application(x, c, attended_at=timezone.now())
    make_application(y, c)
    return x, y


def test_applied_cancelled_attended(two):
    """EXC-5"""
    x, y = (str(campaign.pk) for campaign in two)
    assert found("application", "is", {"campaign": [x]}) == ["a", "b", "c"]
    assert found("application", "is", {"campaign": [x], "state": ["applied"]}) == ["a", "c"]
    assert found("application", "is", {"campaign": [x], "state": ["cancelled"]}) == ["b"]
    assert found("application", "is", {"campaign": [x], "attended": ["yes"]}) == ["c"]
    assert found("application", "is", {"campaign": [x, y], "attended": ["no"]}) == ["a", "b", "c"]


def test_some_other_one_is_not_none(two):
    """EXC-5: キャンペーンID≠X = has some other application; NOT (キャンペーンID=X) = has none for X, or none at all"""
    x, _y = (str(campaign.pk) for campaign in two)
    assert found("application", "is_not", {"campaign": [x]}) == ["c"]
    assert found("application", "is", {"campaign": [x]}, expression="NOT 1") == ["d"]


def question(campaign, type="text", **values):
    return FormItem.objects.create(campaign=campaign, source="question", type=type, label="質問", **values)


CHOICES = [
    {"key": "a1", "label": "製造", "label_en": "Manufacturing"},
    {"key": "a2", "label": "小売", "label_en": "Retail"},
]


def test_answers_among_all_campaigns():
    """EXC-5: answer to question Q"""
    campaign = make_campaign()
    chosen, said = question(campaign, "select", choices=CHOICES), question(campaign)
    for name, answers in (
        ("a", {chosen.key: ["a1"]}),
        ("b", {chosen.key: ["a2"], said.key: "100%の予算😀"}),
        ("c", {}),
    ):
        make_application(campaign, person(name), answers=answers)
    asked = {"question": [str(chosen.pk)]}
    assert found("answer", "is", asked | {"words": ["製造"]}) == ["a"]
    assert found("answer", "is", asked | {"words": ["retail", "製造"]}) == ["a", "b"]
    assert found("answer", "is_not", asked | {"words": ["製造"]}) == ["b"]
    assert found("answer", "is", asked | {"words": ["製造"]}, expression="NOT 1") == ["b", "c"]
    assert found("answer", "is", asked) == ["a", "b"]
    assert found("answer", "is", {"question": [str(said.pk)], "words": ["100%の"]}) == ["b"]
    assert found("answer", "is", {"question": [str(said.pk)], "words": ["100_"]}) == []


def test_inside_a_campaign_the_application_that_counts():
    """EXC-5, APP-1: who cancelled and applied again has applied"""
    campaign, other = make_campaign(), make_campaign()
    again, gone = person("again"), person("gone")
    make_application(campaign, again, state="cancelled")
    make_application(campaign, again)
    make_application(campaign, gone, state="cancelled")
    make_application(campaign, gone, state="cancelled", attended_at=None)
    make_application(other, gone)
    key = f"campaign.{campaign.pk}."
    assert found(key + "state", "is", "applied", campaign=campaign) == ["again"]
    assert found(key + "state", "is", "cancelled", campaign=campaign) == ["gone"]
    assert found(key + "state", "is_not", "cancelled", campaign=campaign) == ["again"]
    assert found(key + "attended", "is", "no", campaign=campaign) == ["again", "gone"]


def test_every_type_of_question_inside_its_campaign():
    """EXC-5"""
    campaign = make_campaign()
    session = Session.objects.create(campaign=campaign, title="基調講演")
    items = {
        type: question(campaign, type, choices=CHOICES if type in {"choice", "multiple"} else [])
        for type in ("text", "long", "choice", "multiple", "number", "date", "agreement")
    }
    key = {type: f"campaign.{campaign.pk}.question.{item.pk}" for type, item in items.items()}
    answers = {
        "text": "現場の100%",
        "long": "一行目\n二行目",
        "choice": ["a1"],
        "multiple": ["a1", "a2"],
        "number": 12.5,
        "date": "2026-12-24",
        "agreement": ["yes"],
    }
    full = make_application(
        campaign, person("full"), answers={items[type].key: value for type, value in answers.items()}
    )
    make_application(campaign, person("none"))
    ApplicationSession.objects.create(application=full, session=session)
    for type, operator, values, names in (
        ("text", "contains", ["100%"], ["full"]),
        ("text", "empty", [], ["none"]),
        ("long", "contains", ["二行"], ["full"]),
        ("choice", "is", ["a1"], ["full"]),
        ("choice", "is_not", ["a1"], ["none"]),
        ("choice", "empty", [], ["none"]),
        ("multiple", "is", ["a2"], ["full"]),
        ("multiple", "not_empty", [], ["full"]),
        ("number", "ge", ["12.5"], ["full"]),
        ("number", "lt", ["12.5"], []),
        ("date", "is", ["2026-12-24"], ["full"]),
        ("agreement", "is", ["yes"], ["full"]),
        ("agreement", "is", ["no"], ["none"]),
    ):
        assert found(key[type], operator, *values, campaign=campaign) == names, (type, operator)
    chosen = f"campaign.{campaign.pk}.session"
    assert found(chosen, "is", str(session.pk), campaign=campaign) == ["full"]
    assert found(chosen, "is_not", str(session.pk), campaign=campaign) == ["none"]


def test_items_of_a_campaign_are_known_nowhere_else(two):
    """NAV-1: searches of one mode are not usable in another"""
    x, y = two
    state = f"campaign.{x.pk}.state"
    for campaign in (y, None):
        with pytest.raises(ValidationError):
            found(state, "is", "applied", campaign=campaign)
    with pytest.raises(ValidationError):
        found("application", "is", {"campaign": [str(x.pk)]}, campaign=x)
