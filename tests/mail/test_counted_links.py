"""TRK-1, TRK-5, TRK-6: which URLs a template holds, and that a counted one leads exactly where it is written to."""

import html
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from mail.counted_links import add_at_end, find_urls, has_fields, rewrite, target_of, why_not
from mail.merging import Merger, TemplateError


def content(text=None, markup=None):
    form = "multipart" if None not in (text, markup) else "text" if markup is None else "html"
    return {"form": form, "text_body": text or "", "html_body": markup or ""}


def in_text(text):
    return {found.url: found.reason for found in find_urls(content(text=text))}


def in_html(markup):
    return {found.url: found.reason for found in find_urls(content(markup=markup))}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://x.example/a", "https://x.example/a"),
        ("HTTP://X.example", "HTTP://X.example"),
        ("（https://x.example/a）", "https://x.example/a"),
        ("「https://x.example/a」です", "https://x.example/a"),
        ("詳細はhttps://x.example/seminarをご覧ください", "https://x.example/seminar"),
        ("https://x.example/をご覧ください", "https://x.example/"),
        ("https://x.example/a。次", "https://x.example/a"),
        ("https://x.example/a、b", "https://x.example/a"),
        ("https://x.example/a　次", "https://x.example/a"),
        ("See https://x.example/a. Then", "https://x.example/a"),
        ("(https://x.example/a)", "https://x.example/a"),
        ("(https://x.example/a)を", "https://x.example/a"),
        ("<https://x.example/a>", "https://x.example/a"),
        ('"https://x.example/a"', "https://x.example/a"),
        ("https://x.example/wiki/A_(b)", "https://x.example/wiki/A_(b)"),
        ("https://x.example/?a[]=1&b=2#top!", "https://x.example/?a[]=1&b=2#top"),
        ("https://x.example/?u=https://y.example/", "https://x.example/?u=https://y.example/"),
        ("https://x.example/?id={{ リードID }}&b=1 次", "https://x.example/?id={{ リードID }}&b=1"),
        ('https://x.example/?n={{ 会社名|default("御社 です") }}', 'https://x.example/?n={{ 会社名|default("御社 です") }}'),
        ("https://x.example:8443/a", "https://x.example:8443/a"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("😀https://x.example/a😀", "https://x.example/a"),
    ],
)  # fmt: skip
def test_where_a_url_in_a_text_ends(text, url):
    """TRK-1: before Japanese text, brackets and the punctuation of the sentence."""
    assert in_text(text) == {url: ""}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://ja.wikipedia.example/wiki/日本語", "unclear"),
        ("https://x.example/Tシャツ", "unclear"),
        ("https://x.example/a.資料", "unclear"),
        ("https://日本語.example/", "unclear"),
        ("https://x.example/?q={a}", "unclear"),
        ("https://x.example\\@evil.example/", "unclear"),
        ("https://x.example/?n={{ 氏名 }}様", "unclear"),
        ("https://{{ 会社名 }}.example/", "merged"),
        ("https://x.example{{ 会社名 }}/", "merged"),
        ("https://x.example:{{ 会社名 }}/", "merged"),
        ("{{ 配信停止URL }}", "merged"),
        ("{{ unsubscribe_url }}", "merged"),
        ("{% if 姓 %}https://x.example/{% endif %}a", "control"),
        ("https://x.example/{% if 姓 %}a{% endif %}", "control"),
        ("https://x.example/{# c #}a", "control"),
        ("https://x.example/a {{- 姓 }}", "control"),
        ("https://user@x.example/", "login"),
        ("https://user:pass@x.example/", "login"),
        ("https://x.example:port/", "malformed"),
        ("https://./", "malformed"),
        ("https://x.example/" + "a" * 2000, "long"),
        ("http://127.0.0.1:8000/u/0k.ke5jhgkbp5s631rj", "own"),
        ("HTTP://127.0.0.1:8000/t/0k.ke5jhgkbp5s631rj", "own"),
    ],
)
def test_what_cannot_be_counted_and_why(text, reason, settings):
    """TRK-6: when in doubt a URL stays as it is."""
    settings.BASE_URL = "http://127.0.0.1:8000"
    (found,) = find_urls(content(text=text))
    assert found.reason == reason
    assert not found.countable
    assert found.why_not
    assert rewrite(text, "text_body", {found.url: 1}) == text
    if reason != "unclear":  # that is about the place, not about the URL
        with pytest.raises(ValueError):
            target_of(found.url if reason != "control" else "https://x.example/{% if 姓 %}a{% endif %}", {})


def test_our_own_public_pages_can_be_counted(settings):
    settings.BASE_URL = "https://smp.example.jp"
    assert in_text("https://smp.example.jp/e/seminar/ https://smp.example.jp.example/u/x") == {
        "https://smp.example.jp/e/seminar/": "",
        "https://smp.example.jp.example/u/x": "",
    }


@pytest.mark.parametrize(
    ("markup", "url"),
    [
        ('<a href="https://x.example/?a=1&amp;b=2">x</a>', "https://x.example/?a=1&b=2"),
        ("<A\nclass=x HREF = 'https://x.example/'>x</A>", "https://x.example/"),
        ("<a href=https://x.example/a>x</a>", "https://x.example/a"),
        ('<a href=" https://x.example/ ">x</a>', "https://x.example/"),
        ('<map><area href="https://x.example/"></map>', "https://x.example/"),
        ('<a href="https://x.example/?a&copy=1&lt;&#x3042;">x</a>', "https://x.example/?a&copy=1<あ"),
        ('<a href="https://x.example/日本語?q=あ">x</a>', "https://x.example/日本語?q=あ"),
        ('<a href="https://日本語.example/">x</a>', "https://日本語.example/"),
        ('<a href="https://x.example/?n={{ 会社名|default("御社") }}&amp;a=1">x</a>',
         'https://x.example/?n={{ 会社名|default("御社") }}&a=1'),
        ('<a data-href="https://y.example/" href="https://x.example/">https://z.example/</a>', "https://x.example/"),
        ('<a {% if 姓 %}href="https://x.example/"{% endif %}>x</a>', "https://x.example/"),
        ('<!--[if mso]><v:roundrect href="https://x.example/"></v:roundrect><![endif]-->', "https://x.example/"),
        ('<!--[if !mso]><!--><a href="https://x.example/">x</a><!--<![endif]-->', "https://x.example/"),
        ('a < b <a href="https://x.example/">x</a>', "https://x.example/"),
    ],
)  # fmt: skip
def test_links_of_html(markup, url):
    assert list(in_html(markup)) == [url]


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://x.example/i.gif">',
        '<link href="https://x.example/s.css">',
        "<p>https://x.example/</p>",
        '<a href="mailto:a@x.example">x</a>',
        '<a href="tel:+81312345678">x</a>',
        '<a href="#top">x</a>',
        '<a href=" JavaScript:alert(1)">x</a>',
        '<a name="https://x.example/">x</a>',
        '<a href="">x</a><a href>x</a><a href= >x</a>',
        '<!-- <a href="https://x.example/">x</a> -->',
        "<script>\"<a href='https://x.example/'>\"</script>",
        '<style><a href="https://x.example/"></style>',
        '<a href="https://x.example/',
        "<a href='https://x.example/\">x</a>",
        '{# <a href="https://x.example/">x</a> #}',
    ],
)
def test_what_is_no_link(markup):
    assert in_html(markup) == {}


@pytest.mark.parametrize(
    ("markup", "reason"),
    [
        ('<a href="{{ 配信停止URL }}">x</a>', "merged"),
        ('<a href="{{ 会社名 }}/a">x</a>', "merged"),
        ('<a href="www.x.example">x</a>', "scheme"),
        ('<a href="/a">x</a>', "scheme"),
        ('<a href="ftp://x.example/">x</a>', "scheme"),
        ('<a href="//x.example/">x</a>', "scheme"),
        ('<a href="https://x.example/{% if 姓 %}a{% else %}b{% endif %}">x</a>', "control"),
        ("<a href=https://x.example/{% if 姓 %}a{% endif %}>x</a>", "control"),
        ('<a href="{% if 姓 %}https://x.example/{% endif %}">x</a>', "control"),
        ('<a href="https://x.example/ {{- 姓 }}">x</a>', "control"),
        ('<a href="https://x.example/a b">x</a>', "malformed"),
        ('<a href="https://x.example/a&#10;b">x</a>', "malformed"),
        ('<a href="https://x.example\\@evil.example/">x</a>', "login"),
        ('<a href="https://x.example\\.evil.example/">x</a>', "malformed"),
        ('<a href="https://x.example/&#123;&#123; 姓 }}">x</a>', "malformed"),
        ('<a href="https://x.example／.evil.example/">x</a>', "malformed"),
        ('<a href="https://user:pass@x.example/">x</a>', "login"),
    ],
)
def test_links_of_html_that_cannot_be_counted(markup, reason):
    (found,) = find_urls(content(markup=markup))
    assert found.reason == reason
    assert rewrite(markup, "html_body", {found.url: 1}) == markup


def test_each_url_once_in_the_order_of_the_mail():
    """TRK-1: both parts, with how often it stands in each, and what the mail calls it."""
    found = find_urls(
        content(
            text="■お申し込みはこちら\nhttps://x.example/a?b=1&c=2\n\n会場: https://x.example/map\n"
            "もう一度 https://x.example/a?b=1&c=2",
            markup='<a href="https://x.example/b"><img src="i.gif" alt="地図"></a>'
            '<a href="https://x.example/a?b=1&amp;c=2"><b>申し込む</b></a>',
        )
    )
    assert [(one.url, one.text_count, one.html_count, one.label) for one in found] == [
        ("https://x.example/a?b=1&c=2", 2, 1, "申し込む"),
        ("https://x.example/map", 1, 0, "会場"),
        ("https://x.example/b", 0, 1, "地図"),
    ]


def test_only_the_parts_that_are_sent_are_looked_at():
    both = content(text="https://x.example/t", markup='<a href="https://x.example/h">x</a>')
    assert [one.url for one in find_urls(both | {"form": "text"})] == ["https://x.example/t"]
    assert [one.url for one in find_urls(both | {"form": "html"})] == ["https://x.example/h"]


def test_only_the_counted_urls_are_exchanged():
    """TRK-5: found by URL, never by place; never a part of a longer one; what people read stays."""
    text = "https://x.example/a https://x.example/ab https://x.example/a/b https://x.example/a.\nhttps://x.example/a"
    assert rewrite(text, "text_body", {"https://x.example/a": 7}) == (
        "{{ _click_7 }} https://x.example/ab https://x.example/a/b {{ _click_7 }}.\n{{ _click_7 }}"
    )
    markup = '<a title="https://x.example/a" href="https://x.example/a">https://x.example/a</a>'
    assert rewrite(markup, "html_body", {"https://x.example/a": 7}) == (
        '<a title="https://x.example/a" href="{{ _click_7 }}">https://x.example/a</a>'
    )


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("<body>a</body></html>", "<body>a+</body></html>"),
        ("<BODY>a</BODY >", "<BODY>a+</BODY >"),
        ("<p>a</p>", "<p>a</p>+"),
        ("<body>a<!-- </body> --></body>", "<body>a<!-- </body> -->+</body>"),
        ("<body>{# </body> #}a", "<body>{# </body> #}a+"),
        ("", "+"),
    ],
)
def test_something_invisible_goes_before_the_end_of_the_body(source, wanted):
    assert add_at_end(source, "+") == wanted


# ---- where a click leads --------------------------------------------------------------------------------------------


def test_values_are_percent_encoded():
    """TRK-6: what a lead's column holds stays one value of the query."""
    url = "https://x.example/{{ 姓 }}?n={{ 氏名 }}&c={{ 会社名|default('御社') }}#{{ 姓 }}"
    assert has_fields(url)
    assert target_of(url, {"姓": "a/b", "氏名": "髙﨑 &#?%\r\nSet-Cookie: x"}) == (
        "https://x.example/a%2Fb?n=%E9%AB%99%EF%A8%91%20%26%23%3F%25%0D%0ASet-Cookie%3A%20x&c=%E5%BE%A1%E7%A4%BE#a%2Fb"
    )


@limits(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["/{{ v }}", "?{{ v }}", "#{{ v }}", "/a?b={{ v }}&c={{ v }}"]))
@example("//evil.example/", "/{{ v }}")
@example("\\evil.example", "/{{ v }}")
@example("@evil.example", "/{{ v }}")
@example("\ud800\0", "?{{ v }}")
def test_no_value_changes_where_a_link_leads(value, behind):
    """TRK-6: no open redirect, and nothing that ends a header line."""
    target = target_of(f"https://x.example:8443{behind}", {"v": value})
    parts = urlsplit(target)
    assert (parts.scheme, parts.netloc) == ("https", "x.example:8443")
    assert re.fullmatch(r"[!-~]+", target)
    assert "\\" not in target


def test_a_value_without_end_is_refused():
    with pytest.raises(ValueError):
        target_of("https://x.example/?v={{ v }}", {"v": "あ" * 10_000})


# ---- whatever a template looks like ---------------------------------------------------------------------------------

HOSTS = st.sampled_from(["x.example", "X.example:8080", "日本語.example", "a.b-c.example"])
PIECES = st.sampled_from(
    ["a", "/", "日本", "%20", "?q=", "&", "=1", "&copy=", "&amp;", "&lt", "'", "(", ")", ";", "~", "|", "*", ".", ",", "!",
     "{{ 姓 }}", '{{ 会社名|default("a\\"b") }}', "#", "あ"]
)  # fmt: skip
URLS = st.builds(
    lambda host, pieces: f"https://{host}/{''.join(pieces)}", HOSTS, st.lists(PIECES, max_size=6)
)
NOISE = st.sampled_from(
    ["<p>", "</p>", "text ", "{{ 姓 }}", "{% if 姓 %}", "{% endif %}", "{# <a href='x'> #}", "<!-- ", " -->", "<br/>", "\n",
     "https://other.example/", "<img src='https://x.example/'>", '"', "'", "<", "&amp;", "日本語", "<a name=x>", "<style>", "</style>"]
)  # fmt: skip


class Hrefs(HTMLParser):
    """An independent reader of the merged mail."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href"]


@limits(max_examples=300, deadline=None)
@given(st.lists(URLS, min_size=1, max_size=4, unique=True), st.lists(NOISE, max_size=4))
def test_each_link_of_html_leads_where_it_is_written_to(urls, around):
    """TRK-5, TRK-6: rewriting and resolving is the same as not counting, for whatever can be counted."""
    links = "".join(f'<a href="{_escaped(url)}">z</a>' for url in urls)
    _same_afterwards("".join(around[:2]) + links + "".join(around[2:]), "html_body")


@limits(max_examples=300, deadline=None)
@given(st.lists(st.one_of(URLS, NOISE), min_size=1, max_size=6))
def test_each_link_of_a_text_leads_where_it_is_written_to(pieces):
    _same_afterwards("".join(pieces), "text_body")


def _escaped(url):
    pieces = re.split(r"(\{\{.*?\}\})", url)
    return "".join(piece if piece.startswith("{{") else html.escape(piece, quote=False) for piece in pieces)


def _same_afterwards(source, part):
    """Counting everything and writing each URL back gives the source again, and what is counted is read as it is written."""
    values = {"姓": "髙﨑", "会社名": ""}
    field = {
        "text_body": "",
        "html_body": "",
        "form": "text" if part == "text_body" else "html",
        part: source,
    }
    try:
        found = find_urls(field)
        before = Merger({part: source}, html_parts=frozenset({"html_body"})).render(part, values)
    except TemplateError:
        return
    counted = {one.url: number for number, one in enumerate(found, start=1) if one.countable}
    rewritten = rewrite(source, part, counted)
    assert rewrite(source, part, {}) == source
    marks = {f"_click_{number}": f"https://l.example/{number}" for number in counted.values()}
    after = Merger({part: rewritten}, html_parts=frozenset({"html_body"})).render(part, values | marks)
    back = {f"https://l.example/{number}": url for url, number in counted.items()}
    if part == "html_body":
        reader, written = Hrefs(), Hrefs()
        reader.feed(after)
        written.feed(before)
        assert len(reader.found) == len(written.found)
        for ours, theirs in zip(reader.found, written.found, strict=True):
            if ours not in back:
                assert ours == theirs
            elif has_fields(back[ours]):
                assert unquote(target_of(back[ours], values)) == unquote((theirs or "").strip())
            else:
                assert target_of(back[ours], values) == (theirs or "").strip()
        return
    for link, url in sorted(back.items(), reverse=True):
        after = after.replace(link, target_of(url, values))
    if any(map(has_fields, back.values())):
        after, before = unquote(after), unquote(before)
    assert after == before


@pytest.mark.parametrize(
    "source", ["<a " * 50_000, '<a href="' * 50_000, "<!--" * 50_000, "{{- 姓 -}}" * 900 + " " * 400_000]
)
def test_no_source_takes_long(source):
    """A template of the greatest length is read in one pass: quadratic work would never end here."""
    find_urls(content(text=source, markup=source))


def test_why_not_says_it_in_words():
    assert why_not("https://x.example/") == ""
    assert why_not("https://x.example/{{ 姓") == "malformed"
