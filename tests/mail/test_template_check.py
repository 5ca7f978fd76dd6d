"""What is found before a template is sent: ADDR-1..3, LAW-1, CHR-1, merge errors."""

import pytest

from mail.address_fields import AddressFieldError, check_address_field, split_addresses
from mail.models import MailTemplate
from mail.template_check import check_content, check_template
from tests.factories import LEGAL_FOOTER, make_template

NAMES = ["姓", "氏名", "メールアドレス", "会社名", "配信停止URL", "unsubscribe_url"]


def problems(severity="error", **values):
    values = {
        "name": "x", "subject": "件名", "form": "text", "text_body": "本文\n" + LEGAL_FOOTER,
        "from_address": "info@seminar.example.jp",
    } | values  # fmt: skip
    return [(p.field, p.line) for p in check_content(MailTemplate(**values), NAMES) if p.severity == severity]


def test_a_complete_template_has_no_problem(db):
    assert check_template(make_template()) == []


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to"])
def test_several_addresses_and_merge_fields(field):
    """ADDR-1: a comma, one half-width space allowed after it."""
    check = {"several": True, "names": NAMES}
    check_address_field("a@b.example.jp,c@d.example.jp, {{ メールアドレス }}", **check)
    check_address_field("", **check)
    for wrong in (
        "a@b.example.jp,  c@d.example.jp",
        "a@b.example.jp ,c@d.example.jp",
        "a@b.example.jp,",
        ",a@b.example.jp",
        "a@b.example.jp,,c@d.example.jp",
        "a@b.example.jp,\u3000c@d.example.jp",
        "a@b.example.jp\nc@d.example.jp",
        "a@b",
        "{{ 知らない }}",
        "{% if 姓 %}a@b.example.jp{% endif %}",
    ):
        with pytest.raises(AddressFieldError):
            check_address_field(wrong, **check)
        assert problems(**{field: wrong}) == [(field, None)]


def test_at_most_a_thousand_characters_as_typed():
    """ADDR-1: 1000 accepted, 1001 refused, whatever the merge fields become."""
    thousand = ",".join(["abcdefg@b.example.jp"] * 47) + "," + "x" * 1 + "@bbbb.jp"
    thousand = "y" * (1000 - len(thousand)) + thousand
    assert len(thousand) == 1000
    check_address_field(thousand, several=True, names=NAMES)
    with pytest.raises(AddressFieldError, match="1000"):
        check_address_field("z" + thousand, several=True, names=NAMES)


@pytest.mark.parametrize("mark", [";", "，", "、", "；"])
def test_other_separators_are_refused_everywhere(mark):
    """ADDR-2 and our own rule for lists."""
    for several in (True, False):
        with pytest.raises(AddressFieldError, match="入力形式を確認してください。"):
            split_addresses(f"a@b.example.jp{mark}c@d.example.jp", several=several)


@pytest.mark.parametrize("field", ["from_address", "errors_to"])
def test_a_single_address_field_takes_one(field):
    """ADDR-2: 「入力形式を確認してください。」"""
    with pytest.raises(AddressFieldError, match="入力形式を確認してください。"):
        split_addresses("a@b.example.jp,c@d.example.jp", several=False)
    assert problems(**{field: "a@b.example.jp,c@d.example.jp"}) == [(field, None)]
    assert problems(**{field: "{{ メールアドレス }}"}) == []
    assert split_addresses('{{ 会社名|default("a,b;c") }}', several=False) == [
        '{{ 会社名|default("a,b;c") }}'
    ]


@pytest.mark.parametrize(
    ("lost", "count"),
    [
        ("送信者: 株式会社エスエムピー セミナー事務局\n", 1),
        ("住所: 東京都千代田区丸の内1-1-1\n", 1),
        ("お問い合わせ: info@seminar.example.jp\n", 1),
        ("{{ 配信停止URL }}", 1),
        ("配信停止はこちら: ", 1),
    ],
)
def test_advertising_without_a_piece_the_law_asks_for(lost, count):
    """LAW-1: each missing piece is named; a business notice needs none."""
    footer = LEGAL_FOOTER.replace(lost, "")
    assert footer != LEGAL_FOOTER
    assert problems(text_body="本文\n" + footer) == [("text_body", None)] * count
    assert problems(text_body="本文\n" + footer, purpose="notice") == []


HTML = (
    "<p>本文</p><p>送信者: 株式会社エスエムピー<br>〒100-0005 東京都千代田区丸の内1-1-1<br>電話 03-1234-5678<br>"
    '<a href="{{ 配信停止URL }}">配信停止はこちら</a></p>'
)


@pytest.mark.parametrize(
    "hide",
    [
        "<!-- {} -->", '<div style="display: none">{}</div>', '<div hidden>{}</div>', '<p style="font-size:1px">{}</p>',
        "<head><style>{}</style></head>", "{{# {} #}}", '<div style="visibility:hidden"><div>{}</div></div>',
    ],
)  # fmt: skip
def test_a_notice_nobody_sees_is_no_notice(hide):
    """LAW-1: comments, hidden and tiny text do not count; in multipart mail each part needs its own."""
    assert problems(form="html", html_body=HTML) == []
    hidden = (
        hide.replace("{}", HTML)
        if "{{#" not in hide
        else "{# " + HTML.replace("{{ ", "").replace(" }}", "") + " #}"
    )
    found = problems(form="html", html_body="<p>本文</p>" + hidden)
    assert found == [("html_body", None)] * 5
    found = problems(form="multipart", html_body="<p>本文</p>" + hidden)
    assert found == [("html_body", None)] * 5


def test_merge_errors_name_field_and_line():
    assert problems(text_body="a\n{{ 会社 }}\n" + LEGAL_FOOTER, subject="{{ 姓") == [
        ("subject", 1),
        ("text_body", 2),
    ]


def test_bodies_of_the_form_must_not_be_empty():
    assert problems(purpose="notice", text_body=" \n", subject=" ") == [
        ("subject", None),
        ("text_body", None),
    ]
    assert problems(purpose="notice", form="multipart", html_body="<p> </p>") == [("html_body", None)]
    # What the form does not send is not asked for.
    assert problems(purpose="notice", html_body="{{ broken") == []


def test_iso_2022_jp_lists_what_it_cannot_carry():
    """CHR-1: a warning for what makes the mails UTF-8, an explanation for what has a JIS spelling."""
    values = {"purpose": "notice", "charset": "iso-2022-jp", "text_body": "高橋\n①～"}
    assert problems("warning", **values) == [("text_body", 2)]
    assert problems("info", **values) == [("text_body", 2)]
    assert problems("warning", **values | {"charset": "utf-8"}) == []


def test_open_links_and_wide_braces_are_pointed_out():
    assert problems("warning", text_body="\nhttp://a.example.jp ｛｛姓｝｝\n" + LEGAL_FOOTER) == [
        ("text_body", 2),
        ("text_body", 2),
    ]
    assert problems("warning", text_body="https://a.example.jp\n" + LEGAL_FOOTER) == []
