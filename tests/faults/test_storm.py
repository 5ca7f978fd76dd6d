"""A short soak: everything at once, on servers of its own. The long one is `make soak`."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults

SERVERS = {"DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE", "SMP_DATA"}


def test_err_4_the_promise_in_a_storm():
    """ERR-4, ERR-3: kills at random and at protocol steps, a crash of PostgreSQL, Redis flushed, stopped and frozen, a
    server that refuses, hangs up, drips, talks nonsense, answers late and fails TLS. Only 5xx ends a mail as エラー."""
    soak = subprocess.run(
        [
            sys.executable, "-m", "tests.faults.soak", "--mails", "200", "--kills", "6", "--crashes", "1", "--flushes", "1",
            "--stops", "1", "--late", "2", "--timeout", "4", "--slow", "1", "--every", "0.5", "--limit", "240",
        ],
        env={name: value for name, value in os.environ.items() if name not in SERVERS},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert soak.returncode == 0, soak.stdout + soak.stderr[-5000:]
    assert soak.stdout.count("\nok ") == 8
    assert "BROKEN" not in soak.stdout
