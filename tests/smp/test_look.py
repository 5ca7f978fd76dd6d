"""The small pieces every template uses (docs/screens.md)."""

from datetime import UTC, date, datetime

import pytest
from django.core.paginator import Paginator
from django.template import Context, Template, TemplateSyntaxError
from django.utils import translation


def draw(text, rf=None, url="/", **values):
    if rf is not None:
        values["request"] = rf.get(url)
    with translation.override(values.pop("language", "ja")):
        return Template(text).render(Context(values))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12480, "12,480"), (0, "0"), (-1447, "-1,447"), (None, ""), ("abc", "abc"), (2.5, "2.5")],
)
def test_number(value, shown):
    assert draw("{{ v|number }}", v=value) == shown


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("minutes", "2026-11-24 10:00"),
        ("seconds", "2026-11-24 10:00:03"),
        ("day", "2026-11-24"),
        ("clock", "10:00"),
    ],
)
def test_when_is_in_japans_time(form, shown):
    assert draw("{{ v|when:f }}", v=datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC), f=form) == shown


def test_long_dates_in_both_languages(time_machine):
    time_machine.move_to(datetime(2026, 11, 1, tzinfo=UTC))
    moment = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    assert draw("{{ v|when:'long' }}", v=moment) == "11月24日(火) 10:00"
    assert draw("{{ v|when:'longday' }}", v=date(2027, 1, 3)) == "2027年1月3日(日)"
    assert draw("{{ v|when:'long' }}", v=moment, language="en") == "Tue 24 Nov 10:00"
    assert draw("{{ v|when }}", v=None) == ""


def test_query_keeps_the_other_parameters(rf):
    shown = draw("{% query page=3 sort=None %}", rf, "/?q=%E9%AB%99&sort=name&page=1")
    assert shown == "q=%E9%AB%99&amp;page=3"


def test_sort_header_turns_round(rf):
    assert (
        draw('{% sort_header "name" "氏名" %}', rf, "/?page=4")
        == '<th scope="col"><a href="?sort=name">氏名</a></th>'
    )
    assert 'aria-sort="ascending"><a href="?sort=-name"' in draw(
        '{% sort_header "name" "氏名" %}', rf, "/?sort=name"
    )
    assert 'aria-sort="descending"><a href="?sort=name"' in draw(
        '{% sort_header "name" "氏名" %}', rf, "/?sort=-name"
    )
    assert "<script>" not in draw('{% sort_header "name" "氏名" %}', rf, "/?q=%22><script>")


def test_progress_bar_shows_every_part_and_never_overflows():
    bar = draw('{% progress_bar total=1000000 ok=999998 bad=1 unknown=1 label="進み" %}')
    assert [part in bar for part in ("fill-ok", "fill-bad", "fill-unknown")] == [True] * 3
    assert "style=" not in bar
    assert 'aria-valuenow="100"' in bar
    assert 'aria-valuenow="0"' in draw("{% progress_bar total=0 %}")
    with pytest.raises(TemplateSyntaxError):
        draw("{% progress_bar total=1 good=1 %}")


def test_count_line():
    one = Paginator(range(3), 50).get_page(1)
    assert draw("{% count_line p %}", p=one) == '<span class="count"><b>3</b>件</span>'
    many = draw("{% count_line p %}", p=Paginator(range(12480), 50).get_page(7))
    assert "<b>12,480</b>件" in many
    assert "301–350" in many
    assert "<b>1</b> entry" in draw("{% count_line p %}", p=Paginator([1], 50).get_page(1), language="en")


def test_field_has_its_label_help_and_error_joined():
    from django import forms

    class Sample(forms.Form):
        name = forms.CharField(label="名前", help_text="全角で")

    html = draw("{{ form }}", form=Sample({"name": ""}))
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert '<span class="must">必須</span>' in html
    assert 'id="id_name_error"' in html
