"""`manage.py sample_data`: for an empty database only."""

import io

import pytest
from django.core.management import CommandError, call_command

from leads.models import Lead
from settings.models import User
from smp.demo import sample_data
from tests.factories import make_lead

pytestmark = pytest.mark.django_db


def test_command_loads_an_empty_database_only(settings):
    User.objects.create_user("misaki", name="佐藤 美咲")
    with pytest.raises(CommandError, match="not empty"):
        call_command("sample_data")
    call_command("sample_data", "--if-empty", stdout=io.StringIO())
    assert Lead.objects.count() == 0
    settings.DEVELOPMENT = False
    with pytest.raises(CommandError, match="SMP_DEVELOPMENT"):
        call_command("sample_data", "--if-empty")


def test_the_demos_logins_exist_even_if_leads_came_first(settings):
    """Somebody imported a file before the first `make demo`: the data stays, the logins it prints work."""
    settings.DEVELOPMENT = True
    make_lead()
    call_command("sample_data", "--if-empty")
    assert Lead.objects.count() == 1
    assert User.objects.get(username="admin").check_password(sample_data.PASSWORD)
    call_command("sample_data", "--if-empty")
    assert User.objects.count() == 3
