"""`manage.py demo [--port 8000] [--reset]`: the whole product with sample data, until Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import psycopg2
import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from smp import embedded
from smp.demo.supervisor import AlreadyRunningError, Supervisor, claim_port, only_one, page_answers
from smp.demo.zones import BOUNCE_DOMAIN
from smp.translations import compile_if_needed

START_SECONDS = 90.0
LOGINS = (
    ("admin", "特権管理者", "Privileged"),
    ("campaign", "キャンペーン管理者", "Campaign"),
    ("viewer", "閲覧者", "Viewer"),
)
PASSWORD = "demo-demo-demo"


class Command(BaseCommand):
    help = "Starts web, worker, beat, intake and a local inbox with sample data; Ctrl-C stops all and keeps the data."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8000, help="of the pages (default 8000; the next free one if taken)"
        )
        parser.add_argument("--reset", action="store_true", help="start over with fresh sample data")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("The demo has public passwords: it runs only with SMP_DEVELOPMENT=1.")
        data = Path(os.environ.get("SMP_DATA") or settings.BASE_DIR / ".data")
        try:
            with only_one(data / "demo.lock") as lock:
                self.run(data, port=options["port"], reset=options["reset"], lock=lock)
        except AlreadyRunningError as running:
            raise CommandError(
                f"デモは既に動いています / The demo is already running: {running}"
            ) from running

    def run(self, data: Path, *, port: int, reset: bool, lock: Any) -> None:
        if reset:
            self.start_over(data)
        compile_if_needed()
        web, inbox = claim_port(port), claim_port(2525)
        intake, dns = claim_port(inbox + 1), claim_port(15353)
        url = f"http://127.0.0.1:{web}"
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "smp.settings",
            "PYTHONUNBUFFERED": "1",
            "SMP_DEVELOPMENT": "1",
            "SMP_BASE_URL": url,
            "SMP_RELAY": f"127.0.0.1:{inbox}",
            "SMP_SMTP_PORT": str(inbox),
            "SMP_INTAKE_LISTEN": f"127.0.0.1:{intake}",
            "SMP_DEMO_INBOX": str(data / "inbox"),
            "SMP_BOUNCE_DOMAIN": BOUNCE_DOMAIN,
        }
        (data / "inbox").mkdir(parents=True, exist_ok=True)
        lock.write(url)
        lock.flush()
        manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
        self.step("データベースを準備しています / Preparing the database …")
        self.prepare([*manage, "migrate", "--verbosity", "0"], environment)
        self.step("サンプルデータを確認しています / Sample data …")
        self.prepare([*manage, "sample_data", "--if-empty"], environment)

        # Sample data is loaded without a DNS: it is not there yet, and has the keys to publish from that data.
        environment |= {"SMP_DNS": f"127.0.0.1:{dns}", "SMP_ALLOW_PRIVATE_MX": "1"}
        supervisor = Supervisor(logs=data / "logs", environment=environment, say=self.step)
        supervisor.add(
            "web",
            sys.executable, "-m", "gunicorn", "smp.wsgi", "--bind", f"127.0.0.1:{web}", "--workers", "2", "--threads", "4",
            "--worker-tmp-dir", str(data), "--no-control-socket",
        )  # fmt: skip
        supervisor.add("dns", *manage, "demo_dns")
        supervisor.add("inbox", *manage, "demo_inbox")
        supervisor.add("intake", *manage, "intake")
        supervisor.add("worker", *manage, "worker")
        supervisor.add("beat", *manage, "beat")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_args: setattr(supervisor, "stopping", True))
        try:
            self.step("起動しています / Starting …")
            supervisor.start_all()
            deadline = time.monotonic() + START_SECONDS
            supervisor.watch(until=lambda: page_answers(url) or time.monotonic() > deadline)
            if not supervisor.stopping:
                if not page_answers(url):
                    raise CommandError(
                        f"The pages do not answer. The end of {data / 'logs' / 'web.log'}:\n{supervisor.tail('web')}"
                    )
                self.welcome(url, data)
                supervisor.watch(also=self.revive_servers)
        finally:
            self.step("停止しています / Stopping …")
            supervisor.stop_all()

    def revive_servers(self) -> None:
        for name in embedded.revive():
            self.step(f"{name} が停止したため再起動しました / {name} had died and runs again.")

    def step(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def prepare(self, command: list[str], environment: dict[str, str]) -> None:
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
            raise CommandError(f"{' '.join(command[1:])} failed; see above.")

    def start_over(self, data: Path) -> None:
        """Empties the demo's own database, Redis and inbox; a database somebody named is never emptied."""
        if {"DATABASE_URL", "REDIS_URL"} - embedded.STARTED:
            raise CommandError(
                "--reset empties only the demo's own servers: unset DATABASE_URL and REDIS_URL."
            )
        connection = psycopg2.connect(os.environ["DATABASE_URL"].replace("/smp?", "/postgres?"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("DROP DATABASE IF EXISTS smp WITH (FORCE)")
                cursor.execute("CREATE DATABASE smp")
        finally:
            connection.close()
        redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
        for folder in ("inbox", "logs"):
            shutil.rmtree(data / folder, ignore_errors=True)

    def welcome(self, url: str, data: Path) -> None:
        line = "─" * 72
        logins = "\n".join(
            f"      {name:<10} {PASSWORD}   {role} / {english}" for name, role, english in LOGINS
        )
        self.step(
            f"\n{line}\n  SMP のデモが動いています / The demo is running\n\n"
            f"  ブラウザで開く / Open   {url}/\n"
            f"  受信箱 / Inbox          {url}/inbox/\n\n"
            f"  ログイン / Log in\n{logins}\n\n"
            f"  止める / Stop: Ctrl-C    やり直す / Start over: make demo-reset\n"
            f"  ログ / Logs: {data / 'logs'}\n{line}"
        )
