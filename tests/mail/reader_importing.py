"""Importing readers in tests: a text becomes a file, is checked, committed, taken back."""

from django.utils import timezone

from mail.magazines.imports import steps
from mail.models import BlacklistedAddress


def check(magazine, content, *, evidence="import", file_name="読者.csv", user=None):
    data = content.encode() if isinstance(content, str) else content
    made = steps.upload([data], magazine=magazine, file_name=file_name, evidence=evidence, user=user)
    steps.check(made)
    return steps.current_state(made.pk)


def commit(reader_import, *, skip_malformed=True, turn=True, user=None):
    assert steps.request_commit(
        reader_import, skip_malformed=skip_malformed, turn=turn, user=user, now=timezone.now()
    )
    steps.commit(reader_import)
    return steps.current_state(reader_import.pk)


def bring_in(magazine, content, *, user=None, **options):
    checked = check(magazine, content, user=user, **options)
    assert checked.state == "checked", checked.error
    done = commit(checked, user=user)
    assert done.state == "done", done.error
    return done


def take_back(reader_import, *, user=None):
    assert steps.request_undo(reader_import, user=user, now=timezone.now())
    steps.undo(reader_import)
    return steps.current_state(reader_import.pk)


def counts(reader_import):
    names = ("new", "updated", "turned", "refused", "malformed", "unchanged")
    return {name: reader_import.counts[name] for name in names if reader_import.counts[name]}


def groups(reader_import):
    """{address as in the file: group}"""
    return dict(reader_import.lines.order_by("line").values_list("address", "group"))


def problems(reader_import):
    """[(line, header, code)]"""
    headers = [column["header"] for column in reader_import.columns]
    return [
        (row.line, headers[place] if place is not None else None, code)
        for row in reader_import.lines.exclude(problems__isnull=True).order_by("line")
        for place, code, _params in row.problems
    ]


def reasons(reader_import, address):
    row = reader_import.lines.get(address=address)
    return [code for _column, code, _params in row.reasons or []]


def states(magazine):
    """{address: state} of the magazine's readers."""
    return dict(magazine.readers.order_by("lead__email").values_list("lead__email", "state"))


def black(magazine):
    return BlacklistedAddress.objects.filter(magazine=magazine).count()
