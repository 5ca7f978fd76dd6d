"""Whatever JSON arrives: refused with a ValidationError, or one statement that runs. Nothing else happens."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads.models import Lead, LeadColumn, SavedSearch
from leads.search import describe_condition, leads_matching, validate_condition
from leads.search.registry import OPERATORS, all_items
from tests.factories import make_lead

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
ANY_DATABASE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

pytestmark = pytest.mark.django_db

NASTY = st.sampled_from([
    "'; DROP TABLE leads_lead; --", "%s", "%(x)s", "%", "\\", "''", "\x00", "\ud83d", "😀𠮷髙", "1e400", "NaN", "-1", "٣",
    "9" * 18, "9" * 40, "0001-01-01", "9999-12-31", "2026-11-21", "2026-11-21T24:61", "yes", "sent", "",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | NASTY
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def conditions(draw):
    """Nearly right conditions: real items and operators with values from anywhere."""
    keys = [*sorted(key for key in all_items()), "column.1", "column.99999", "lead.secret"]
    operators = sorted({operator for allowed in OPERATORS.values() for operator in allowed})
    values = st.lists(
        NASTY
        | SCALARS
        | st.dictionaries(
            st.sampled_from(["state", "code", "reason", "template", "job", "x"]),
            st.lists(NASTY | SCALARS, max_size=2),
            max_size=3,
        ),
        max_size=3,
    )
    blocks = draw(
        st.lists(
            st.fixed_dictionaries(
                {"item": st.sampled_from(keys), "operator": st.sampled_from(operators), "values": values}
            ),
            max_size=4,
        )
    )
    return {
        "match": draw(st.sampled_from(["all", "any", "expression"])),
        "expression": draw(st.sampled_from(["1", "NOT 1", "1 OR 2", ""])),
        "blocks": blocks,
    }


def survives(condition):
    assert isinstance(describe_condition(condition), str)
    try:
        leads = leads_matching(condition, now=NOW)
    except ValidationError:
        return
    leads.values("id").query.sql_with_params()
    ids = list(leads.values_list("id", flat=True))
    assert len(ids) == len(set(ids))
    stored = SavedSearch.objects.create(name="x", condition=validate_condition(condition))
    stored.refresh_from_db()
    assert validate_condition(stored.condition) == stored.condition
    assert list(leads_matching(stored.condition, now=NOW).values_list("id", flat=True)) == ids
    stored.delete()


@ANY_DATABASE
@given(JSON)
def test_any_json(condition):
    survives(condition)


@settings(ANY_DATABASE, max_examples=400)
@given(data=st.data())
def test_nearly_right_conditions(data):
    if not LeadColumn.objects.exists():
        for kind in LeadColumn.Type.values:
            LeadColumn.objects.create(label=kind, type=kind)
        make_lead(extra={str(LeadColumn.objects.get(type="number").pk): 1})
    survives(data.draw(conditions()))
    assert Lead.objects.count() == 1
