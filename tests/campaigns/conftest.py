import pytest

from campaigns.events import happened


@pytest.fixture
def told():
    """Every Happening that was announced, in its order."""
    heard = []

    def listen(happenings, **_):
        heard.extend(happenings)

    happened.connect(listen, weak=False, dispatch_uid="test")
    yield heard
    happened.disconnect(dispatch_uid="test")
