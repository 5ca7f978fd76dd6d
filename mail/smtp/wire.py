"""A non-blocking socket, in clear or under TLS, that knows exactly how much of what it was given has gone out.

asyncio's transports do not tell that when they break, and the sending promise needs it: a mail whose dot never
reached the kernel was certainly not sent. Both directions run on the loop's readers and writers; everything written
in one turn of the loop leaves in one `send`.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

# One turn of the loop writes no more than this, so that a server's "no" in the middle of a big mail is heard.
CHUNK = 65_536


class Wire:
    """`received(bytes)` gets what comes in, `ended(text)` is called once when the other side is gone, `flushed()`
    whenever all that was written has gone to the kernel.

    `position` is the end of all that was written and `sent` how much of it the kernel has, both counted in bytes as
    they travel (encrypted ones under TLS), so that `sent > position` at some moment means: something after that moment
    went out."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        received: Callable[[bytes], None],
        ended: Callable[[str], None],
        flushed: Callable[[], None],
    ) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.received = received
        self.ended = ended
        self.flushed = flushed
        self.position = 0
        self.sent = 0
        self.open = True
        self.tls: ssl.SSLObject | None = None
        self._tls_in = ssl.MemoryBIO()
        self._tls_out = ssl.MemoryBIO()
        self._more: asyncio.Future[None] | None = None  # the handshake waits for bytes
        self._pending: list[bytes] = []
        self._rest = memoryview(b"")
        self._planned = False
        self._blocked = False
        self._fd = sock.fileno()
        self.loop.add_reader(self._fd, self._readable)

    # ---- out

    def write(self, data: bytes) -> None:
        """Queues the bytes; they leave at the end of this turn of the loop."""
        if not self.open:
            return
        if self.tls is not None:
            self.tls.write(data)
            data = self._tls_out.read()
        self._queue(data)

    def _queue(self, data: bytes) -> None:
        if not data:
            return
        self.position += len(data)
        self._pending.append(data)
        if not self._planned and not self._blocked:
            self._planned = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        if not self.open:
            return
        if self._pending:
            self._rest = memoryview(b"".join([self._rest, *self._pending]))
            self._pending.clear()
        try:
            count = self.sock.send(self._rest[:CHUNK])
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError as error:
            self._broke(error)
            return
        self.sent += count
        self._rest = self._rest[count:]
        if bool(self._rest) != self._blocked:
            self._blocked = bool(self._rest)
            if self._blocked:
                self.loop.add_writer(self._fd, self._flush)
            else:
                self.loop.remove_writer(self._fd)
        if not self._blocked:
            self.flushed()

    def _broke(self, error: OSError) -> None:
        """The peer is gone, but its last words may still lie here: they are read first."""
        while self.open and self._receive():
            pass
        self._end(str(error))

    # ---- in

    def _readable(self) -> None:
        if self.open:
            self._receive()

    def _receive(self) -> bool:
        """Reads once. False when there is nothing more to read."""
        try:
            data = self.sock.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._end(str(error))
            return False
        if not data:
            self._end("the server closed the connection")
            return False
        if self.tls is None:
            self.received(data)
        else:
            self._tls_in.write(data)
            if self._more is None:
                self._decrypt(self.tls)
            elif not self._more.done():
                self._more.set_result(None)
        return True

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        try:
            while self.open and (data := tls.read(65_536)):
                self.received(data)
        except ssl.SSLWantReadError:
            self._queue(self._tls_out.read())  # what TLS itself has to say: key updates
            return
        except ssl.SSLError as error:
            self._end(f"TLS: {error}")
            return
        self._end("the server closed the connection")  # close_notify

    def hurry(self) -> None:
        """Acknowledges at once what came. A server that writes the answers of one flight in several pieces without
        TCP_NODELAY sends the second piece only then: 40 ms a mail otherwise."""
        with suppress(OSError, AttributeError):  # Linux has it
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # ---- TLS and the end

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """The handshake; from here on everything is encrypted. Raises OSError (ssl.SSLError is one)."""
        tls = context.wrap_bio(self._tls_in, self._tls_out, server_hostname=host or None)
        self._more = self.loop.create_future()
        self.tls = tls
        try:
            while self.open:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self._queue(self._tls_out.read())
                    await self._more
                    self._more = self.loop.create_future()
        finally:
            self._more = None
        if not self.open:
            raise ConnectionError("the connection ended in the handshake")
        self._queue(self._tls_out.read())
        self._decrypt(tls)

    def _end(self, text: str) -> None:
        if self.open:
            self.close()
            self.ended(text)

    def close(self) -> None:
        """At once and without a word: what the kernel does not have yet never leaves."""
        if not self.open:
            return
        self.open = False
        self.loop.remove_reader(self._fd)
        self.loop.remove_writer(self._fd)
        self.sock.close()
        self._pending.clear()
        self._rest = memoryview(b"")
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
