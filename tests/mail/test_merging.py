"""The merge language, its limits, the fields' names and values, and links."""

from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.utils import translation
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from leads.models import LeadColumn
from mail import links
from mail.merge_fields import check_names, known_names, merge_fields, nearest_name, values_for
from mail.merging import MAX_REFERENCES, Merger, TemplateError, check_source, is_merge_name, used_names
from tests.factories import make_lead

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)  # the 24th in Japan


def merge(source, **values):
    return Merger({"x": source}).render("x", values)


@pytest.mark.parametrize(
    ("source", "values", "result"),
    [
        ("{{ 姓 }}様", {"姓": "髙橋"}, "髙橋様"),
        ('{{ 会社名|default("御社") }}', {"会社名": ""}, "御社"),
        ('{{ 会社名|空なら("御社") }}', {"会社名": " "}, "御社"),
        ('{{ 会社名|空なら("御社") }}', {"会社名": "山手"}, "山手"),
        ("{{ 会社名|空なら(部署名) }}", {"部署名": "生産部"}, "生産部"),
        ('{{ 会社名|空なら("a}}b") }}', {}, "a}}b"),
        ("{% if 部署名 %}{{ 部署名 }} {% else %}-{% endif %}", {"部署名": ""}, "-"),
        ("{% if 役職 == '部長' and not 名 %}x{% elif 姓 %}y{% endif %}", {"姓": "a"}, "y"),
        ("a\n{{- 姓 -}}\nb\n", {"姓": "x"}, "axb\n"),
        ("{# {{ nothing }} #}x", {}, "x"),
        ("{{ 姓|upper|小文字 }}", {"姓": "Ab"}, "ab"),
        ("{{ 知らない }}|", {}, "|"),
        ("} }} { plain %} #}", {}, "} }} { plain %} #}"),
    ],
)
def test_what_can_be_written(source, values, result):
    assert merge(source, **values) == result


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in y %}{% endfor %}", "{% set x = 1 %}", "{% macro m() %}{% endmacro %}", "{% include 'x' %}",
        "{% extends 'x' %}", "{% import 'x' as y %}", "{% filter upper %}{% endfilter %}", "{% raw %}{% endraw %}",
        "{% block x %}{% endblock %}", "{% autoescape false %}{% endautoescape %}", "{% with x=1 %}{% endwith %}",
        "{% call x() %}{% endcall %}", "{% do x %}", "{{ range(9) }}", "{{ 姓.名 }}", "{{ 姓['x'] }}", "{{ 姓.__class__ }}",
        "{{ 'a' * 9999999 }}", "{{ 姓 + 名 }}", "{{ 姓 ~ 名 }}", "{{ [1, 2] }}", "{{ {'a': 1} }}", "{{ 姓|safe }}",
        "{{ 姓|replace('a', 'b') }}", "{{ 姓|indent(9999999) }}", "{{ 姓|default('x')('y') }}", "{{ (姓)('y') }}",
        "{{ 'x'('y') }}", "{{ debug() }}", "{{ self }}", "{{ loop }}", "{{ 姓 if 名 else 1 }}", "{{ 姓 is defined }}",
        "{{ 姓 名 }}", "{{ }}", "{{ 姓", "{% if 姓 %}", "{% endif %}", "{# x", "{{ 姓 {{ 名 }}", "{{{ 姓 }}}",
        "{{ " + "(" * 3000 + "姓" + ")" * 3000 + " }}", "{{ " + "not " * 400_000 + "姓 }}",
        "{{ 姓 }}" * (MAX_REFERENCES + 1), "{{ 'x' }}" * (MAX_REFERENCES + 1),
    ],
)  # fmt: skip
def test_the_sandbox_has_no_way_out(source):
    """Nothing loops, calls, reaches into objects or grows: refused when saved, so it can never be rendered."""
    with pytest.raises(TemplateError):
        check_source(source)


def test_values_are_data_and_never_a_template():
    assert merge("{{ 姓 }}", 姓="{{ 名 }}{% for x in y %}", 名="z") == "{{ 名 }}{% for x in y %}"


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}%#|().'\"\\ 姓名ifendor\n-+*~[]x1,=", max_size=60))
def test_any_source_is_merged_or_refused_with_its_line(source):
    try:
        merge(source, 姓="a")
    except TemplateError as error:
        assert 1 <= error.line <= source.count("\n") + 1


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_errors_name_the_line_in_both_languages(newline):
    source = newline.join(["一", "二 {{ 姓 }}", "{{ 会社 }}"])
    with translation.override("en"), pytest.raises(TemplateError) as caught:
        check_names(source, ["姓", "会社名"])
    assert caught.value.line == 3
    assert str(caught.value) == 'Line 3: There is no merge field "会社". Did you mean "会社名"?'
    with translation.override("ja"), pytest.raises(TemplateError) as caught:
        check_names(source, ["姓", "会社名"])
    assert str(caught.value) == "3行目: 「会社」という差込み項目はありません。「会社名」ではありませんか?"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("名前", "氏名"),
        ("ｾｲ", "セイ"),
        ("Email", "email"),
        ("last_nam", "last_name"),
        ("配信停止", "配信停止URL"),
        ("zzzz", ""),
    ],
)
def test_the_nearest_name_is_offered(db, name, nearest):
    assert nearest_name(name, known_names()) == nearest


def test_used_names_come_once_and_in_order():
    assert used_names("{{ 名 }}{% if 姓 %}{{ 名|空なら(会社名) }}{% endif %}") == ["名", "姓", "会社名"]


def test_users_own_columns_appear_under_their_label_or_their_number(db):
    plain = LeadColumn.objects.create(label="セミナー名", type="text")
    odd = LeadColumn.objects.create(label="参加 人数(名)", type="number")
    taken = LeadColumn.objects.create(label="姓", type="text")
    day = LeadColumn.objects.create(label="見学日", type="date")
    lead = make_lead(extra={plain.key: "DX", odd.key: 3.0, taken.key: "旧姓", day.key: "2026-12-01"})
    values = values_for([lead], now=NOW)[lead.pk]
    assert values["セミナー名"] == values[f"項目_{plain.pk}"] == "DX"
    assert values[f"項目_{odd.pk}"] == "3"
    assert values["姓"] == "髙橋" and values[f"項目_{taken.pk}"] == "旧姓"
    assert values["見学日"] == "2026年12月1日"
    assert all(is_merge_name(name) for field in merge_fields() for name in field.names)


def test_values_in_japanese_and_english_names(db):
    lead = make_lead(company="山手製作所", last_name_kana="タカハシ", language="ja")
    foreign = make_lead("john@b.example.jp", last_name="Smith", first_name="", language="en")
    values = values_for([lead, foreign], now=NOW)
    assert values[lead.pk]["氏名"] == values[lead.pk]["full_name"] == "髙橋 𠮷男"
    assert values[foreign.pk]["氏名"] == "Smith"
    assert (values[lead.pk]["今日"], values[foreign.pk]["today"]) == ("2026年11月24日", "2026-11-24")
    assert values[lead.pk]["リードID"] == str(lead.pk)
    assert links.read_opt_out(values[lead.pk]["配信停止URL"].rsplit("/", 1)[1]) == lead.pk


def test_values_of_one_and_of_many_leads_cost_the_same(db, django_assert_num_queries):
    leads = [make_lead(f"a{n}@b.example.jp") for n in range(3)]
    for some in (leads[:1], leads):
        with django_assert_num_queries(1):
            values = values_for(some, now=NOW, names=["姓", "unsubscribe_url", "無い"])
        assert set(values[some[0].pk]) == {"姓", "unsubscribe_url"}


def test_links_are_read_back_and_cannot_be_altered():
    """OPT-1, OPT-5: a link belongs to one lead and one purpose; changing anything makes it worthless."""
    token = links.opt_out_url(5).rsplit("/", 1)[1]
    assert links.read_opt_out(token) == links.read_opt_out(token.upper()) == 5
    one = links.one_click_url(5, 9).rsplit("/", 1)[1]
    assert links.read_one_click(one) == (5, 9)
    for wrong in (token, one[:-1] + "8", one.replace(".9", ".10"), "", ".", "a.b.c", "x" * 500, one + ".9"):
        assert links.read_one_click(wrong) is None
    for wrong in (
        one,
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        links.opt_out_url(6).rsplit("/", 1)[1][:2] + token[2:],
    ):
        assert links.read_opt_out(wrong) is None


def test_the_envelope_sender_names_its_delivery():
    sender = links.envelope_sender(10**12)
    assert len(sender.partition("@")[0]) <= 64
    assert links.read_envelope_sender(sender) == links.read_envelope_sender(f"<{sender.upper()}>") == 10**12
    assert links.read_envelope_sender(sender.replace(settings.BOUNCE_DOMAIN, "evil.example")) is None
    assert links.read_envelope_sender("b.1.x@" + settings.BOUNCE_DOMAIN) is None
    assert links.read_message_id(links.message_id(77)) == 77
    assert links.read_message_id(sender) is None
