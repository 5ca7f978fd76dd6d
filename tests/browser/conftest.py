"""A real demo (every process of the product) and a headless Chromium for the story. Skipped without Chromium."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Headless Chromium names itself, and counts as a machine (TRK-4).
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
PATIENCE = 20_000  # milliseconds
# Pictures of the walk, to be looked at: SCREENSHOTS=folder make test
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")


def pytest_collection_modifyitems(items):
    if CHROMIUM is None:
        for item in items:
            if "tests/browser" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine (apt install chromium)"))


@pytest.fixture(scope="package")
def demo_data(tmp_path_factory):
    """The folder of the demo: its servers, inbox and logs."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="package")
def demo(demo_data):
    """The address of a fresh demo with sample data, on servers of its own; stopped by its process id.
    DEMO=http://127.0.0.1:8000 walks through a demo that already runs."""
    if running := os.environ.get("DEMO"):
        yield running
        return
    data = demo_data
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SMP_", "DATABASE_URL", "REDIS_URL"))
    } | {"SMP_DATA": str(data)}
    log = data / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(port)],
            cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        while not answers(address):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/login/", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser():
    """Closed with its module: Playwright keeps an event loop running in this thread, which other tests must not meet."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Walk:
    """A page with the few words the story needs; keeps what the browser complained about."""

    def __init__(self, context, address, logs=""):
        self.logs = logs
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.address = address
        self.complaints = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
        )

    def go(self, path):
        self.page.goto(self.address + path)

    def log_in(self, name="admin", password="demo-demo-demo"):
        self.go("/login/")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", password)
        self.page.get_by_role("button", name="ログイン").click()
        self.page.wait_for_url(f"{self.address}/")

    def wait_for_mail(self, address, subject):
        """Reloads the inbox until a mail is there whose subject has these words; its link."""
        found = self.page.get_by_role("link", name=re.compile(re.escape(subject)))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.go(f"/inbox/?q={address}")
            if found.count():
                return found.first
            self.page.wait_for_timeout(500)
        raise AssertionError(f"no mail “{subject}” for {address} in the inbox\n{self.what_happened()}")

    def what_happened(self):
        """What the product says of the newest mails, and the ends of the demo's logs."""
        self.go("/mail/deliveries/")
        said = [self.page.locator("main").inner_text()[:3000]]
        for log in sorted(Path(self.logs).glob("**/*.log")) if self.logs else []:
            said.append(f"---- {log.name}\n{log.read_text(errors='replace')[-2500:]}")
        return "\n".join(said)

    def open_mail(self, address, subject):
        self.wait_for_mail(address, subject).click()
        self.page.wait_for_load_state()

    def picture(self, name):
        """Also proves that nothing of the page scrolls sideways."""
        self.page.wait_for_load_state()
        self.page.locator("h1").first.wait_for()
        sideways = self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not sideways, f"{name} scrolls sideways"
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)


@pytest.fixture
def walk(browser, demo, demo_data):
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, locale="ja-JP", timezone_id="Asia/Tokyo"
    )
    yield Walk(context, demo, demo_data)
    context.close()


@pytest.fixture
def phone(browser, demo, demo_data):
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, locale="ja-JP", timezone_id="Asia/Tokyo", user_agent=PERSON
    )
    yield Walk(context, demo, demo_data)
    context.close()
