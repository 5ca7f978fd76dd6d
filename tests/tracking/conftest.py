import pytest

from tracking import spool, stream


@pytest.fixture(autouse=True)
def own_spool(tmp_path, settings):
    """A folder and an empty stream for each test."""
    settings.SPOOL_FOLDER = str(tmp_path / "spool")
    stream.client().delete(stream.KEY, stream.LIFE_KEY, spool.LOST_KEY)
    yield
    spool.forget_process_state()
