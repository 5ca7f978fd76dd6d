"""A condition as a sentence: readable, and still readable when what it names is gone."""

import pytest
from django.utils import translation

from leads.models import LeadColumn
from leads.search import EVERYONE, describe_condition, describe_conditions
from tests.factories import make_template

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def block(item, operator="is", *values):
    return {"item": item, "operator": operator, "values": list(values)}


def test_sentences():
    template = make_template("第1報")
    assert describe_condition(EVERYONE) == "Everyone"
    assert describe_condition(
        {
            "match": "any",
            "blocks": [block("lead.prefecture", "is", "東京都", "大阪府"), block("lead.company", "empty")],
        }
    ) == ("“Prefecture” is “東京都” or “大阪府” or, “Company” is empty")
    assert (
        describe_condition(
            {
                "match": "expression",
                "expression": "1 AND NOT 2",
                "blocks": [
                    block("lead.created_at", "within_days", "7"),
                    block("mail.template", "is", str(template.pk)),
                ],
            }
        )
        == f"“Registered at” is within the last 7 days and, not (has “第1報 (#{template.pk})” under “Was sent the template”)"
    )


def test_gone_things_stay_readable():
    """TGT-8: the history shows the condition even when a template or column was deleted since."""
    column = LeadColumn.objects.create(label="業種", type="text")
    condition = {
        "match": "all",
        "blocks": [block(f"column.{column.pk}", "is", "製造"), block("mail.template", "is", "99")],
    }
    assert "“業種” is “製造”" in describe_condition(condition)
    key = f"column.{column.pk}"
    column.delete()
    said = describe_condition(condition)
    assert f"(an item that does not exist any more: {key})" in said
    assert "#99" in said


def test_names_are_fetched_together(django_assert_num_queries):
    conditions = [
        {"match": "all", "blocks": [block("mail.template", "is", str(make_template(f"第{n}報").pk))]}
        for n in range(3)
    ]
    with django_assert_num_queries(1):
        describe_conditions(conditions[:1])
    with django_assert_num_queries(1):
        assert [f"第{n}報" in said for n, said in enumerate(describe_conditions(conditions))] == [True] * 3
