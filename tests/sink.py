"""A relay for tests that keeps the truth: every mail it takes is on disk before it answers.

In a thread (`with Sink(path) as sink`) or in a process of its own (`python -m tests.sink PATH`, which prints its port).
What it does is said by the recipients' local parts, so that it needs no channel of its own:

    rcpt550…  rcpt451…  rcpt421…   that answer at RCPT         mail550… in the sender: at MAIL
    dot550…   dot451…              that answer after the dot
    drop…                          takes the mail, closes without an answer
    lose…                          closes in the middle of the body, takes nothing
    silent…                        takes the mail, answers nothing for `silence` seconds
    garbage…                       takes the mail, answers with nonsense
"""

import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path

ODD = re.compile(r"(rcpt|dot)(\d{3})|drop|lose|silent|garbage")


class Handler(socketserver.StreamRequestHandler):
    def say(self, *lines):
        self.wfile.write("".join(line + "\r\n" for line in lines).encode())

    def handle(self):
        sink = self.server.sink
        with sink.lock:
            sink.sessions += 1
        self.say("220 sink.example ESMTP")
        sender, recipients = "", []
        for raw in self.rfile:
            line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
            with sink.lock:
                sink.commands.append(line)
            verb = line[:4].upper()
            if verb == "EHLO":
                self.say(
                    "250-sink.example", f"250-SIZE {sink.size}", "250-8BITMIME", "250 ENHANCEDSTATUSCODES"
                )
            elif verb in {"HELO", "RSET", "NOOP"}:
                sender, recipients = "", []
                self.say("250 2.0.0 ok")
            elif verb == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
                self.say(sink.mail_answer)
            elif verb == "RCPT":
                address = line.partition("<")[2].partition(">")[0]
                odd = ODD.match(address)
                if odd and odd[1] == "rcpt":
                    code = odd[2]
                    self.say(
                        f"{code}-{code[0]}.1.1 first line",
                        f"{code} {code[0]}.1.1 <{address}> no\x07 such user",
                    )
                    if code == "421":
                        return
                else:
                    recipients.append(address)
                    self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go ahead")
                if not self.take(sink, sender, recipients):
                    return
                sender, recipients = "", []
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("502 5.5.1 what?")

    def take(self, sink, sender, recipients):
        """False: the connection ends here."""
        odd = next((match for match in map(ODD.match, recipients) if match), None)
        kind = odd[1] or odd[0] if odd else ""
        body = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            if kind == "lose":
                return False
            body.append(line[1:] if line.startswith(b".") else line)
        else:
            return False  # the peer died: without the dot nothing was sent
        if kind == "dot":
            self.say(f"{odd[2]} {odd[2][0]}.7.1 not this one")
            return True
        sink.accept(sender, recipients, b"".join(body))
        if kind == "drop":
            return False
        if kind == "silent":
            time.sleep(sink.silence)
            return False
        if kind == "garbage":
            self.say("HELLO THERE")
            return True
        self.say(f"250 2.0.0 queued as {len(body)}")
        return True


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self):
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 8192
        )  # a big mail does not fit: see lose…
        super().server_bind()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Sink:
    def __init__(self, path, *, silence=3.0):
        self.path = Path(path)
        self.silence = silence
        self.lock = threading.Lock()
        self.sessions = 0
        self.commands = []
        self.size = 50_000_000
        self.mail_answer = "250 2.1.0 ok"
        self.log = self.path.open("a", encoding="utf-8")
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.sink = self
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()
        self.log.close()

    def accept(self, sender, recipients, data):
        line = json.dumps(
            {"sender": sender, "recipients": recipients, "data": data.decode("utf-8", "replace")}
        )
        with self.lock:
            self.log.write(line + "\n")
            self.log.flush()
            os.fsync(self.log.fileno())

    @property
    def mails(self):
        return accepted(self.path)


def accepted(path):
    """Every mail the sink took: {"sender": …, "recipients": […], "data": …}."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sink = Sink(sys.argv[1])
    print(sink.port, flush=True)
    sink.server.serve_forever(poll_interval=0.05)
