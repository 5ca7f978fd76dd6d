"""A server that plays a script, for tests of the client: what it says and what it heard, byte by byte."""

import asyncio
import socket
import threading

from mail.smtp.client import Envelope, Session

GREETING = b"220 x ESMTP\r\n"
PLAIN = b"250-x\r\n250 SIZE\r\n"
PIPELINING = b"250-x\r\n250-SIZE\r\n250 PIPELINING\r\n"
END = b"\r\n.\r\n"


class Script:
    """Each step is (what to wait for, what to say): it waits until what came since the last step ends with the bytes.
    b"" waits for nothing. A callable instead of bytes is called with the socket; what it returns replaces the socket.
    After the last step it keeps listening until the client leaves, or closes at once with `hang_up`."""

    def __init__(self, *steps, hang_up=False):
        self.steps = steps
        self.hang_up = hang_up
        self.heard = b""
        self.bursts = []  # what each recv gave
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.play, daemon=True)
        self.thread.start()

    def play(self):
        peer, self.peer_address = self.listener.accept()
        with peer, self.listener:
            peer.settimeout(20)
            try:
                for awaited, said in self.steps:
                    if not self.listen(peer, awaited):
                        return
                    if callable(said):
                        peer = said(peer) or peer
                    else:
                        peer.sendall(said)
                while not self.hang_up and self.hear(peer):
                    pass
            except OSError:
                return

    def listen(self, peer, awaited):
        since = len(self.heard)
        while not self.heard[since:].endswith(awaited):
            if not self.hear(peer):
                return False
        return True

    def hear(self, peer):
        received = peer.recv(1_000_000)
        self.heard += received
        if received:
            self.bursts.append(received)
        return bool(received)

    def done(self):
        """Everything it heard, when it has ended."""
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.heard

    async def open(self, **options):
        options = {"helo": "smp.example", "timeout": 10, "dot_timeout": 10} | options
        return await Session.open("127.0.0.1", self.port, **options)


def opening(extensions=PIPELINING):
    return [(b"", GREETING), (b"\r\n", extensions)]


def envelope(*recipients, **options):
    options = {"sender": "s@x.example", "size": 10} | options
    return Envelope(recipients=list(recipients or ["a@y.example"]), **options)


def play(story):
    """Runs an async function to its end, within 30 seconds."""
    return asyncio.run(asyncio.wait_for(story(), 30))
