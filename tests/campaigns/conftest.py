import pytest

from campaigns.events import happened


@pytest.fixture
def told():
    """Every Happening that somebody is mailed about, in its order."""
    heard = []

    def listen(happenings, **_):
        heard.extend(one for one in happenings if one.tell)

    happened.connect(listen, weak=False, dispatch_uid="test")
    yield heard
    happened.disconnect(dispatch_uid="test")
