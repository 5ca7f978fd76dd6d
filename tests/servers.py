"""A pytest plugin (`-p tests.servers`): starts the embedded servers before Django's settings are read, once;
xdist workers inherit the addresses. Compiles the Japanese texts when they changed. Makes passwords quick."""

import os
from pathlib import Path

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
