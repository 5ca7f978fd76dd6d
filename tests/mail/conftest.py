import pytest

from mail import sending_domains
from mail.delivery import engine
from smp.demo.dns_server import DnsServer
from tests.connections import Other
from tests.mail.domains import BOUNCE, good_zone
from tests.sink import Sink


@pytest.fixture
def sink(tmp_path, settings):
    """A relay in a thread; the settings point to it."""
    with Sink(tmp_path / "accepted.jsonl", silence=3) as running:
        settings.RELAY = f"127.0.0.1:{running.port}"
        settings.SMTP_TIMEOUT = 5
        settings.SMTP_DOT_TIMEOUT = 1
        yield running
        engine.shut_down(patience=10)


@pytest.fixture(autouse=True)
def no_engine_stays():
    """Its threads have database connections of their own, and know the test's settings."""
    yield
    engine.shut_down(patience=10)


@pytest.fixture
def other_connection():
    return Other


@pytest.fixture
def dns(settings):
    """A DNS of the test's own, with everything right for seminar.example.jp but its keys (RATE-4)."""
    with DnsServer() as server:
        settings.DNS_SERVER = server.address
        settings.ALLOW_PRIVATE_MX = True
        settings.BOUNCE_DOMAIN = BOUNCE
        good_zone(server)
        yield server


@pytest.fixture(autouse=True)
def no_signer_of_another_test():
    sending_domains.forget()
    yield
    sending_domains.forget()
