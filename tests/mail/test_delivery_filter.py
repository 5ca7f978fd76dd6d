"""配信フィルタ (MAG-7): a condition over leads and over what the magazine knows of its readers."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from leads.models import Lead
from leads.search import describe_condition, leads_matching
from leads.search.comparisons import month_days
from mail.magazines.filters import (
    check_filter,
    describe_filter,
    filter_items,
    filter_q,
    filter_sentence,
    has_filter,
    matching,
)
from tests.mail.magazine_scene import make_item, make_magazine, make_reader

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)  # 22 November, 1:00 in Japan


def condition(*blocks, match="all"):
    return {
        "match": match,
        "blocks": [
            {"item": item, "operator": operator, "values": list(values)} for item, operator, *values in blocks
        ],
    }


def key(item):
    return f"reader.{item.magazine_id}.item.{item.pk}"


def found(magazine, *blocks, match="all", now=NOW):
    """The addresses' local parts of the readers that match."""
    leads = Lead.objects.filter(
        filter_q(condition(*blocks, match=match), magazine.pk, now=now), readers__magazine=magazine
    )
    return sorted(lead.email.partition("@")[0] for lead in leads)


@pytest.fixture
def magazine():
    return make_magazine()


@pytest.fixture
def contract(magazine):
    """契約期限 of seven readers around 22 November 2026."""
    item = make_item(magazine, "契約期限", "date")
    for name, day in {
        "today": "2026-11-22", "tomorrow": "2026-11-23", "in3": "2026-11-25", "ago3": "2026-11-19",
        "last": "2026-10-31", "next": "2026-12-01", "none": None,
    }.items():  # fmt: skip
        make_reader(magazine, f"{name}@x.example.jp", values={} if day is None else {item.key: day})
    return item


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("today", [], ["today"]),
        ("in_days_exactly", ["3"], ["in3"]),
        ("days_ago_exactly", ["3"], ["ago3"]),
        ("in_days", ["3"], ["in3", "next"]),
        ("days_ago", ["3"], ["ago3", "last"]),
        ("next_days", ["2"], ["today", "tomorrow"]),
        ("within_days", ["4"], ["ago3", "today"]),
        ("this_month", [], ["ago3", "in3", "today", "tomorrow"]),
        ("last_month", [], ["last"]),
        ("next_month", [], ["next"]),
        ("empty", [], ["none"]),
        ("between", ["2026-11-23", "2026-12-01"], ["in3", "next", "tomorrow"]),
    ],
)
def test_dates_relative_to_now(magazine, contract, operator, values, expected):
    """MAG-7, MAG-8: 契約期限[今月], N days before and after; counted in Japan's days."""
    assert found(magazine, (key(contract), operator, *values)) == expected


def test_relative_dates_are_those_of_the_moment_of_asking(magazine, contract):
    assert found(magazine, (key(contract), "today"), now=NOW + timedelta(days=1)) == ["tomorrow"]


def test_birthdays_of_any_year(magazine):
    """29 February is kept on the 28th of a common year, and on the 29th of a leap year only."""
    item = make_item(magazine, "誕生日", "date")
    for name, day in {"leap": "1992-02-29", "eight": "1980-02-28", "march": "2001-03-01"}.items():
        make_reader(magazine, f"{name}@x.example.jp", values={item.key: day})

    def on(*day):
        return found(magazine, (key(item), "anniversary"), now=datetime(*day, 3, tzinfo=UTC))

    assert on(2027, 2, 28) == ["eight", "leap"]
    assert on(2028, 2, 28) == ["eight"]
    assert on(2028, 2, 29) == ["leap"]
    assert on(2027, 3, 1) == ["march"]
    assert found(magazine, (key(item), "month_of_year"), now=datetime(2030, 2, 1, tzinfo=UTC)) == ["eight", "leap"]  # fmt: skip


def test_every_day_of_four_years_has_each_birthday_once_a_year():
    """No birthday is left out or kept twice in a year, leap or not."""
    for year in range(2025, 2029):
        kept = [text for number in range(366) for text in _month_days_of(year, number)]
        assert len(kept) == len(set(kept)) == 366


def _month_days_of(year, number):
    day = date(year, 1, 1) + timedelta(days=number)
    return month_days(day) if day.year == year else []


def test_texts_numbers_choices_and_what_the_lead_knows(magazine):
    text, number, choice = (
        make_item(magazine, "備考"),
        make_item(magazine, "人数", "number"),
        make_item(magazine, "業種", "choice"),
    )
    a = make_reader(
        magazine, "a@x.example.jp", values={text.key: "髙﨑様", number.key: 20, choice.key: "製造"}
    )
    make_reader(
        magazine, "b@x.example.jp", values={number.key: "many", choice.key: "小売"}
    )  # no number: no cast fails
    Lead.objects.filter(pk=a.lead_id).update(prefecture="東京都")
    assert found(magazine, (key(text), "contains", "髙﨑")) == ["a"]
    assert found(magazine, (key(number), "ge", "10")) == ["a"]
    assert found(magazine, (key(number), "empty")) == ["b"]
    assert found(magazine, (key(choice), "is_not", "製造")) == ["b"]
    assert found(magazine, (key(choice), "is", "小売"), ("lead.prefecture", "is", "東京都"), match="any") == ["a", "b"]  # fmt: skip


def test_what_the_magazine_knows_of_the_reader_itself(magazine):
    prefix = f"reader.{magazine.pk}."
    make_reader(magazine, "new@x.example.jp", registered_at=NOW - timedelta(days=1))
    make_reader(
        magazine,
        "old@x.example.jp",
        registered_at=NOW - timedelta(days=400),
        way="import",
        failures_refused=2,
    )
    assert found(magazine, (prefix + "registered_at", "within_days", "7")) == ["new"]
    assert found(magazine, (prefix + "way", "is", "import")) == ["old"]
    assert found(magazine, (prefix + "failures.refused", "ge", "1")) == ["old"]


def test_a_magazine_s_items_are_known_in_its_own_filters_only(magazine):
    item = make_item(magazine, "業種")
    block = (key(item), "is", "製造")
    check_filter(condition(block), magazine.pk)
    with pytest.raises(ValidationError):
        check_filter(condition(block), make_magazine("別の号").pk)
    with pytest.raises(ValidationError):
        list(leads_matching(condition(block), now=NOW))


def test_an_item_that_is_gone_is_refused_and_never_widens_a_filter(magazine):
    """MAG-7: better no mail than a wrong one; descriptions stay readable."""
    item = make_item(magazine, "業種", retired_at=NOW)
    gone = condition((key(item), "is", "製造"))
    with pytest.raises(ValidationError):
        filter_q(gone, magazine.pk, now=NOW)
    assert "業種" in describe_filter(gone)


def test_the_sentence_counts_deliverable_readers_who_match(magazine):
    """MAG-7: state comes before the filter, in the number too."""
    item = make_item(magazine, "業種", "choice")
    make_reader(magazine, values={item.key: "製造"})
    make_reader(magazine, values={item.key: "小売"})
    make_reader(magazine, state="stopped", values={item.key: "製造"})
    make_reader(magazine, state="error_stopped", values={item.key: "製造"})
    deleted = make_reader(magazine, values={item.key: "製造"})
    Lead.objects.filter(pk=deleted.lead_id).update(deleted_at=NOW)
    unsubscribed, invalid = (make_reader(magazine, values={item.key: "製造"}) for _ in range(2))  # MAG-12
    Lead.objects.filter(pk=unsubscribed.lead_id).update(unsubscribed_at=NOW)
    Lead.objects.filter(pk=invalid.lead_id).update(email_valid=False)
    only = condition((key(item), "is", "製造"))
    assert matching(only, magazine.pk, now=NOW) == 1
    assert filter_sentence(only, magazine.pk, now=NOW) == (
        "配信可能の読者のうち、「業種」が「製造」に一致する1人に配信します。"
    )
    nobody = {"match": "all", "blocks": []}
    assert not has_filter(nobody)
    assert filter_sentence(nobody, magazine.pk, now=NOW) == "配信可能の読者2人すべてに配信します。"


def test_every_item_compiles_with_every_operator(magazine):
    """No operator of any type reaches the database as something it cannot run."""
    for type in ("text", "number", "date", "choice"):
        make_item(magazine, type, type)
    make_reader(magazine)
    samples = {"number": "3", "date": "2026-11-22", "datetime": "2026-11-22", "text": "x", "choice": "製造"}
    for item in filter_items(magazine.pk).values():
        for operator in item.allowed():
            value = "3" if "days" in operator else samples[item.type]
            if item.closed:
                value = item.choices()[0][0]
            count = (
                0 if operator in {"empty", "not_empty", "today", "anniversary"} or "month" in operator else 1
            )
            count = 2 if operator == "between" else count
            block = (item.key, operator, *[value] * count)
            assert describe_condition(condition(block))
            assert found(magazine, block) in ([], ["reader1"])
