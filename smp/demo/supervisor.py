"""Starts every process of the product on one machine, keeps them alive, and leaves nothing behind.

Each child is the leader of a session of its own: Ctrl-C in the terminal reaches the supervisor only, which then
stops the children by process group. Their output goes to `<data>/logs/<name>.log`.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).resolve().parent.parent.parent
STOP_SECONDS = 20.0  # a worker finishes the mails in the air first
LONGEST_PAUSE = 30.0  # seconds between two starts of a child that dies again and again
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process: what it is called, how it is started, and since when it runs."""

    name: str
    command: list[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = 1.0


@dataclass
class Supervisor:
    """`say` prints a line for people; `environment` is the children's."""

    logs: Path
    environment: dict[str, str]
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def add(self, name: str, *command: str) -> None:
        self.children.append(Child(name, list(command)))

    def start_all(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        for child in self.children:
            self._start(child)

    def _start(self, child: Child) -> None:
        with (self.logs / f"{child.name}.log").open("ab") as log:
            log.write(f"---- {datetime.now().astimezone():%Y-%m-%d %H:%M:%S} start\n".encode())
            log.flush()
            child.process = subprocess.Popen(
                child.command,
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        child.started_at = time.monotonic()

    def watch(
        self, *, until: Callable[[], bool] = lambda: False, also: Callable[[], None] = lambda: None
    ) -> None:
        """Restarts what dies, until `stopping` is set (by a signal) or `until()` says so; calls `also` each time."""
        while not self.stopping and not until():
            also()
            for child in self.children:
                self._look_after(child)
            time.sleep(0.2)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            code = child.process.returncode
            _signal_group(child.process.pid, signal.SIGKILL)  # what it may have left behind
            child.process = None
            child.pause = 1.0 if now - child.started_at > 60 else min(child.pause * 2, LONGEST_PAUSE)
            child.start_again_at = now + child.pause
            self.say(
                f"{child.name} ended ({code}) and is started again. See {self.logs / (child.name + '.log')}"
            )
        elif child.process is None and now >= child.start_again_at:
            self._start(child)

    def stop_all(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not follow; returns when every child is gone."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            _signal_group(process.pid, signal.SIGTERM, only_leader=True)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def tail(self, name: str, lines: int = 15) -> str:
        with contextlib.suppress(OSError):
            return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
        return ""


def _signal_group(leader: int, number: int, *, only_leader: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if only_leader:
            os.kill(leader, number)
        else:
            os.killpg(leader, number)


def _die_with_parent() -> None:
    """In the child, before exec: the kernel sends SIGTERM when the supervisor dies, even by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


_claimed: list[IO[str]] = []  # the locks of this process's ports, held until it ends


def claim_port(wanted: int) -> int:
    """`wanted`, or the next port of this host nobody listens on; OSError when there is none within a hundred. No other
    demo is given it as long as this process lives: between the choice and the server's start lie many seconds, in which
    a second demo would choose the same."""
    folder = Path(tempfile.gettempdir()) / f"smp-demo-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in range(wanted, wanted + 100):
        lock = (folder / str(port)).open("a", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another demo's, or claimed by this one already
            lock.close()
            continue
        if _nobody_listens(port):
            _claimed.append(lock)
            return port
        lock.close()
    raise OSError(f"no free port from {wanted} to {wanted + 99}")


def _nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def page_answers(url: str) -> bool:
    """Any answer below 500 is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class AlreadyRunningError(Exception):
    """The text is what the running one wrote into the lock file: its address."""


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[IO[str]]:
    """Holds a lock file, into which the holder may write where it is found. AlreadyRunningError when it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise AlreadyRunningError(file.read().strip()) from error
        file.truncate(0)
        yield file
        file.truncate(0)
