"""A pytest plugin (`-p tests.servers`): starts the embedded servers before Django's settings are read, once;
xdist workers inherit the addresses. Compiles the Japanese texts when they changed. Makes passwords quick. Gives
each worker its share of the tests."""

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("SMP_DEVELOPMENT", "1")
os.environ.setdefault("SMP_DATA", str(Path(__file__).resolve().parent.parent / ".data" / "test"))

from smp.embedded import start_missing_servers
from smp.translations import compile_if_needed

start_missing_servers()
# Rows of two workers have the same ids, and Redis remembers ids (limits, speeds): a database of its own for each.
worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
if worker and os.environ["REDIS_URL"].endswith("/0"):
    os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'][:-1]}{1 + int(worker) % 15}"
compile_if_needed()


def pytest_configure() -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.quick_passwords.QuickHasher"]


@pytest.hookimpl(trylast=True)  # pytest-django has an order, too; it stays within a file
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from tests.shares import rank

    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    from tests.shares import FileShares

    return FileShares(config, log)
