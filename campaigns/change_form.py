"""The form of an application that exists: drawn from the same items, filled with what stands there now."""

from collections.abc import Mapping
from typing import Any

from campaigns.application_form import ApplicationForm
from campaigns.models import Application, ItemSource, SessionChoice


class ChangeForm(ApplicationForm):
    """After is_valid(): `entry()` as campaigns.applications.change takes it; a blank item clears the lead's value."""

    def __init__(
        self,
        application: Application,
        data: Mapping[str, Any] | None = None,
        *,
        staff: bool = True,
        language: str = "",
    ) -> None:
        self.application = application
        self.chosen = {str(session.pk) for session in application.sessions.all()}
        super().__init__(
            application.campaign,
            data,
            lead=application.lead,
            staff=staff,
            language=language or application.language,
        )
        # Consent was given, or not, when the application was made; DM許可 changed here is the administrator's word (OPT-2).
        self.fields.pop("consent", None)
        self.fields.pop("evidence", None)

    def _initial(self) -> dict[str, Any]:
        initial = super()._initial()
        for name, item in self.items.items():
            if item.source == ItemSource.QUESTION:
                value = self.application.answers.get(item.key)
                single = isinstance(value, list) and item.type != "multiple"
                initial[name] = value[0] if single and value else value
        one = self.campaign.session_choice == SessionChoice.ONE
        initial["sessions"] = next(iter(self.chosen), "") if one else sorted(self.chosen)
        return initial

    def _full_sessions(self) -> set[str]:
        """Theirs are theirs."""
        return super()._full_sessions() - self.chosen

    def _consents(self, data: Mapping[str, Any]) -> bool:
        return False

    def _values(self) -> dict[str, Any]:
        data = self.cleaned_data
        given = {item.field: (item.source, data[name]) for name, item in self.items.items() if name in data}
        values = {field: value for field, (source, value) in given.items() if source == ItemSource.LEAD}
        extra = {field: value for field, (source, value) in given.items() if source == ItemSource.COLUMN}
        for never_blank in ("dm_permission", "email"):
            if not values.get(never_blank):
                values.pop(never_blank, None)
        return {**values, "extra": extra} if extra else values
