"""EXC-4, CHR-3, CHR-4, CHR-5: what an address is; the rows T20 to T33 of the reference tables."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leads.address import check_email, normalise_email, smtp_address

LONG_DOMAIN = ".".join(["a" * 62] * 3) + "."


def code(text):
    return check_email(text).code


@pytest.mark.parametrize(
    ("typed", "envelope"),
    [
        ("a..b.@docomo.ne.jp", '"a..b."@docomo.ne.jp'),
        (".abc@ezweb.ne.jp", '".abc"@ezweb.ne.jp'),
        ("ab.@DoCoMo.ne.jp", '"ab."@DoCoMo.ne.jp'),
        ("a.b@docomo.ne.jp", "a.b@docomo.ne.jp"),
    ],
)
def test_carriers_may_have_odd_dots(typed, envelope):
    """T20, CHR-3: stored as typed, sent as a quoted local part."""
    check = check_email(typed)
    assert (check.address, check.malformed, check.notes) == (typed, False, ())
    assert smtp_address(typed) == envelope


@pytest.mark.parametrize(
    "typed", ["a..b@example.jp", ".abc@example.jp", "abc.@example.jp", "a..b@sub.docomo.ne.jp"]
)
def test_nobody_else_may(typed):
    """T21, CHR-3."""
    check = check_email(typed)
    assert (check.malformed, check.code) == (True, "dots")
    assert check.text.startswith(("入力形式を確認してください。", "Check the format"))
    with pytest.raises(ValueError):
        smtp_address(typed)


@pytest.mark.parametrize(
    "typed", ["a/b@docomo.ne.jp", "-abc@example.jp", "a--b@example.jp", "a+b@example.jp", "o'neil@example.ie"]
)
def test_what_the_rfc_allows_is_allowed(typed):
    """T22."""
    assert check_email(typed) == (typed, typed, False, "", "", (), "")
    assert smtp_address(typed) == typed


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("user＠example.com", "user@example.com"),
        ("ｕｓｅｒ@ｅｘａｍｐｌｅ.com", "user@example.com"),
        ("a@b．jp", "a@b.jp"),
    ],
)
def test_full_width_is_normalised_with_a_note(typed, address):
    """T23, CHR-4."""
    check = check_email(typed)
    assert (check.address, check.malformed, len(check.notes)) == (address, False, 1)


@pytest.mark.parametrize("typed", ["user@example。jp", "user@example｡jp"])
def test_an_ideographic_dot_is_proposed_not_changed(typed):
    """T24, CHR-4."""
    check = check_email(typed)
    assert check.address == "user@example。jp"
    assert (check.malformed, check.code, check.suggestion) == (True, "ideographic_dot", "user@example.jp")


@pytest.mark.parametrize(
    "typed", [" a@b.jp　", "\u200ba@b.jp\ufeff", "\ta@b.jp\r\n", "\u3000\u00a0a@b.jp\u200b "]
)
def test_ends_are_trimmed(typed):
    """T25, EXC-4."""
    assert check_email(typed) == ("a@b.jp", "a@b.jp", False, "", "", (), "")
    assert normalise_email(typed) == "a@b.jp"


def test_international_domains_are_stored_as_typed():
    """T26, CHR-5."""
    assert check_email("user@日本語.jp").address == "user@日本語.jp"
    assert smtp_address("user@日本語.jp") == "user@xn--wgv71a119e.jp"
    assert smtp_address("user@xn--wgv71a119e.jp") == "user@xn--wgv71a119e.jp"


def test_a_local_part_beyond_ascii_is_refused():
    """T27, CHR-5."""
    check = check_email("ユーザー@日本語.jp")
    assert (check.malformed, check.code, check.suggestion) == (True, "local_not_ascii", "")


def test_case_does_not_make_a_difference_and_is_kept():
    """T28, EXC-4."""
    assert check_email("A.Yamada@B.JP").address == "A.Yamada@B.JP"
    assert check_email("A.Yamada@B.JP").norm == check_email("a.yamada@b.jp").norm == "a.yamada@b.jp"
    assert smtp_address("A.Yamada@B.JP") == "A.Yamada@B.JP"


@pytest.mark.parametrize(
    "typed", ["a@b.jp, c@d.jp", "a@b.jp;c@d.jp", "a@b.jp，c@d.jp", "a@b.jp、c@d.jp", "a@b.jp；c@d.jp"]
)
def test_one_address_is_no_list(typed):
    """T29: a lead has one address; lists belong to the templates' fields."""
    assert code(typed) == "list"


def test_length_in_a_list_field_is_not_judged_here():
    """T30 is about lists of 1000 characters; a single address ends at 254."""
    assert code("a@" + "b" * 1000 + ".jp") == "too_long"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("x@gocomo.ne.jp", "x@docomo.ne.jp"),
        ("x@docomo.co.jp", "x@docomo.ne.jp"),
        ("x@ezwev.ne.jp", "x@ezweb.ne.jp"),
        ("x@gmai.com", "x@gmail.com"),
        ("X@Gamil.com", "X@gmail.com"),
        ("x@gmail.co.jp", "x@gmail.com"),
        ("x@gmial.com", "x@gmail.com"),
        ("x@yaho.co.jp", "x@yahoo.co.jp"),
        ("a..b@gocomo.ne.jp", ""),
    ],
)
def test_typos_are_proposed_never_changed(typed, meant):
    """T31, CHR-4."""
    check = check_email(typed)
    assert (check.address, check.suggestion) == (typed, meant)
    assert check.malformed == (not meant)


@pytest.mark.parametrize(
    "typed",
    ["x@mail.com", "x@gmail.com", "x@yahoo.com", "x@docomo.ne.jp", "x@example.co.jp", "x@outlook.com"],
)
def test_real_domains_are_left_alone(typed):
    assert check_email(typed) == (typed, typed, False, "", "", (), "")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a" * 64 + "@b.jp", ""),
        ("a" * 65 + "@b.jp", "too_long"),
        ("a@" + LONG_DOMAIN + "b" * 60 + ".jp", ""),
        ("a@" + LONG_DOMAIN + "b" * 62 + ".jp", "too_long"),
        ("a@" + "b" * 64 + ".jp", "domain"),
        ("a@jp", "domain"),
        ("a@localhost", "domain"),
        ("a@[192.0.2.1]", "domain"),
        ("a@192.0.2.1", "domain"),
        ("a@-b.jp", "domain"),
        ("a@b..jp", "domain"),
        ("a@b.jp.", "domain"),
        ("@b.jp", "at"),
        ("a@", "at"),
        ("a", "at"),
        ("a@b@c.jp", "at"),
        ("a b@c.jp", "space"),
        ("a@b　c.jp", "space"),
        ('"a b"@c.jp', "space"),
        ('"ab"@c.jp', "local"),
        ("a\0b@c.jp", "control"),
        ("a@b.jp\r\nBcc: x@y.jp", "control"),
        ("a\u200bb@c.jp", "control"),
        ("a@b.jp\ud800", "control"),
        ("..@docomo.ne.jp", "local"),
        ("..." + "a" * 60 + "@docomo.ne.jp", "too_long"),
        ("", "empty"),
        (" \u3000", "empty"),
    ],
)
def test_limits(typed, expected):
    """T32: RFC 5321's limits, no literals, no control characters."""
    check = check_email(typed)
    assert check.code == expected
    assert check.malformed == (expected not in {"", "empty"})
    assert "\0" not in check.address and "\n" not in check.address


def test_no_address_is_not_malformed():
    """T33: 宛先 empty is its own reason (EXC-1: no address)."""
    assert check_email("　") == ("", "", False, "empty", "", (), "")
    with pytest.raises(ValueError):
        smtp_address("")


def test_japanese_messages_name_the_fault():
    from django.utils import translation

    with translation.override("en"):
        assert (
            check_email("a@b").text
            == "Check the format of what you entered. What follows the @ is no domain name."
        )


ADDRESSES = st.one_of(
    st.text(max_size=400),
    st.builds(
        "{}@{}".format,
        st.text("ab.\"'\\,;。＠a\u3000\u200b\0\r\n 髙😀é-_%", max_size=70),
        st.sampled_from(
            [
                "docomo.ne.jp",
                "ezweb.ne.jp",
                "gmai.com",
                "日本語.jp",
                "xn--a.jp",
                "İ.jp",
                "ß.de",
                "b。jp",
                "x" * 63 + ".jp",
            ]
        )
        | st.text(max_size=80),
    ),
    st.emails(),
)


@settings(max_examples=400, deadline=None)
@given(ADDRESSES)
@example("İ@İ.jp")
@example("a@xn--.jp")
@example("a@ﷺ.jp")
def test_hostile_text_never_gets_through(text):
    """EXC-4, CHR-5: never raises; what is not malformed can be sent, is ASCII, and reads back the same."""
    check = check_email(text)
    assert check.norm == normalise_email(check.address)[:320]
    assert len(check.address) <= 320 and len(check.norm) <= 320
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in check.address)
    if check.malformed or not check.address:
        with pytest.raises(ValueError):
            smtp_address(check.address)
        return
    envelope = smtp_address(check.address)
    assert envelope.isascii() and not any(c.isspace() or c in "\r\n\0,;<>" for c in envelope)
    assert len(envelope) <= 254 and len(envelope.rpartition("@")[0]) <= 64
    again = check_email(envelope)
    assert not again.malformed and smtp_address(again.address) == envelope
    assert check_email(check.address).address == check.address


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text):
    """EXC-4."""
    assert normalise_email(normalise_email(text)) == normalise_email(text)
