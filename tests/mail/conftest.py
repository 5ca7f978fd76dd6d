import pytest

from tests.connections import Other
from tests.sink import Sink


@pytest.fixture
def sink(tmp_path, settings):
    """A relay in a thread; the settings point to it."""
    with Sink(tmp_path / "accepted.jsonl", silence=3) as running:
        settings.RELAY = f"127.0.0.1:{running.port}"
        settings.SMTP_TIMEOUT = 5
        settings.SMTP_DOT_TIMEOUT = 1
        yield running


@pytest.fixture
def other_connection():
    return Other
