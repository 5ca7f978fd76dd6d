"""What replies mean; hostile text in them."""

from django.utils import translation

from mail.smtp.replies import (
    Reply,
    clean_text,
    code_for,
    describe_code,
    enhanced_status,
    may_pass,
    parse_reply,
)


def test_err_2_codes():
    """ERR-2: 42xyz for whatever the server says; a text for listed ones, that of its class for all others."""
    assert code_for(Reply(250, "")) == 40000
    assert [code_for(Reply(code, "")) for code in (421, 450, 521, 550, 551, 553, 554, 571)] == [
        42421, 42450, 42521, 42550, 42551, 42553, 42554, 42571,
    ]  # fmt: skip
    with translation.override("ja"):
        assert describe_code(40000) == "正常に配信完了しました。"
        assert describe_code(42571) == "恒久的なエラー: 受信サーバーの応答は571でした。"
        assert describe_code(42471) == "一時的なエラー: 受信サーバーの応答は471でした。"
        assert describe_code(42000) == "受信サーバーから想定外の応答(0)がありました。"
        assert (describe_code(None), describe_code(7)) == ("", "不明なコードです。")
    with translation.override("en"):
        assert describe_code(41606) == "It was tried again and again until the retry period was over."


def test_err_3_what_may_pass():
    """ERR-3: 4xx and what is no SMTP answer; never 2xx or 5xx."""
    assert [may_pass(Reply(code, "")) for code in (0, 250, 421, 450, 499, 500, 554)] == [
        True, False, True, True, True, False, False,
    ]  # fmt: skip


def test_enhanced_status():
    assert enhanced_status(550, "5.1.1 no such user") == "5.1.1"
    assert enhanced_status(550, "4.1.1 wrong class") == ""
    assert enhanced_status(550, "5.1.1.1 no") == ""
    assert enhanced_status(250, "queued as 2.0.0") == ""
    assert enhanced_status(0, "5.7.515") == "5.7.515"


def test_replies_are_hostile_text():
    reply = parse_reply([b"550-5.7.1 \x1b[31mred\x07\xff", b"550 \xe2\x80\xae<script>" + b"x" * 9000])
    assert (reply.code, reply.enhanced, len(reply.text)) == (550, "5.7.1", 2000)
    assert not any(c in reply.text for c in "\x1b\x07\u202e")
    assert parse_reply([b"250-a", b"550 b"]).code == 0
    assert parse_reply([b"hello"]).code == 0
    assert parse_reply([b"999 x"]).code == 0
    assert clean_text("a\r\nb\x00c\u2028d 髙𠮷😀") == "a\nb c d 髙𠮷😀"
