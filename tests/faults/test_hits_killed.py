"""A hit that got its answer is in the table, exactly once: web processes and flushers are killed under load, Redis is
stopped without saving, and flushed."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection

from mail import click_target
from mail.links import click_url, open_url
from mail.models import CountedUrl
from smp import embedded
from tests.factories import make_delivery, make_lead
from tests.faults.servers import OwnServers
from tracking.models import MailHit, RefusedHit

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def servers(tmp_path):
    """A Redis of the test's own; the test's database."""
    own = OwnServers(tmp_path)
    url = embedded.start_redis(tmp_path / "redis")
    own.redis = redis.Redis.from_url(url, socket_timeout=5)
    own.redis_pid = own.redis.info()["process_id"]
    values = connection.settings_dict
    who = f"{quote(values['USER'])}:{quote(values['PASSWORD'])}"
    database = f"postgresql://{who}@/{values['NAME']}?host={quote(values['HOST'])}"
    own.environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "smp.settings",
        "DATABASE_URL": database + (f"&port={values['PORT']}" if values["PORT"] else ""),
        "REDIS_URL": url,
        "SMP_SPOOL": str(tmp_path / "spool"),
    }
    yield own
    own.redis.close()
    own.stop()
    embedded.USED[:] = [one for one in embedded.USED if not one.folder.is_relative_to(tmp_path.resolve())]


class Web:
    """gunicorn with two processes."""

    def __init__(self, servers):
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.port = listener.getsockname()[1]
            command = [
                sys.executable, "-m", "gunicorn", "smp.wsgi", "--bind", f"fd://{listener.fileno()}", "--workers", "2",
                "--threads", "4", "--keep-alive", "5", "--log-level", "critical",
            ]  # fmt: skip
            self.master = subprocess.Popen(
                command, cwd=PROJECT, env=servers.environment, pass_fds=[listener.fileno()]
            )

    def kill_one(self):
        """SIGKILL to a process that answers; gunicorn starts another."""
        for child in psutil.Process(self.master.pid).children()[:1]:
            child.send_signal(signal.SIGKILL)

    def kill_all(self):
        processes = psutil.Process(self.master.pid).children()
        self.master.kill()
        for process in processes:
            process.kill()
        self.master.wait(30)
        psutil.wait_procs(processes, timeout=30)


class Load(threading.Thread):
    """One after the other, with an agent of its own for each hit; what got its whole answer is noted."""

    numbers = count()

    def __init__(self, port, paths):
        super().__init__(daemon=True)
        self.port, self.paths = port, paths
        self.answered, self.asked, self.ended = [], 0, threading.Event()

    def run(self):
        asking = None
        while not self.ended.is_set():
            number = next(self.numbers)
            try:
                asking = asking or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                self.asked += 1
                asking.request(
                    "GET", self.paths[number % len(self.paths)], headers={"User-Agent": f"hit {number}"}
                )
                answer = asking.getresponse()
                if answer.read() is not None and answer.status in (200, 302):
                    self.answered.append(f"hit {number}")
            except (OSError, http.client.HTTPException):
                asking = None
                time.sleep(0.05)
            time.sleep(0.005)


def wait_for_more(loads, hits):
    """Until so many more were answered."""
    before = sum(len(load.answered) for load in loads)
    deadline = time.monotonic() + 90
    while sum(len(load.answered) for load in loads) < before + hits:
        assert time.monotonic() < deadline, "no answers any more"
        time.sleep(0.02)


def flusher(servers, step):
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.flusher", step],
        env=servers.environment, cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_trk_6_a_hit_that_was_answered_is_stored_exactly_once(servers):
    """TRK-4, TRK-6: whatever dies, and whenever."""
    click_target.forget_urls()
    mail = make_delivery(make_lead(), state="sent")
    url = CountedUrl.objects.create(url="https://www.example.jp/", digest="0" * 64, name="example")
    base = django_settings.BASE_URL
    paths = [click_url(mail.pk, url.pk).removeprefix(base), open_url(mail.pk).removeprefix(base)]
    web = Web(servers)
    loads = [Load(web.port, paths) for _number in range(3)]
    try:
        for load in loads:
            load.start()
        wait_for_more(loads, 60)
        assert flusher(servers, "before_commit").returncode == -signal.SIGKILL
        web.kill_one()
        wait_for_more(loads, 60)
        assert flusher(servers, "before_delete").returncode == -signal.SIGKILL
        servers.stop_redis(0.3)  # without saving: what was in the stream is gone
        wait_for_more(loads, 60)
        web.kill_one()
        servers.flush_redis()
        wait_for_more(loads, 60)
    finally:
        for load in loads:
            load.ended.set()
        web.kill_all()
    for load in loads:
        load.join(30)
    drained = flusher(servers, "drain")
    assert drained.returncode == 0, drained.stderr
    stored = Counter(MailHit.objects.values_list("agent", flat=True))
    answered = {agent for load in loads for agent in load.answered}
    assert len(answered) >= 240
    assert answered - set(stored) == set(), "answered and lost"
    assert [agent for agent, times in stored.items() if times > 1] == []
    assert len(stored) <= sum(load.asked for load in loads)
    assert not RefusedHit.objects.exists()
    assert list((Path(servers.environment["SMP_SPOOL"])).glob("*.hits")) == []
