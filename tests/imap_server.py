"""A small IMAP4rev1 server on loopback, as much of it as fetching bounces needs; a mailbox is a list of mails.

with ImapServer([b"…"], keywords=True) as server: … server.port … server.mails[0].flags … server.moved
"""

import re
import socketserver
import ssl
import threading
from dataclasses import dataclass, field


@dataclass
class Mail:
    uid: int
    raw: bytes
    flags: set = field(default_factory=set)


class Handler(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def setup(self):
        if self.server.imap.tls:
            self.request = self.server.imap.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        imap = self.server.imap
        with imap.lock:
            imap.sessions += 1
        self.say("* OK small IMAP server")
        for raw in self.rfile:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            tag, _space, rest = line.partition(" ")
            with imap.lock:
                imap.commands.append(rest)
            verb = rest.upper().removeprefix("UID ").split(" ")[0]
            if imap.break_at and imap.break_at in rest.upper():
                return
            if verb == "LOGOUT":
                self.say("* BYE")
                self.say(f"{tag} OK done")
                return
            with imap.lock:
                getattr(self, f"do_{verb.lower()}", self.do_other)(tag, rest)

    def do_capability(self, tag, _rest):
        self.say("* CAPABILITY IMAP4rev1 MOVE")
        self.say(f"{tag} OK done")

    def do_login(self, tag, rest):
        if self.server.imap.login in rest:
            self.say(f"{tag} OK done")
        else:
            self.say(f"{tag} NO [AUTHENTICATIONFAILED] wrong password")

    def select(self, tag, rest, access):
        imap = self.server.imap
        if '"INBOX"' not in rest:
            self.say(f"{tag} NO no such folder")
            return
        self.say(f"* {len(imap.mails)} EXISTS")
        more = r" \*" if imap.keywords else ""
        self.say(rf"* OK [PERMANENTFLAGS (\Seen \Deleted{more})] limited")
        self.say(f"{tag} OK [{access}]")

    def do_select(self, tag, rest):
        self.select(tag, rest, "READ-WRITE")

    def do_examine(self, tag, rest):
        self.select(tag, rest, "READ-ONLY")

    def do_search(self, tag, rest):
        unwanted = r"\Seen" if "UNSEEN" in rest else rest.rpartition("UNKEYWORD ")[2].strip()
        found = [str(mail.uid) for mail in self.server.imap.mails if unwanted not in mail.flags]
        self.say("* SEARCH " + " ".join(found))
        self.say(f"{tag} OK done")

    def do_fetch(self, tag, rest):
        uid, most = map(int, re.search(r"FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", rest).groups())
        for number, mail in enumerate(self.server.imap.mails, 1):
            if mail.uid == uid:
                part = mail.raw[:most]
                self.wfile.write(
                    f"* {number} FETCH (UID {uid} BODY[]<0> {{{len(part)}}}\r\n".encode() + part + b")\r\n"
                )
        self.say(f"{tag} OK done")

    def do_store(self, tag, rest):
        uid, flags = re.search(r"STORE (\d+) \+FLAGS\.SILENT \((.*)\)", rest).groups()
        for mail in self.server.imap.mails:
            if mail.uid == int(uid):
                mail.flags.update(flags.split())
        self.say(f"{tag} OK done")

    def do_move(self, tag, rest):
        imap = self.server.imap
        uid, folder = re.search(r'MOVE (\d+) "(.*)"', rest).groups()
        imap.moved += [(folder, mail) for mail in imap.mails if mail.uid == int(uid)]
        imap.mails = [mail for mail in imap.mails if mail.uid != int(uid)]
        self.say(f"{tag} OK done")

    def do_other(self, tag, _rest):
        self.say(f"{tag} BAD what?")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """A client that goes away, a failed handshake: nothing to report."""


class ImapServer:
    def __init__(
        self, raws, *, keywords=True, login='"bounces@example.jp" "secret"', tls: ssl.SSLContext | None = None
    ):
        self.mails = [Mail(number * 7, raw) for number, raw in enumerate(raws, 1)]
        self.keywords = keywords
        self.login = login
        self.tls = tls
        self.lock = threading.Lock()
        self.commands = []
        self.moved = []
        self.sessions = 0
        self.break_at = ""  # the connection is cut when a command contains this
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.imap = self
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()
