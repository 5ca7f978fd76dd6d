"""The embedded servers: shared by every process of a folder, started once, stopped by the last, revived when killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from smp import embedded

pytestmark = pytest.mark.faults

USER = """
import os, sys
from pathlib import Path
from smp.embedded import start_postgresql, start_redis
print({"redis": start_redis, "postgresql": start_postgresql}[sys.argv[1]](Path(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def use(kind, folder):
    return subprocess.Popen(
        [sys.executable, "-c", USER, kind, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def leave(user):
    user.stdin.close()
    assert user.wait(30) == 0
    user.stdout.close()


def test_many_starting_at_once_share_one_redis(tmp_path):
    """They start at the same instant, the first one ends first, and the last one stops it."""
    folder = tmp_path / "redis"
    users = [use("redis", folder) for _number in range(5)]
    urls = {user.stdout.readline().strip() for user in users}
    assert len(urls) == 1
    for user in users[:-1]:
        leave(user)
        assert embedded._redis_runs(folder)
    leave(users[-1])
    assert not embedded._redis_runs(folder)


def test_what_a_killed_process_left_behind_is_taken_over_and_stopped(tmp_path):
    folder = tmp_path / "redis"
    killed = use("redis", folder)
    url = killed.stdout.readline()
    killed.kill()
    killed.wait()
    killed.stdin.close()
    killed.stdout.close()
    assert embedded._redis_runs(folder)
    heir = use("redis", folder)
    assert heir.stdout.readline() == url
    leave(heir)
    assert not embedded._redis_runs(folder)


def test_another_folders_redis_is_never_joined(tmp_path):
    """A port can be somebody else's by the time its number is read again."""
    first = use("redis", tmp_path / "first" / "redis")
    url = first.stdout.readline()
    (tmp_path / "second" / "redis").mkdir(parents=True)
    (tmp_path / "second" / "redis" / "port").write_text(url.rpartition(":")[2].partition("/")[0])
    second = use("redis", tmp_path / "second" / "redis")
    assert second.stdout.readline() not in {url, ""}
    leave(second)
    leave(first)


def test_killed_servers_come_back_where_they_were(tmp_path, monkeypatch):
    """The demo goes on when its PostgreSQL and Redis are killed with -9."""
    import psycopg2

    monkeypatch.setattr(embedded, "USED", [])
    try:
        database = embedded.start_postgresql(tmp_path / "postgresql")
        redis = embedded.start_redis(tmp_path / "redis")
        os.kill(embedded._postmaster(tmp_path / "postgresql"), signal.SIGKILL)
        pid = embedded._ask_redis(int(redis.split(":")[2].split("/")[0]), "INFO server")
        os.kill(int(pid.split(b"process_id:")[1].split()[0]), signal.SIGKILL)
        came_back = []
        deadline = time.monotonic() + 30
        while len(came_back) < 2 and time.monotonic() < deadline:
            came_back += embedded.revive()
            time.sleep(0.1)
        assert sorted(came_back) == ["PostgreSQL", "Redis"]
        assert embedded.start_redis(tmp_path / "redis") == redis
        psycopg2.connect(database).close()
        assert embedded.revive() == []
    finally:
        embedded._stop_redis(tmp_path / "redis")
        embedded._stop_postgresql(tmp_path / "postgresql")
