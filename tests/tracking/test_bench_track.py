"""`manage.py bench track`: every hit is answered and stored, and the figures stand beside their bare costs."""

import json

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from tracking import stream


@pytest.mark.django_db(transaction=True)
def test_every_hit_is_answered_and_stored(capfd):
    own = stream.KEY, stream.LIFE_KEY, django_settings.SPOOL_FOLDER
    call_command("bench", "track", "--json", "--hits", "400", "--connections", "4")
    figures = json.loads(capfd.readouterr().out)
    assert figures["stored"] == 400
    assert figures["answers"] == {"302": 100, "200": 100}  # 200 more were asked to warm up
    assert min(figures["bare"].values()) >= 0 and figures["hits_per_cpu_second"] > 0
    assert set(figures["ratio"]) == {
        "hits_to_hello_per_cpu_second",
        "hit_cpu_to_bare_xadd",
        "flush_to_bare_copy",
    }
    assert own == (stream.KEY, stream.LIFE_KEY, django_settings.SPOOL_FOLDER)
    assert stream.client().keys("smp:bench:*") == []
