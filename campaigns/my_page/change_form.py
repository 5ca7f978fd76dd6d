"""The form of an application, for the lead it belongs to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from campaigns.change_form import ChangeForm
from campaigns.entry import Entry
from campaigns.models import Application


class OwnChangeForm(ChangeForm):
    """Without the address, which has a confirmation of its own (campaigns/my_page/address.py), and without DM許可, which
    stands on the page of mails."""

    ELSEWHERE = ("email", "dm_permission")

    def __init__(
        self, application: Application, data: Mapping[str, Any] | None = None, *, language: str
    ) -> None:
        super().__init__(application, data, staff=False, language=language)
        for name in self.ELSEWHERE:
            self.fields.pop(name, None)
            self.items.pop(name, None)

    def entry(self) -> Entry:
        entry = super().entry()
        return replace(
            entry, values={name: value for name, value in entry.values.items() if name != "language"}
        )
