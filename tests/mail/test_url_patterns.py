"""STEP-3: which pages a URL with * means, the same in Python and in SQL."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail.url_patterns import check_pattern, matches, stored_url, to_like, url_q
from tracking.models import PageView


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("www.example.jp", "https://www.example.jp/"),
        ("www.example.jp/", "http://WWW.EXAMPLE.JP?utm=1"),
        ("www.example.jp/seminar", "https://www.example.jp/seminar/"),
        ("www.example.jp/seminar/", "https://www.example.jp/seminar?x=1#top"),
        ("www.example.jp/seminar/*", "https://www.example.jp/seminar/2026/a"),
        ("www.example.jp/seminar/*", "https://www.example.jp/seminar"),
        ("https://www.example.jp/*/thanks", "https://www.example.jp/a/b/thanks/"),
        ("www.example.jp:443/a", "https://www.example.jp:443/a?x"),
        ("https://www.example.jp:443/a", "https://www.example.jp/a"),
        ("www.example.jp/a?id=1*", "https://www.example.jp/a/?id=12&x=3"),
        ("www.example.jp/a/*?id=1", "https://www.example.jp/a?id=1"),
        ("www.example.jp/a?", "https://www.example.jp/a?whatever"),
        ("日本語.jp/セミナー/*", "https://xn--wgv71a119e.jp/%E3%82%BB%E3%83%9F%E3%83%8A%E3%83%BC/x"),
        ("xn--wgv71a119e.jp/%e3%82%bb%e3%83%9f%e3%83%8a%e3%83%bc", "https://日本語.jp/セミナー"),
        ("example.jp/%7Esmp/50%", "https://example.jp/~smp/50%25"),
        ("example.jp/a%2Ab", "https://example.jp/a*b"),
        ("example.jp/*", "https://example.jp/髙﨑𠮷①㈱😀"),
    ],
)
def test_means(pattern, url):
    assert matches(check_pattern(pattern), url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("www.example.jp", "https://www.example.jp/seminar"),
        ("www.example.jp/*", "https://example.jp/"),
        ("www.example.jp/*", "https://evil.example/www.example.jp/x"),
        ("www.example.jp/*", "https://evil.example/?https://www.example.jp/x"),
        ("www.example.jp/*", "https://www.example.jp@evil.example/x"),
        ("https://www.example.jp/a", "http://www.example.jp/a"),
        ("www.example.jp/a", "https://www.example.jp/A"),
        ("www.example.jp/a", "https://www.example.jp:8443/a"),
        ("www.example.jp/*/thanks", "https://www.example.jp/a?next=/b/thanks"),
        ("www.example.jp/a?id=1", "https://www.example.jp/a"),
        ("www.example.jp/a%2Ab", "https://www.example.jp/axb"),
        ("www.example.jp/aba*ba", "https://www.example.jp/aba"),
        ("www.example.jp/*", "javascript:www.example.jp/x"),
        ("www.example.jp/*", "https://www.example.jp/\0"),
        ("www.example.jp/*", "https://[::1"),
        ("www.example.jp/*", ""),
    ],
)
def test_does_not_mean(pattern, url):
    assert not matches(check_pattern(pattern), url)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "blank"), ("  ", "blank"), ("#x", "blank"), ("*", "host"), ("*/*", "host"), ("https://*", "host"),
        ("https://*/x", "host"), ("*.example.jp/x", "host"), ("/thanks", "host"), ("https:///x", "host"),
        ("a b.example/x", "character"), ("example.jp/a\0b", "character"), ("example.jp\\x", "character"),
        ("example.jp/\r\nx", "character"), ("ftp://example.jp/x", "scheme"), ("javascript://example.jp", "scheme"),
        ("user@example.jp/x", "host"), ("-x.jp/", "host"), ("a..jp/", "host"), ("example.jp:99999/", "host"),
        ("example.jp:" + "9" * 400, "host"), ("example.jp/" + "*/" * 11, "stars"),
        ("example.jp/" + "a" * 1000, "too_long"),
    ],
)  # fmt: skip
def test_is_refused(text, code):
    with pytest.raises(ValidationError) as refused:
        check_pattern(text)
    assert refused.value.code == code


def test_refusals_are_said_in_japanese(settings):
    from django.utils import translation

    with translation.override("ja"), pytest.raises(ValidationError) as refused:
        check_pattern("*")
    assert refused.value.messages == [
        "ホスト名は「www.example.jp」のように省略せずに入力してください。「*」はその後ろでだけ使えます。そうしないと、すべてのページが対象になってしまいます。"
    ]


def test_what_is_stored():
    assert check_pattern(" https://www.example.jp/a/*?x=1#top ") == "https://www.example.jp/a/*?x=1"
    assert stored_url("HTTPS://u:p@日本語.JP:443/a b/%7e*?q=é#x") == (
        "https://xn--wgv71a119e.jp/a%20b/~%2A?q=%C3%A9"
    )
    assert to_like("https://example.jp/50%_/*") == [
        r"https://example.jp/50\%25\_/%", r"https://example.jp/50\%25\_",
    ]  # fmt: skip


PIECES = st.lists(
    st.sampled_from(["/", "a", "b", "%", "_", "\\", "*", "ab", "é", "%41", "%2A", "%5C", "?", "=", "&", "~"]),
    max_size=8,
).map("".join)
HOSTS = st.sampled_from(["example.jp", "EXAMPLE.jp", "x.example.jp", "日本語.jp", "example.jp:80"])
SCHEMES = st.sampled_from(["", "http://", "https://"])


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCHEMES, HOSTS, PIECES, SCHEMES.filter(bool), HOSTS, PIECES)
def test_sql_says_the_same(scheme, host, rest, url_scheme, url_host, url_rest):
    """`url_q`, that is LIKE with `to_like`, finds exactly what `matches` means."""
    pattern = f"{scheme}{host}/{rest.replace(chr(92), '')}"
    url = stored_url(f"{url_scheme}{url_host}/{url_rest}")
    sql, values = (
        PageView.objects.filter(url_q("url", pattern)).order_by().values("pk").query.sql_with_params()
    )
    with connection.cursor() as cursor:
        condition = sql.partition(" WHERE ")[2].replace('"tracking_pageview"."url"', "page.url")
        cursor.execute(f"SELECT {condition} FROM (SELECT %s::text AS url) page", [*values, url])
        (found,) = cursor.fetchone()
    assert found == matches(pattern, url)
