"""The receiver of `bench deliver` in a process of its own: compiled when there is a C compiler, else Python.

The compiled one (sink.c) takes some µs a mail, so that it hardly stands in the way on the same machine. The Python one
says the same things and is there for machines without a compiler; run as `python -m mail.bench.sink STATS DELAY_MS`.
"""

import asyncio
import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

SOURCE = Path(__file__).with_name("sink.c")
NUMBERS = struct.Struct("=5Q")
SIZE_LIMIT = 1000  # of a command line


class Taken(NamedTuple):
    """What the sink has counted so far."""

    mails: int
    bytes: int
    connections: int
    signed: int  # began with a DKIM-Signature
    errors: int  # commands out of order


class SinkProcess:
    """`with SinkProcess(folder, delay_ms=0) as sink:` → `sink.port`, `sink.taken()`, `sink.kind`, `sink.pid`."""

    def __init__(self, folder: Path, *, delay_ms: int, compiled: bool = True) -> None:
        self._stats = folder / "sink.stats"
        program = _compiled(folder) if compiled else None
        self.kind = "compiled (sink.c)" if program else "Python (no C compiler found)"
        command = [str(program)] if program else [sys.executable, "-m", "mail.bench.sink"]
        self._process = subprocess.Popen(
            [*command, str(self._stats), str(delay_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self._end()
            raise RuntimeError(f"the sink did not start: {' '.join(command)}")
        self.port = int(line)
        self.pid = self._process.pid

    def taken(self) -> Taken:
        return Taken(*NUMBERS.unpack(self._stats.read_bytes()))

    def __enter__(self) -> "SinkProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.communicate()


def _compiled(folder: Path) -> Path | None:
    """The program, or None without a C compiler. It is compiled every time: that takes a fraction of a second."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "sink"
    built = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(SOURCE)], capture_output=True, check=False
    )
    return program if built.returncode == 0 else None


class _Session(asyncio.Protocol):
    numbers: memoryview
    delay: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.state = ""
        self.numbers[2] += 1
        self._answer([b"220 sink ESMTP\r\n"])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        answers: list[bytes] = []
        while self._take(answers):
            pass
        if answers:
            self._answer(answers)

    def _answer(self, answers: list[bytes]) -> None:
        text = b"".join(answers)
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._write, text)
        else:
            self._write(text)

    def _write(self, text: bytes) -> None:
        self.transport.write(text)
        if self.state == "quit":
            self.transport.close()

    def _take(self, answers: list[bytes]) -> bool:
        """One command, or one mail; False when more must come first."""
        if self.state == "quit":
            return False
        if self.state == "data":
            text = b"\r\n" + self.buffer  # the first CRLF is that of DATA
            end = text.find(b"\r\n.\r\n")
            if end < 0:
                return False
            self.numbers[0] += 1
            self.numbers[1] += end
            self.numbers[3] += self.buffer[:15].lower() == b"dkim-signature:"
            self.buffer, self.state = self.buffer[end + 3 :], "ready"
            answers.append(b"250 2.0.0 Ok: taken\r\n")
            return True
        line, newline, rest = self.buffer.partition(b"\r\n")
        if not newline and len(line) <= SIZE_LIMIT:
            return False
        self.buffer = rest
        answers.append(self._command(line.upper()))
        return True

    def _command(self, line: bytes) -> bytes:
        for start, allowed, state, answer in _COMMANDS:
            if line.startswith(start):
                if self.state not in allowed:
                    break
                self.state = state or self.state
                return answer
        self.numbers[4] += 1
        return b"503 5.5.1 Not now\r\n"


_ANY = ("", "ready", "mail", "rcpt")
_COMMANDS = (
    (b"EHLO ", _ANY, "ready", b"250-sink\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"),
    (b"MAIL FROM:<", ("ready",), "mail", b"250 2.1.0 Ok\r\n"),
    (b"RCPT TO:<", ("mail", "rcpt"), "rcpt", b"250 2.1.5 Ok\r\n"),
    (b"DATA", ("rcpt",), "data", b"354 Go ahead\r\n"),
    (b"RSET", ("ready", "mail", "rcpt"), "ready", b"250 2.0.0 Ok\r\n"),
    (b"NOOP", _ANY, "", b"250 2.0.0 Ok\r\n"),
    (b"QUIT", _ANY, "quit", b"221 2.0.0 Bye\r\n"),
)  # fmt: skip


async def _serve(stats: Path, delay: float) -> None:
    with stats.open("w+b") as file:
        file.truncate(NUMBERS.size)
        with mmap.mmap(file.fileno(), NUMBERS.size) as shared:
            _Session.numbers = memoryview(shared).cast("Q")
            _Session.delay = delay
            server = await asyncio.get_running_loop().create_server(_Session, "127.0.0.1", 0)
            print(server.sockets[0].getsockname()[1], flush=True)
            try:
                await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)  # until our parent ends
            finally:
                server.close()
                _Session.numbers.release()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]) / 1000))
