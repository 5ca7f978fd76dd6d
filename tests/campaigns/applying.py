"""What tests of applications have in common."""

import uuid
from contextlib import contextmanager

from django.utils import timezone

from campaigns import applications
from campaigns.applications import Entry
from campaigns.events import happened

VALUES = {
    "last_name": "山田",
    "first_name": "花子",
    "email": "hanako@yamate.example.jp",
    "dm_permission": "wanted",
}


def entry(answers=None, sessions=(), language="ja", **values):
    return Entry(VALUES | values, answers or {}, sessions, language)


def apply(campaign, given=None, *, way="form", now=None, token=None, **options):
    return applications.apply(
        campaign, given or entry(), way=way, now=now or timezone.now(), token=token or uuid.uuid4(), **options
    )


@contextmanager
def heard():
    """What was told inside, as (event, lead's id); `.all` has the happenings whole, also those nobody is mailed about."""

    class Heard(list):
        all = []

    found = Heard()
    found.all = []

    def listen(happenings, **_rest):
        found.extend((str(one.event), one.lead.pk) for one in happenings if one.tell)
        found.all.extend(happenings)

    happened.connect(listen)
    try:
        yield found
    finally:
        happened.disconnect(listen)
