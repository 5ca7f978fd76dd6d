"""A receiving server for tests that keeps the truth: every mail it takes is on disk before it answers.

In a thread (`with Sink(path) as sink`) or in a process of its own (`python -m tests.sink PATH [OPTIONS AS JSON]`,
which prints its port). All mails that wait at the same time share one fsync.

What it does with a mail is said by the recipients' local parts, so that it needs no channel of its own, or drawn by
seed with the shares of `odds` ({"rcpt451": 0.15, "dot451": 0.15, "drop": 0.01}):

    rcpt550…  rcpt451…  rcpt421…   that answer at RCPT         mail550… in the sender: at MAIL
    dot550…   dot451…   dot421…    that answer after the dot (421: and closes)
    drop…                          takes the mail, closes without an answer
    lose…                          closes in the middle of the body, takes nothing
    silent…                        takes the mail, answers nothing for `silence` seconds, closes
    late…                          takes the mail, answers after `lateness` seconds
    drip…                          takes the mail, answers one byte every `drip` seconds
    garbage…                       takes the mail, answers with nonsense
    multi…                         takes the mail, answers in many lines
"""

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import self_signed_context

ODD = re.compile(r"(rcpt|dot|mail)(\d{3})|drop|lose|silent|late|drip|garbage|multi")


@dataclass
class Options:
    pipelining: bool = True
    size: int = 50_000_000
    mail_answer: str = "250 2.1.0 ok"
    delay: float = 0.0  # seconds until anything that came is looked at: a round trip
    tls: str = (
        ""  # "working", "failing" (after 220: no handshake), "refused" (454), "sometimes" (a third fails)
    )
    odds: dict[str, float] = field(default_factory=dict)
    seed: int = 20261121
    silence: float = 3.0
    lateness: float = 1.0
    drip: float = 0.05
    close_after: int = 0  # mails, then 421 and closed
    lenient: bool = False  # DATA → 354 though nobody was accepted (RFC 2920 3.1)
    hosts: tuple[str, ...] = ("127.0.0.1",)  # all on one port, IPv6 as well
    port: int = 0  # 0: any that is free
    keep_data: bool = True


class Talk(asyncio.Protocol):
    """One session."""

    def __init__(self, sink):
        self.sink = sink
        self.buffer = bytearray()
        self.body = None  # bytearray inside DATA, with a CRLF in front
        self.waits = False  # an answer is being made: what comes is kept
        self.closed = False
        self.sender, self.recipients, self.kind = "", [], ""
        self.mails = 0
        self.no_handshake = False  # what comes now is answered with nonsense

    def connection_made(self, transport):
        again = transport.get_extra_info("ssl_object") is not None
        self.transport = transport
        self.peer = transport.get_extra_info("peername")[0]
        if not again:
            self.sink.sessions += 1
            self.sink.peers.append(self.peer)
            self.say("220 sink.example ESMTP")

    def connection_lost(self, _error):
        self.closed = True

    def say(self, *lines):
        if not self.closed:
            self.transport.write("".join(line + "\r\n" for line in lines).encode())

    def leave(self, *, at_once=False):
        self.closed = True
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()

    def data_received(self, data):
        if self.sink.options.delay:
            asyncio.get_running_loop().call_later(self.sink.options.delay, self.take_in, data)
        else:
            self.take_in(data)

    def take_in(self, data):
        self.sink.flights += 1
        if self.no_handshake:
            self.say("this is no handshake")
            self.leave()
            return
        self.buffer += data
        self.go_on()

    def go_on(self):
        """Everything that is here, until an answer has to be waited for."""
        while not self.waits and not self.closed:
            if self.body is not None:
                if not self.read_body():
                    return
                continue
            end = self.buffer.find(b"\n")
            if end < 0:
                return
            line = bytes(self.buffer[:end]).rstrip(b"\r").decode("utf-8", "replace")
            del self.buffer[: end + 1]
            if self.buffer and not self.sink.options.pipelining:
                self.sink.violations += 1
            self.sink.commands.append(line)
            self.command(line[:4].upper(), line)

    # ---- commands

    def command(self, verb, line):
        options = self.sink.options
        if verb == "EHLO":
            extensions = [f"SIZE {self.sink.size}", "8BITMIME", "ENHANCEDSTATUSCODES"]
            if options.pipelining:
                extensions.append("PIPELINING")
            if options.tls and self.transport.get_extra_info("ssl_object") is None:
                extensions.append("STARTTLS")
            lines = ["sink.example", *extensions]
            self.say(*(f"250-{one}" for one in lines[:-1]), f"250 {lines[-1]}")
        elif verb in {"HELO", "RSET", "NOOP"}:
            self.reset()
            self.say("250 2.0.0 ok")
        elif verb == "STAR" and options.tls:
            self.start_tls(options.tls)
        elif verb == "MAIL":
            self.mail(line.partition("<")[2].partition(">")[0])
        elif verb == "RCPT":
            self.rcpt(line.partition("<")[2].partition(">")[0])
        elif verb == "DATA" and not self.recipients and not options.lenient:
            self.say("554 5.5.1 no valid recipients")
        elif verb == "DATA":
            self.body = bytearray(b"\r\n")
            self.say("354 go ahead")
        elif verb == "QUIT":
            self.say("221 2.0.0 bye")
            self.leave()
        else:
            self.say("502 5.5.1 what?")

    def reset(self):
        self.sender, self.recipients, self.kind, self.body = "", [], "", None

    def mail(self, sender):
        self.reset()
        if self.sink.options.close_after and self.mails >= self.sink.options.close_after:
            self.say("421 4.7.0 enough for now")
            self.leave()
            return
        odd = ODD.match(sender)
        if odd and odd[1] == "mail":
            self.say(f"{odd[2]} {odd[2][0]}.1.0 not from you")
            return
        self.sender = sender
        self.kind = self.sink.draw()
        self.say(self.sink.mail_answer)

    def rcpt(self, address):
        odd = ODD.match(address)
        if odd and odd[1] != "rcpt":
            self.kind = odd[0]
        kind = odd[0] if odd and odd[1] == "rcpt" else self.kind if self.kind.startswith("rcpt") else ""
        if not kind:
            self.recipients.append(address)
            self.say("250 2.1.5 ok")
            return
        self.sink.done[kind] += 1
        code = kind[4:]
        self.say(f"{code}-{code[0]}.1.1 first line", f"{code} {code[0]}.1.1 <{address}> no\x07 such user")
        if code == "421":
            self.leave()

    def start_tls(self, how):
        if how == "sometimes":
            how = "failing" if self.sink.dice.random() < 1 / 3 else "working"
            self.sink.done["tls " + how] += 1
        if how == "refused":
            self.say("454 4.7.0 TLS not available")
            return
        self.say("220 go ahead")
        if how == "failing":
            self.no_handshake = True
            return
        self.waits = True
        self.buffer.clear()
        self.sink.background(self.handshake())

    async def handshake(self):
        loop = asyncio.get_running_loop()
        try:
            self.transport = await loop.start_tls(
                self.transport, self, self.sink.certificate, server_side=True
            )
        except OSError:
            self.closed = True
            return
        self.sink.encrypted += 1
        self.waits = False
        self.go_on()

    # ---- the mail

    def read_body(self):
        """False: more must come."""
        if self.kind == "lose" and self.buffer:
            self.sink.done["lose"] += 1
            self.sink.lost.append(self.sender)
            self.leave(at_once=True)
            return False
        start = max(0, len(self.body) - 4)
        self.body += self.buffer
        self.buffer.clear()
        end = self.body.find(b"\r\n.\r\n", start)
        if end < 0:
            return False
        self.buffer = self.body[end + 5 :]
        data = bytes(self.body[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        sender, recipients, kind = self.sender, self.recipients, self.kind
        self.reset()
        if not recipients:
            self.say("554 5.5.1 no valid recipients")
        elif kind.startswith("dot"):
            self.sink.done[kind] += 1
            code = kind[3:]
            if code == "421":  # without a complaint about us, which would slow the site (RATE-1)
                self.say("421 4.4.2 timed out, closing")
                self.leave()
            else:
                self.say(f"{code} {code[0]}.7.1 not this one")
        else:
            self.waits = True
            self.sink.accept(self, kind, sender, recipients, data)
        return True

    def accepted(self, kind, size):
        """The mail is on disk."""
        self.mails += 1
        answer = f"250 2.0.0 queued as {size}"
        if kind == "drop":
            self.leave()
        elif kind in {"silent", "late", "drip"}:
            self.sink.background(self.answer_slowly(kind, answer))
        else:
            if kind == "garbage":
                self.say("HELLO THERE")
            elif kind == "multi":
                self.say(*(f"250-2.0.0 line {number}" for number in range(20)), answer)
            else:
                self.say(answer)
            self.waits = False
            self.go_on()

    async def answer_slowly(self, kind, answer):
        options = self.sink.options
        if kind == "silent":
            await asyncio.sleep(self.sink.silence)
            self.leave()
            return
        if kind == "late":
            await asyncio.sleep(options.lateness)
            self.say(answer)
        else:
            for byte in f"{answer}\r\n":
                if self.closed:
                    return
                self.transport.write(byte.encode())
                await asyncio.sleep(options.drip)
        self.waits = False
        self.go_on()


class Sink:
    """`sessions`, `peers` (the address each came from), `encrypted`, `commands`, `flights` (how often something came),
    `violations` (commands sent ahead though PIPELINING was not offered), `mails`."""

    def __init__(self, path, *, silence=3.0, **options):
        self.path = Path(path)
        if "hosts" in options:
            options["hosts"] = tuple(options["hosts"])
        self.options = Options(silence=silence, **options)
        self.silence, self.size, self.mail_answer = silence, self.options.size, self.options.mail_answer
        self.sessions, self.flights, self.violations, self.encrypted = 0, 0, 0, 0
        self.commands, self.peers = [], []
        self.dice = random.Random(self.options.seed)
        self.lost = []  # senders of mails that were lost in the middle
        self.done = Counter()  # what it did with mails, by kind ("" = nothing special)
        self.certificate = self_signed_context() if self.options.tls in {"working", "sometimes"} else None
        self.log = self.path.open("a", encoding="utf-8")
        self.pending, self.syncing = [], False
        self.tasks = set()
        self.sockets = [self.bind(self.options.hosts[0], self.options.port)]
        self.port = self.sockets[0].getsockname()[1]
        self.sockets += [self.bind(host, self.port) for host in self.options.hosts[1:]]

    @staticmethod
    def bind(host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A big mail does not fit into the buffers: see lose….
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind((host, port))
        listener.listen(100)
        return listener

    # ---- running

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.loop.call_soon_threadsafe(self.stopped.cancel)
        self.thread.join(10)
        self.log.close()

    def run(self):
        self.stopped = self.loop.create_task(self.serve())
        try:
            self.loop.run_until_complete(self.stopped)
        except asyncio.CancelledError:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()

    async def serve(self):
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda: Talk(self), sock=one) for one in self.sockets]
        try:
            await asyncio.Event().wait()
        finally:
            for server in servers:
                server.close()

    def background(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # ---- mails

    def draw(self):
        """What happens to the next mail: a kind by its share in `odds`, or "" for nothing special."""
        if not self.options.odds:
            return ""
        point = self.dice.random()
        for kind, share in self.options.odds.items():
            if point < share:
                return kind
            point -= share
        return ""

    def accept(self, talk, kind, sender, recipients, data):
        kind = kind if not kind.startswith("rcpt") else ""  # that was for another of its recipients
        self.done[kind] += 1
        mail = {"sender": sender, "recipients": recipients, "peer": talk.peer, "kind": kind}
        mail["data"] = data.decode("utf-8", "replace") if self.options.keep_data else ""
        self.pending.append((talk, kind, len(data), json.dumps(mail)))
        if not self.syncing:
            self.syncing = True
            self.background(self.sync())

    async def sync(self):
        """One fsync for all that wait; who comes meanwhile shares the next one."""
        while self.pending:
            batch, self.pending = self.pending, []
            await asyncio.get_running_loop().run_in_executor(None, self.write, [one[3] for one in batch])
            for talk, kind, size, _line in batch:
                talk.accepted(kind, size)
        self.syncing = False

    def write(self, lines):
        self.log.write("".join(line + "\n" for line in lines))
        self.log.flush()
        os.fsync(self.log.fileno())

    @property
    def mails(self):
        return accepted(self.path)


def accepted(path):
    """Every mail the sink took: {"sender": …, "recipients": […], "peer": …, "kind": …, "data": …}."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    sink = Sink(sys.argv[1], **options)
    print(sink.port, flush=True)

    async def serve_until_asked():
        """SIGTERM: says what it did, as one line of JSON."""
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        serving = asyncio.create_task(sink.serve())
        await ended.wait()
        print(json.dumps({"sessions": sink.sessions, "did": sink.done, "lost": sink.lost}), flush=True)
        serving.cancel()

    asyncio.run(serve_until_asked())
