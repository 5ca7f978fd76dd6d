"""A pytest plugin (`-p tests.servers`): starts the embedded servers before Django's settings are read, once;
xdist workers inherit the addresses. Compiles the Japanese texts when they changed. Makes passwords quick."""

import os
from pathlib import Path

os.environ.setdefault("SMP_DEVELOPMENT", "1")
os.environ.setdefault("SMP_DATA", str(Path(__file__).resolve().parent.parent / ".data" / "test"))

from smp.embedded import start_missing_servers
from smp.translations import compile_if_needed

start_missing_servers()
compile_if_needed()


def pytest_configure() -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.quick_passwords.QuickHasher"]
