"""MAG-9, MAG-10: two imports, two administrators and a reader who leaves at the same moment."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads.models import Lead
from mail.magazines.imports import steps
from mail.magazines.readers import leave
from mail.models import ReaderChange, ReaderImport
from settings.models import AuditEntry
from tests.concurrency.test_resolve_race import in_threads
from tests.mail.magazine_scene import make_magazine, make_reader
from tests.mail.reader_importing import bring_in, check, states

pytestmark = pytest.mark.django_db(transaction=True)

FILE = "メールアドレス\n" + "".join(f"taro.{n}@a.example.jp\n" for n in range(200))


def ask(reader_import):
    steps.request_commit(reader_import, skip_malformed=True, turn=True, user=None, now=timezone.now())
    return lambda: steps.run(reader_import.pk)


def test_two_workers_at_one_import():
    """SYS-3: the same hint twice writes once."""
    magazine = make_magazine()
    checked = check(magazine, FILE)
    work = ask(checked)
    in_threads(work, work, work)
    assert steps.current_state(checked.pk).state == "done"
    assert (magazine.readers.count(), Lead.objects.count(), ReaderChange.objects.count()) == (200, 200, 200)


def test_two_files_of_the_same_people_into_two_magazines():
    """MAG-10: whoever comes second finds the leads of the first, shows it, and makes no lead twice."""
    first, second = check(make_magazine("a"), FILE), check(make_magazine("b"), FILE)
    in_threads(ask(first), ask(second))
    assert Lead.objects.count() == 200
    assert sorted([steps.current_state(one.pk).state for one in (first, second)]) == ["checked", "done"]
    late = next(one for one in (first, second) if steps.current_state(one.pk).state == "checked")
    late = steps.current_state(late.pk)
    assert (late.changed_since, late.counts["new"], late.counts["new_leads"]) == (True, 200, 0)
    ask(late)()
    assert (Lead.objects.count(), late.magazine.readers.count()) == (200, 200)


def test_somebody_leaves_while_the_import_is_written():
    """MAG-9: they wait for the end, and have left then; no import overtakes them."""
    magazine = make_magazine(blacklist=False)
    reader = make_reader(magazine, "taro.0@a.example.jp", values={})
    magazine.items.create(label="規模", type="text")
    checked = check(magazine, "メールアドレス,規模\ntaro.0@a.example.jp,大\n")
    in_threads(ask(checked), lambda: leave(magazine, reader.lead, way="one_click", now=timezone.now()))
    assert states(magazine) == {"taro.0@a.example.jp": "stopped"}
    # Whoever was first: the import then noticed and asks again, or its values are there.
    assert steps.current_state(checked.pk).state in {"done", "checked"}


def test_a_commit_that_breaks_in_the_middle_leaves_nothing(monkeypatch):
    """CSV-1, SYS-3: all or nothing; the tick takes it up again."""
    magazine = make_magazine()
    checked = check(magazine, FILE)
    work = ask(checked)
    beat = steps.Pulse.beat
    beats = []

    class GoneError(BaseException):
        """As a process that is killed: nothing below catches it."""

    def break_off(self, progress):
        beat(self, progress)
        beats.append(progress)
        if len(beats) == 2:
            raise GoneError

    with monkeypatch.context() as patched:
        patched.setattr(steps.Pulse, "beat", break_off)
        with pytest.raises(GoneError):
            work()
    seen = steps.current_state(checked.pk)
    assert (seen.state, seen.progress, len(beats)) == ("committing", beats[-1], 2)
    assert (Lead.objects.count(), magazine.readers.count(), AuditEntry.objects.count()) == (0, 0, 0)
    monkeypatch.setattr(steps, "hint", lambda *_given: None)
    assert steps.take_up(timezone.now()) == 0
    assert steps.take_up(timezone.now() + timedelta(seconds=61)) == 1
    assert steps.take_up(timezone.now() + timedelta(seconds=62)) == 0
    work()
    assert (steps.current_state(checked.pk).state, magazine.readers.count()) == ("done", 200)


def test_two_administrators_take_it_back():
    magazine = make_magazine()
    done = bring_in(magazine, FILE)
    wanted = in_threads(
        *[lambda: steps.request_undo(steps.current_state(done.pk), user=None, now=timezone.now())] * 2
    )
    assert sorted(wanted) == [False, True]
    in_threads(*[lambda: steps.run(done.pk)] * 2)
    assert steps.current_state(done.pk).state == "undone"
    assert (magazine.readers.count(), ReaderChange.objects.filter(what="removed").count()) == (0, 200)


def test_one_cancels_while_the_other_imports():
    magazine = make_magazine()
    checked = check(magazine, FILE)
    started, cancelled = in_threads(
        lambda: steps.request_commit(
            ReaderImport.objects.get(pk=checked.pk),
            skip_malformed=True,
            turn=True,
            user=None,
            now=timezone.now(),
        ),
        lambda: steps.cancel(checked, user=None),
    )
    assert started != cancelled
    steps.run(checked.pk)
    assert magazine.readers.count() == (200 if started else 0)
