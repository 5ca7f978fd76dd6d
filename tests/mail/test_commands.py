"""The stable commands of docs/operating.md: JSON, exit codes, refusals."""

import json
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.utils import timezone

from leads.models import Lead, SavedSearch
from mail.delivery.engine import Outcome
from mail.job_start import run
from mail.models import SendJob
from mail.send_jobs import stop
from tests.factories import make_lead, make_template

EVERYONE = {"match": "all", "blocks": []}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    for module in ("send_jobs", "job_start"):
        monkeypatch.setattr(f"mail.{module}.hint", lambda task, *ids: None)


def command(name, *args):
    out = StringIO()
    call_command(name, *args, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("by_user", "reason", "state"), [(True, "", "queued"), (False, "dm_permission", "excluded")]
)
def test_golden_case_at_the_command(db, by_user, reason, state):
    """TGT-4: by user the lead that turned 希望しない is sent, by search it is not, and explain says so."""
    lead, template = make_lead(), make_template()
    search = SavedSearch.objects.create(name="全員", condition=EVERYONE)
    at = timezone.now() + timedelta(hours=1)
    who = f"--leads={lead.pk}" if by_user else f"--search={search.pk}"
    job = command("send", f"--template={template.pk}", who, f"--at={at.isoformat()}")
    assert job["state"] == "reserved"
    Lead.objects.filter(pk=lead.pk).update(dm_permission="unwanted")
    run(job["job"], now=at)
    answer = command("explain", f"--job={job['job']}", f"--lead={lead.pk}")
    assert (answer["reason"], answer["state"]) == (reason, state)
    assert answer["decision"] == ("addressed" if by_user else "excluded")
    assert answer["values"]["dm_permission"] == ("wanted" if by_user else "unwanted")
    assert command("explain", f"--job={job['job']}", "--email=YOSHIO@yamate.example.jp")["leads"] == [answer]
    counts = command("job", str(job["job"]))
    assert (counts["in_scope"], counts["addressed"]) == (1, int(by_user))
    assert datetime.fromisoformat(counts["started_at"]) == at


def test_preview_changes_nothing(db):
    """EXC-6: counts per reason, and no job afterwards."""
    make_lead()
    make_lead("b@example.jp", dm_permission="unwanted")
    search = SavedSearch.objects.create(name="全員", condition=EVERYONE)
    preview = command("preview_recipients", f"--template={make_template().pk}", f"--search={search.pk}")
    assert (preview["in_scope"], preview["addressed"], preview["by_reason"]) == (2, 1, {"dm_permission": 1})
    assert not SendJob.objects.exists()


def test_pause_resume_and_stop(db):
    """RSV-3 from the command line."""
    make_lead()
    search = SavedSearch.objects.create(name="全員", condition=EVERYONE)
    job = command("send", f"--template={make_template().pk}", f"--search={search.pk}")["job"]
    run(job, now=timezone.now())
    assert command("pause_job", str(job))["state"] == "paused"
    assert command("resume_job", str(job))["state"] == "sending"
    assert command("stop_job", str(job))["by_reason"] == {"stopped": 1}
    with pytest.raises(CommandError):
        command("stop_job", str(job))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--template=0", "--leads=1"],
        ["--template={template}", "--leads=0"],
        ["--template={template}", "--leads=x"],
        ["--template={template}", "--search=0"],
        ["--template={template}", "--leads={lead}", "--dm=maybe"],
        ["--template={template}", "--leads={lead}", "--at=tomorrow"],
        ["--template={template}", "--leads={lead}", "--at=2020-01-01T00:00"],
        ["--template={template}", "--leads={lead}", "--dm=wanted,unwanted"],
    ],
)
def test_refusals_say_why_and_leave_nothing(db, arguments):
    """DESIGN §8: refused = exit 1 with the reason; OPT-4 holds here as in the wizard."""
    values = {"template": make_template().pk, "lead": make_lead().pk}
    with pytest.raises(CommandError) as refused:
        command("send", *(argument.format(**values) for argument in arguments))
    assert len(str(refused.value)) > 10
    assert not SendJob.objects.exists()


def test_more_than_500_leads_are_refused(db):
    """TGT-6 at the command."""
    Lead.objects.bulk_create(Lead(email=f"{n}@example.jp", email_norm=f"{n}@example.jp") for n in range(501))
    ids = ",".join(str(pk) for pk in Lead.objects.values_list("id", flat=True))
    with pytest.raises(CommandError, match="500"):
        command("send", f"--template={make_template().pk}", f"--leads={ids}")
    assert not SendJob.objects.exists()


def test_nobody_has_the_empty_address(db):
    """EXC-4: leads without an address do not share one."""
    lead, template = make_lead("", email_norm=""), make_template()
    job = command("send", f"--template={template.pk}", f"--leads={lead.pk}")["job"]
    with pytest.raises(CommandError):
        command("explain", f"--job={job}", "--email=")
    assert command("explain", f"--job={job}", f"--lead={lead.pk}")["reason"] == "no_address"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["job", "abc"], 2),
        (["explain", "--job", "1"], 2),
        (["send", "--template", "1", "--leads", "1", "--nonsense"], 2),
        (["job", "999999"], 1),
        (["stop_job", "99999999999999999999999"], 1),
        (["search_leads", "--where", "{", "--json"], 1),
    ],
)
def test_exit_codes(db, arguments, code, capsys):
    """DESIGN §8: 1 = refused with the reason on stderr, 2 = usage; nothing on stdout."""
    name, *rest = arguments
    with pytest.raises(SystemExit) as ended:
        load_command_class(get_commands()[name], name).run_from_argv(["manage.py", name, *rest])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, bool(said.err)) == (code, "", True)


def test_waiting_for_the_relay_says_so_once(db, monkeypatch):
    """DESIGN §8 --wait: whoever waits learns why; the result stays one JSON object."""
    lead, template = make_lead(), make_template()
    tries = []

    def relay_is_away(job_id, *, until):
        tries.append(job_id)
        if len(tries) == 3:
            stop(SendJob.objects.get(pk=job_id), user=None, now=timezone.now())
        return Outcome(trouble="relay: connection refused")

    monkeypatch.setattr("mail.management.commands.send.deliver", relay_is_away)
    out, err = StringIO(), StringIO()
    call_command(
        "send", f"--template={template.pk}", f"--leads={lead.pk}", "--wait", "--json", stdout=out, stderr=err
    )
    assert json.loads(out.getvalue())["state"] == "stopped"
    assert err.getvalue().count("connection refused") == 1
