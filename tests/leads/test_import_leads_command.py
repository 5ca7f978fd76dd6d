"""`manage.py import_leads`: exit 0 and counts, 1 with the reason on stderr and nothing imported, 2 for usage (DESIGN §8)."""

import json
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from leads.models import ConsentRecord, Lead, LeadImport
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
FILE = "姓,E-mailアドレス\n佐藤,misaki@example.jp\n鈴木,kenta@@example.jp\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="leads.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return str(path)

    return write


def run(capsys, *arguments):
    call_command("import_leads", *arguments)
    return capsys.readouterr().out


def test_add(capsys, file):
    answer = json.loads(
        run(capsys, file("姓,E-mailアドレス\n佐藤,a@example.jp\n"), "--json", "--evidence", "card")
    )
    assert {name: answer[name] for name in ("state", "mode", "rows", "new", "wrong", "problems")} == {
        "state": "done", "mode": "add", "rows": 1, "new": 1, "wrong": 0, "problems": [],
    }  # fmt: skip
    assert (Lead.objects.get().last_name, ConsentRecord.objects.get().evidence) == ("佐藤", "card")


def test_wrong_rows_refuse_the_file_unless_they_are_left_out(capsys, file):
    """CSV-1"""
    with pytest.raises(CommandError) as refusal:
        run(capsys, file(FILE), "--language", "en")
    assert str(refusal.value).splitlines()[0].startswith("1 rows are wrong, so nothing was imported.")
    assert str(refusal.value).splitlines()[1].startswith("row 3, E-mailアドレス: ")
    assert (Lead.objects.count(), LeadImport.objects.get().state) == (0, "cancelled")
    assert json.loads(run(capsys, file(FILE), "--skip-wrong", "--json"))["new"] == 1
    assert Lead.objects.count() == 1


def test_dry_run_changes_nothing(capsys, file):
    answer = json.loads(run(capsys, file(FILE), "--dry-run", "--json"))
    assert (answer["new"], answer["wrong"], len(answer["problems"]), Lead.objects.count()) == (1, 1, 1, 0)


def test_update_by_email(capsys, file):
    lead = make_lead()
    text = run(
        capsys,
        file("E-mailアドレス,会社名\nYOSHIO@YAMATE.example.jp,新\n"),
        "--mode",
        "update",
        "--key",
        "email",
        "--language",
        "en",
    )
    assert "new 0, updated 1, unchanged 0, wrong 0" in text
    lead.refresh_from_db()
    assert lead.company == "新"


@pytest.mark.parametrize("arguments", [["--campaign", "1"], []])
def test_refusals_say_why(capsys, file, arguments):
    with pytest.raises(CommandError) as refusal:
        run(capsys, file("謎\n1\n"), *arguments)
    assert str(refusal.value)
    assert Lead.objects.count() == 0


def test_missing_file_and_usage(capsys):
    with pytest.raises(CommandError, match=r"nowhere\.csv"):
        run(capsys, "nowhere.csv")
    exit_code = subprocess.run(
        [sys.executable, "manage.py", "import_leads", "a.csv", "--mode", "drop"], capture_output=True
    ).returncode
    assert exit_code == 2
