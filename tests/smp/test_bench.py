"""`manage.py bench`: measures in a scratch database, which is gone afterwards; real leads are never touched."""

import json
import os

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from leads.models import Lead
from smp.lib.bench import figures_as_text, scratch_database
from tests.factories import make_lead


def databases():
    """Of this process: another one of the tests may measure at the same time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"smp_bench_{os.getpid()}%"])
        return cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_bench_import(capsys):
    lead = make_lead()
    home = connection.settings_dict["NAME"]
    call_command("bench", "import", "--rows", "2000", "--json")
    figures = json.loads(capsys.readouterr().out)
    assert (figures["bench"], figures["rows"]) == ("import", 2000)
    assert figures["rows_per_second"] > 0
    assert figures["ratio_to_bare"] == pytest.approx(
        figures["seconds"]["total"] / figures["bare_seconds"]["total"], rel=0.05
    )
    assert (connection.settings_dict["NAME"], databases()) == (home, [])
    assert list(Lead.objects.all()) == [lead]


@pytest.mark.django_db(transaction=True)
def test_scratch_database_is_dropped_after_an_error():
    home = connection.settings_dict["NAME"]
    with pytest.raises(ZeroDivisionError), scratch_database():
        assert Lead.objects.count() == 0
        1 / 0  # noqa: B018
    assert (connection.settings_dict["NAME"], databases()) == (home, [])


def test_unknown_bench_is_a_usage_error():
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("bench", "nothing")


def test_figures_as_text():
    assert figures_as_text({"rows": 2000, "seconds": {"total": 1.5}}) == "rows: 2,000\nseconds:\n  total: 1.5"
