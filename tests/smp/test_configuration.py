"""A mistake in the environment stops the start with one sentence that names it, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
GOOD = {"SMP_DEVELOPMENT": "1", "DATABASE_URL": "postgresql://a@b/c", "REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"SMP_DEVELOPMENT": "0"}, "SMP_SECRET_KEY is not set"),
        (
            {"SMP_DEVELOPMENT": "0", "SMP_SECRET_KEY": "short"},
            "SMP_SECRET_KEY: at least 32 random characters",
        ),
        ({"SMP_SECRET_KEY_FALLBACKS": f"{'x' * 40},short"}, "SMP_SECRET_KEY_FALLBACKS: former keys"),
        ({"SMP_DEVELOPMENT": "maybe"}, "SMP_DEVELOPMENT='maybe': expected 0 or 1"),
        ({"DATABASE_URL": "mysql://a@b/c"}, "DATABASE_URL: expected postgresql://"),
        ({"DATABASE_URL": "postgresql://a@b:99999/c"}, "DATABASE_URL: Port out of range"),
        ({"REDIS_URL": "127.0.0.1:6379"}, "REDIS_URL: expected redis://"),
        ({"SMP_RELAY": "mail.example.jp"}, "SMP_RELAY='mail.example.jp': expected host:port"),
        ({"SMP_SMTP_TIMEOUT": "long"}, "SMP_SMTP_TIMEOUT='long': expected a whole number"),
    ],
)
def test_says_what_is_wrong(wrong, sentence):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMP_")}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT, env=clean | GOOD | wrong, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
