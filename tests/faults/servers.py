"""A PostgreSQL and a Redis of one's own, to crash, flush and stop: nobody else's tests see it."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import redis

from smp import embedded


class OwnServers:
    """In `folder`; DATABASE_URL and REDIS_URL name them. Start them before Django reads its settings."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def start(self):
        os.environ["SMP_DEVELOPMENT"] = "1"
        os.environ["DATABASE_URL"] = embedded.start_postgresql(self.folder / "postgresql")
        os.environ["REDIS_URL"] = embedded.start_redis(self.folder / "redis")
        self.redis = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
        self.redis_pid = self.redis.info()["process_id"]

    def stop(self):
        """Before the folder goes: whoever leaves later would not find them any more."""
        for server in embedded.USED:
            if server.folder.is_relative_to(self.folder.resolve()):
                server.stop(server.folder)

    def crash_postgresql(self):
        """An immediate shutdown: no checkpoint, sessions cut, recovery at the next start. Returns when it is up."""
        pid = int((self.folder / "postgresql" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if "PostgreSQL" in embedded.revive():
                return
            time.sleep(0.05)
        raise AssertionError("PostgreSQL did not come back")

    def flush_redis(self):
        self.redis.flushall()

    def stop_redis(self, seconds):
        with suppress(redis.RedisError):
            self.redis.shutdown(nosave=True)
        time.sleep(seconds)
        self._redis_again()

    def freeze_redis(self, seconds):
        """It accepts connections and never answers."""
        os.kill(self.redis_pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(self.redis_pid, signal.SIGCONT)

    def _redis_again(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            embedded.revive()
            with suppress(redis.RedisError):
                self.redis_pid = self.redis.info()["process_id"]
                return
            time.sleep(0.05)
        raise AssertionError("Redis did not come back")
