"""WEB-1: what is kept of the addresses and titles browsers report."""

import pytest

from tracking.page_urls import REFERRER_MAX, TITLE_MAX, clean_text, clean_url, host_of

PAGE = "https://www.yamate.example.jp/seminar"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (f"{PAGE}?id=3&utm_source=mail#top", f"{PAGE}?id=3&utm_source=mail"),
        ("HTTPS://WWW.Yamate.Example.JP:443/a", "https://www.yamate.example.jp/a"),
        ("http://www.yamate.example.jp", "http://www.yamate.example.jp/"),
        ("https://例え.jp/資料", "https://xn--r8jz45g.jp/%E8%B3%87%E6%96%99"),
        ("https://user:pass@www.yamate.example.jp/a", "https://www.yamate.example.jp/a"),
        ("https://www.yamate.example.jp:8443/a", "https://www.yamate.example.jp:8443/a"),
        ("javascript:alert(1)", ""),
        ("data:text/html,<b>", ""),
        ("file:///etc/passwd", ""),
        ("https://", ""),
        ("https://www.yamate.example.jp:99999/", ""),
        ("https://[::1", ""),
        ("https://www.yamate.example.jp/a\r\nX: 1", ""),
        ("https://www.yamate.example.jp/a\0b", ""),
        ("https://www.yamate.example.jp/\ud83d", ""),
        ("//www.yamate.example.jp/a", ""),
        ("", ""),
    ],
)
def test_only_addresses_of_pages_are_kept(sent, kept):
    """WEB-1"""
    assert clean_url(sent) == kept


@pytest.mark.parametrize(
    "secret",
    [
        "token=abc", "access_token=abc", "accessToken=abc", "SESSIONID=abc", "PHPSESSID_sid=abc", "password=x", "user[email]=x",
        "mailAddress=x", "q=yoshio@yamate.example.jp", "q=yoshio%40yamate.example.jp", "smp_p=c-1", "smp_v=0", "SMP_x=1",
        "next=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "tel=0312345678", "api-key=1", "api%5Fkey=1",
    ],
)  # fmt: skip
def test_parameters_that_look_like_secrets_or_people_are_left_out(secret):
    """WEB-1: what opens doors or names people has no business in a list of pages"""
    assert clean_url(f"{PAGE}?id=3&{secret}&page=2") == f"{PAGE}?id=3&page=2"


@pytest.mark.parametrize(
    "plain", ["id=3", "monkey=1", "compass=n", "tokenizer=a", "q=%E8%B3%87", "passenger=2", "page"]
)
def test_other_parameters_stay(plain):
    assert clean_url(f"{PAGE}?{plain}") == f"{PAGE}?{plain}"


def test_a_long_address_loses_its_query_and_one_that_stays_too_long_is_nothing():
    assert clean_url(f"{PAGE}?q={'a' * 3000}") == PAGE
    assert clean_url(f"https://www.yamate.example.jp/{'a' * 3000}") == ""
    assert clean_url(f"{PAGE}?q={'a' * 1500}", REFERRER_MAX) == PAGE


def test_titles_are_one_line_without_what_turns_or_hides_text():
    assert clean_text(" 髙﨑𠮷①㈱😀\r\n\0の\u202eページ\ud800 ", TITLE_MAX) == "髙﨑𠮷①㈱😀 のページ"
    assert len(clean_text("<b>" * 500, TITLE_MAX)) == TITLE_MAX


def test_hosts_are_compared_in_one_form():
    assert host_of("https://例え.JP:8443") == "xn--r8jz45g.jp:8443"
    assert host_of("https://www.example.jp:443") == "www.example.jp"
    assert host_of("http://127.0.0.1:8001/a") == "127.0.0.1:8001"
    assert host_of("null") == host_of("") == host_of("https://") == ""
