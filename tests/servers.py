"""A pytest plugin (`-p tests.servers`): starts the embedded servers before Django's settings are read, once;
xdist workers inherit the addresses. Compiles the Japanese texts when they changed. Makes passwords and flushes quick. Gives
each worker its share of the tests."""

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("SMP_DEVELOPMENT", "1")
os.environ.setdefault("SMP_DATA", str(Path(__file__).resolve().parent.parent / ".data" / "test"))

from smp.embedded import STARTED, start_missing_servers
from smp.translations import compile_if_needed


def spare_the_disk() -> None:
    """Nobody proves here what a power cut leaves: the tests' own PostgreSQL does not wait for the disk. What is committed
    survives every kill all the same, and the servers that tests crash are others (tests/faults/servers.py)."""
    import psycopg2

    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for setting in ("fsync", "full_page_writes"):
                cursor.execute(f"ALTER SYSTEM SET {setting} = off")
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()


start_missing_servers()
if "DATABASE_URL" in STARTED:
    spare_the_disk()
# Rows of two workers have the same ids, and Redis remembers ids (limits, speeds): a database of its own for each.
worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
if worker and os.environ["REDIS_URL"].endswith("/0"):
    os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'][:-1]}{1 + int(worker) % 15}"
compile_if_needed()


def pytest_configure() -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.quick_passwords.QuickHasher"]

    from tests import quick_flush

    quick_flush.install()


@pytest.hookimpl(trylast=True)  # pytest-django has an order, too; it stays within a file
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from tests.shares import rank

    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    from tests.shares import FileShares

    return FileShares(config, log)
