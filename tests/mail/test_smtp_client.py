"""The SMTP client against servers that behave badly; replies.py on hostile text."""

import contextlib
import datetime
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import translation

from mail.smtp.blocking import Connection, Interrupted, NoAnswer, Refused, RelayTrouble, stuff
from mail.smtp.replies import (
    Reply,
    clean_text,
    code_for,
    describe_code,
    enhanced_status,
    may_pass,
    parse_reply,
)

OPENING = [b"220 x ESMTP\r\n", b"250-x\r\n250 SIZE\r\n"]


class Script:
    """A server that sends its lines, one whenever something came, and keeps what came. bytes: send; callable: call."""

    def __init__(self, *steps):
        self.steps = steps
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.play, daemon=True)
        self.thread.start()

    def play(self):
        peer, _address = self.listener.accept()
        with peer:
            peer.settimeout(5)
            for number, step in enumerate(self.steps):
                if number:
                    try:
                        received = peer.recv(65536)
                    except OSError:
                        return
                    self.heard += received
                    if not received:
                        return
                if callable(step):
                    peer = step(peer) or peer
                else:
                    peer.sendall(step)

    def open(self, timeout=2.0, dot_timeout=1.0, **options):
        return Connection.open(
            "127.0.0.1", self.port, helo="smp.example", timeout=timeout, dot_timeout=dot_timeout, **options
        )


@pytest.mark.parametrize(
    "end",
    [
        b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n\n.\r\n",
        b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n", b"\r\n..\r\n",
    ],
)  # fmt: skip
def test_no_second_mail_can_be_smuggled_in(end):
    """SMTP smuggling: whatever a server takes for a line end, no line of the body is a single dot."""
    data = b"Subject: a\r\n\r\nfirst" + end + b"MAIL FROM:<evil@x.example>\r\n"
    wire = stuff(data)
    assert wire.endswith(b"\r\n")
    assert b"\r" not in wire.replace(b"\r\n", b"")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b".\r\n" not in [line + b"\r\n" for line in wire.split(b"\r\n")]


def test_stuffing_gives_the_body_back():
    assert stuff(b".a\r\n..b\nc") == b"..a\r\n...b\r\nc\r\n"
    assert stuff(b"") == b""


def test_one_mail_on_the_wire():
    server = Script(
        *OPENING, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", lambda peer: None,
    )  # fmt: skip
    connection = server.open()
    started = connection.start("b.1@x.example", ["a@y.example"], size=10)
    assert (started.accepted, started.refused) == (["a@y.example"], {})
    connection.close()
    server.thread.join(5)
    assert server.heard == (
        b"EHLO smp.example\r\nMAIL FROM:<b.1@x.example> SIZE=10\r\nRCPT TO:<a@y.example>\r\nDATA\r\n"
    )


@pytest.mark.parametrize(
    "greeting",
    [b"554 no service\r\n", b"421 busy\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 5000, b""],
)
def test_a_bad_greeting_is_the_relays_trouble(greeting):
    server = Script(greeting) if greeting else Script()
    with pytest.raises(RelayTrouble):
        server.open(timeout=0.5)


def test_refused_and_unknown_hosts_are_the_relays_trouble():
    for host, port in (("127.0.0.1", 1), ("no-such-host.invalid", 25)):
        with pytest.raises(RelayTrouble):
            Connection.open(host, port, helo="x", timeout=2, dot_timeout=1)


def test_helo_where_ehlo_is_unknown():
    server = Script(
        b"220 x\r\n", b"502 what\r\n", b"250 x\r\n", b"250 ok\r\n", b"550 no\r\n", b"250 reset\r\n"
    )
    connection = server.open()
    assert connection.extensions == {}
    with pytest.raises(Refused) as refused:
        connection.start("s@x.example", ["a@y.example"], size=10, own="a@y.example")
    assert (refused.value.answer.code, refused.value.address) == (550, "a@y.example")
    assert connection.usable
    assert server.heard.endswith(b"RSET\r\n")


def test_one_byte_a_second_is_bounded_by_the_deadline():
    def drip(peer):
        with contextlib.suppress(OSError):  # the client leaves first
            for _byte in range(30):
                peer.sendall(b"2")
                time.sleep(0.1)

    server = Script(*OPENING, drip)
    connection = server.open(timeout=0.6)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        connection.start("s@x.example", ["a@y.example"], size=10)
    assert time.monotonic() - began < 2
    assert not connection.usable


def test_an_answer_nobody_asked_for_ends_the_session():
    server = Script(*OPENING, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    with pytest.raises(Interrupted):
        server.open().start("s@x.example", ["a@y.example"], size=10)


def test_an_endless_reply_is_no_reply():
    server = Script(*OPENING, b"250-x\r\n" * 500)
    with pytest.raises((Refused, Interrupted)):
        server.open().start("s@x.example", ["a@y.example"], size=10)


def open_until_354(*after):
    server = Script(*OPENING, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", *after)
    connection = server.open()
    connection.start("s@x.example", ["a@y.example"], size=10)
    return connection


@pytest.mark.parametrize(
    ("answer", "timed_out"),
    [(b"hello\r\n", False), (b"354 more\r\n", False), (lambda peer: peer.close(), False)],
)
def test_no_clear_answer_after_the_dot(answer, timed_out):
    """ERR-4."""
    connection = open_until_354(answer)
    with pytest.raises(NoAnswer) as error:
        connection.send_dot()
    assert error.value.timed_out is timed_out
    assert not connection.usable


def test_silence_after_the_dot():
    """ERR-4, 40001."""
    connection = open_until_354(lambda peer: time.sleep(2))
    with pytest.raises(NoAnswer) as error:
        connection.send_dot()
    assert error.value.timed_out


def test_a_server_that_says_no_before_the_dot():
    def refuse(peer):
        peer.sendall(b"552 5.3.4 too big\r\n")

    connection = open_until_354(refuse)
    connection.sock.sendall(b"x\r\n")
    time.sleep(0.2)
    with pytest.raises(Refused) as refused:
        connection.send_body(b"y\r\n")
    assert refused.value.answer.code == 552


@pytest.mark.parametrize("address", ["a@b>\r\nRCPT TO:<c@d", "a b@c", "a@b\0", "<a@b>", "a@b\n"])
def test_no_command_is_smuggled_through_an_address(address):
    server = Script(*OPENING)
    with pytest.raises(ValueError):
        server.open().start("s@x.example", [address], size=10)


def test_chr_5_an_address_beyond_ascii_needs_smtputf8():
    """CHR-5: refused without a word to the server that does not offer it."""
    server = Script(*OPENING)
    with pytest.raises(Refused) as refused:
        server.open().start("s@x.example", ["髙@y.example"], size=10)
    assert (refused.value.answer.code, refused.value.address) == (553, "髙@y.example")
    assert b"MAIL" not in server.heard


def test_starttls_when_offered():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    def handshake(peer):
        import tempfile

        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
        peer.sendall(b"220 go\r\n")
        return context.wrap_socket(peer, server_side=True)

    server = Script(b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", handshake, b"250-x\r\n250 8BITMIME\r\n")
    connection = server.open()
    assert isinstance(connection.sock, ssl.SSLSocket)
    assert connection.extensions == {"8BITMIME": ""}
    connection.close()
    injected = Script(b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n250 EVIL\r\n")
    with pytest.raises(RelayTrouble):
        injected.open(timeout=1)
    plain = Script(b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n")
    assert not isinstance(plain.open(starttls=False).sock, ssl.SSLSocket)


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
