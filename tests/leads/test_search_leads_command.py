"""`manage.py search_leads`: exit 0 and figures, 1 with the reason on stderr, 2 for usage (DESIGN §8)."""

import json

import pytest
from django.core.management import CommandError, call_command

from leads.models import SavedSearch
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
TOKYO = {"match": "all", "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}]}


def run(capsys, *arguments):
    call_command("search_leads", *arguments)
    return capsys.readouterr().out


def test_where_and_search(capsys):
    lead = make_lead(prefecture="東京都")
    make_lead("b@example.jp", prefecture="大阪府")
    answer = json.loads(run(capsys, "--where", json.dumps(TOKYO), "--json"))
    assert (answer["count"], [row["id"] for row in answer["leads"]]) == (1, [lead.pk])
    search = SavedSearch.objects.create(name="東京", condition=TOKYO)
    assert run(capsys, "--search", str(search.pk), "--count").strip() == "1"
    assert f"{lead.pk}\t髙橋\t𠮷男" in run(capsys, "--search", str(search.pk))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--where", "{"],
        ["--where", "[" * 100_000],
        ["--where", "[]"],
        ["--where", '{"blocks": [{"item": "lead.id", "operator": "is", "values": ["x"]}]}'],
        ["--search", "99"],
    ],
)
def test_refusals_say_why(arguments):
    with pytest.raises(CommandError) as caught:
        call_command("search_leads", *arguments)
    assert caught.value.returncode == 1
    assert str(caught.value)
