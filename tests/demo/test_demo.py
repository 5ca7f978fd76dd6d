"""`manage.py demo` as a user meets it: starts from nothing, serves, restarts what dies, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from smp.demo.supervisor import AlreadyRunningError, Supervisor, claim_port, only_one, page_answers

PROJECT = Path(__file__).resolve().parent.parent.parent
OWN = ("DATABASE_URL", "REDIS_URL", "SMP_DEMO_INBOX", "SMP_RELAY", "SMP_BASE_URL", "SMP_INTAKE_LISTEN")


@pytest.fixture
def data():
    """A short path: PostgreSQL's socket lives in it, and a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="smp-demo-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def manage(*arguments, data):
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    environment |= {"SMP_DATA": str(data), "SMP_DEVELOPMENT": "1", "PYTHONUNBUFFERED": "1"}
    return [sys.executable, str(PROJECT / "manage.py"), *arguments], environment


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def processes_of(data):
    """Every live process that was started with this data folder, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SMP_DATA") == str(data):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def workers_of(demo):
    """The demo's own worker process, not the pool of it."""
    children = [
        child for child in processes_alive(psutil.Process(demo).children()) if "worker" in child.cmdline()
    ]
    return [child for child in children if child.ppid() == demo]


def processes_alive(processes):
    return [
        process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.faults
def test_demo_starts_from_nothing_serves_restarts_and_leaves_nothing_behind(data):
    port = unused_port()
    command, environment = manage("demo", "--port", str(port), data=data)
    output = data / "output.txt"
    with output.open("wb") as file:
        demo = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=PROJECT)
    try:
        wait_for(lambda: "Ctrl-C" in output.read_text() or demo.poll() is not None, 120)
        said = output.read_text()
        assert demo.poll() is None, said
        url = f"http://127.0.0.1:{port}"
        assert f"{url}/\n" in said and f"{url}/inbox/" in said
        assert all(login in said for login in ("admin", "campaign", "viewer", "demo-demo-demo"))
        with urllib.request.urlopen(f"{url}/login/", timeout=20) as answer:
            assert (answer.status, "SMP" in answer.read().decode()) == (200, True)

        second, _environment = manage("demo", data=data)
        refused = subprocess.run(
            second, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT
        )
        assert refused.returncode == 1
        assert url in refused.stderr

        [worker] = workers_of(demo.pid)
        worker.kill()
        wait_for(lambda: "worker ended (-9) and is started again" in output.read_text(), 20)
        wait_for(lambda: len(workers_of(demo.pid)) == 1, 20)

        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0, output.read_text()
        wait_for(lambda: processes_of(data) == [], 15)
        assert not page_answers(url)
    finally:
        for process in processes_of(data):
            process.kill()
        if demo.poll() is None:
            demo.kill()
        demo.wait()

    command, environment = manage(
        "search_leads", "--where", json.dumps({"match": "all", "blocks": []}), "--count", "--json", data=data
    )
    kept = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True, cwd=PROJECT
    )
    assert json.loads(kept.stdout)["count"] == 4999  # 5,000 leads, one of them deleted


def test_demo_needs_development(data):
    command, environment = manage("demo", data=data)
    environment |= {
        "SMP_DEVELOPMENT": "0", "SMP_SECRET_KEY": "x" * 40, "SMP_BASE_URL": "https://smp.example", "SMP_MAIL_DOMAIN": "smp.example",
        "SMP_RELAY": "relay.example:25", "DATABASE_URL": os.environ["DATABASE_URL"], "REDIS_URL": os.environ["REDIS_URL"],
    }  # fmt: skip
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT
    )
    assert refused.returncode == 1
    assert "SMP_DEVELOPMENT=1" in refused.stderr


def test_reset_never_empties_a_database_somebody_named(data):
    command, environment = manage("demo", "--reset", data=data)
    environment |= {"DATABASE_URL": os.environ["DATABASE_URL"], "REDIS_URL": os.environ["REDIS_URL"]}
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT
    )
    assert refused.returncode == 1
    assert "unset DATABASE_URL" in refused.stderr


# ---- the supervisor


def supervise(data, *command):
    lines = []
    supervisor = Supervisor(logs=data / "logs", environment=dict(os.environ), say=lines.append)
    supervisor.add("child", *command)
    supervisor.start_all()
    return supervisor, lines


def test_grandchildren_end_with_their_parent(data):
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('up', flush=True); import time; time.sleep(60)"
    supervisor, _lines = supervise(data, sys.executable, "-c", script)
    wait_for(lambda: "up" in (data / "logs" / "child.log").read_text(), 10)
    family = psutil.Process(supervisor.children[0].process.pid).children(recursive=True)
    assert len(family) == 1
    supervisor.stop_all()
    wait_for(lambda: not family[0].is_running() or family[0].status() == psutil.STATUS_ZOMBIE, 5)


def test_child_that_does_not_follow_is_killed(data, monkeypatch):
    monkeypatch.setattr("smp.demo.supervisor.STOP_SECONDS", 0.3)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    supervisor, _lines = supervise(data, sys.executable, "-c", script)
    wait_for(lambda: "up" in (data / "logs" / "child.log").read_text(), 10)
    supervisor.stop_all()
    assert supervisor.children[0].process.returncode == -signal.SIGKILL


def test_child_that_dies_again_and_again_is_started_ever_more_slowly(data):
    supervisor, lines = supervise(data, sys.executable, "-c", "raise SystemExit(3)")
    deadline = time.monotonic() + 3.5
    supervisor.watch(until=lambda: time.monotonic() > deadline)
    supervisor.stop_all()
    assert len(lines) == 2
    assert lines[0].startswith("child ended (3) and is started again.")
    assert supervisor.children[0].pause == 4.0


def test_lock_is_held_by_one_and_freed_after(tmp_path):
    with only_one(tmp_path / "lock") as file:
        file.write("http://127.0.0.1:8000")
        file.flush()
        with pytest.raises(AlreadyRunningError, match=r"127\.0\.0\.1:8000"), only_one(tmp_path / "lock"):
            pass
    with only_one(tmp_path / "lock"):
        pass


def test_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert claim_port(port) > port


def test_port_of_another_demo_is_passed_over_before_anybody_listens():
    port = unused_port()
    other = subprocess.Popen(
        [sys.executable, "-c", f"from smp.demo.supervisor import claim_port; print(claim_port({port}), flush=True); input()"],
        cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with other:
        assert int(other.stdout.readline()) == port
        assert claim_port(port) > port
        other.communicate(b"\n")
    assert claim_port(port) == port, "its claim ends with it"
    assert claim_port(port) != port, "nobody is given it twice"
