"""Forms of stories: the content, when a step or loop story starts, and the reservation of an extra issue. They parse; what is
allowed is decided in mail/stories/."""

import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from mail.forms.sending import Revealing
from mail.forms.templates import ContentForm
from mail.models import MailTemplate, Story
from mail.models.magazine import ReaderItem
from mail.models.story import LoopRule, StepBase
from mail.models.template import MailForm
from mail.stories.content import field_names
from mail.template_check import writing_errors

WAIT_DAYS_MAX = 3650
OFFSET_MAX = 366


class StoryContentForm(ContentForm):
    """Name, text, attachments and measuring of a story (`story`: unsaved for a new one)."""

    story_name = forms.CharField(
        label=gettext_lazy("Name of the story"),
        max_length=100,
        widget=forms.TextInput(attrs={"class": "wide"}),
        help_text=gettext_lazy("Only seen here, never by readers."),
        error_messages={"required": gettext_lazy("Give the story a name.")},
    )
    measure = forms.BooleanField(
        required=False,
        label=gettext_lazy("Measure opens and clicks"),
        help_text=gettext_lazy(
            "Counts the clicks on every URL of the mail, and the opens of HTML mails. The links then lead over this site."
        ),
    )

    def __init__(self, *args: Any, story: Story, **kwargs: Any) -> None:
        template = story.template if story.template_id else MailTemplate(form=MailForm.TEXT)
        super().__init__(*args, instance=template, **kwargs)
        self.story = story
        self.initial |= {
            "story_name": story.name,
            "measure": story.count_clicks if story.pk else True,
            "seen_at": story.updated_at.isoformat() if story.pk else "",
        }

    def clean_story_name(self) -> str:
        name = " ".join(str(self.cleaned_data["story_name"]).replace("\0", "").split())
        if not name:
            raise ValidationError(_("Give the story a name."))
        return name

    def clean_seen_at(self) -> Any:
        text = self.cleaned_data["seen_at"]
        try:
            return parse_datetime(text) if text else None
        except ValueError:
            raise ValidationError(_("Open the story again.")) from None

    def clean(self) -> dict[str, Any]:
        """What cannot be merged is not saved; what is only missing is said on the story's page."""
        cleaned = super().clean() or {}
        written = {field: cleaned.get(field) or "" for field in self._meta.fields}
        # The sender is the magazine's and judged there.
        template = MailTemplate(from_address="info@example.jp", **written)
        for problem in writing_errors(template, field_names(self.story.magazine_id)):
            if problem.field in self.fields and problem.field not in self.errors:
                self.add_error(problem.field, problem.text)
        return cleaned

    def values(self) -> dict[str, Any]:
        """Of the story, from cleaned data."""
        measure = self.cleaned_data["measure"]
        return {
            "name": self.cleaned_data["story_name"],
            "count_clicks": measure,
            "count_opens": measure,
        }

    def content(self) -> dict[str, Any]:
        """Of its template, from cleaned data."""
        return {field: self.cleaned_data[field] for field in self._meta.fields}


def _clock(label: Any, **kwargs: Any) -> forms.TimeField:
    return forms.TimeField(
        label=label,
        widget=forms.TimeInput(attrs={"type": "time", "class": "short"}, format="%H:%M"),
        **kwargs,
    )


def _number(label: Any, largest: int) -> forms.IntegerField:
    box = forms.NumberInput(attrs={"class": "short", "inputmode": "numeric", "aria-label": label})
    return forms.IntegerField(label=label, min_value=0, max_value=largest, required=False, widget=box)


class _StepTimeChoice(Revealing, forms.RadioSelect):
    shows = {"at": "at_time_box"}


class StepTimingForm(forms.Form):
    """「登録から3日後の10:00」「前のストーリーの7日後」."""

    base = forms.ChoiceField(
        label=gettext_lazy("Counted from"),
        choices=[
            (StepBase.REGISTRATION.value, gettext_lazy("The registration of the reader")),
            (StepBase.PREVIOUS.value, gettext_lazy("The start of the previous story")),
        ],
        widget=forms.RadioSelect,
        initial=StepBase.REGISTRATION.value,
    )
    wait_days = _number(gettext_lazy("Days"), WAIT_DAYS_MAX)
    wait_hours = _number(gettext_lazy("Hours"), 23)
    time_of_day = forms.ChoiceField(
        label=gettext_lazy("Time of day"),
        choices=[
            ("any", gettext_lazy("As soon as that much time has passed")),
            ("at", gettext_lazy("At a fixed time of that day")),
        ],
        widget=_StepTimeChoice,
        initial="at",
    )
    at_time = _clock(gettext_lazy("Time (Japan)"), required=False, initial=datetime.time(10))

    def __init__(self, *args: Any, story: Story, first: bool = False, **kwargs: Any) -> None:
        if story.pk:
            kwargs["initial"] = {
                "base": story.base,
                "wait_days": story.wait_days,
                "wait_hours": story.wait_hours,
                "time_of_day": "at" if story.at_time else "any",
                "at_time": story.at_time or datetime.time(10),
            } | kwargs.get("initial", {})
        else:
            previous = StepBase.REGISTRATION if first else StepBase.PREVIOUS
            kwargs["initial"] = {
                "base": previous.value,
                "wait_days": 0 if first else 7,
                "wait_hours": 0,
            } | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("time_of_day") == "at" and not values.get("at_time") and "at_time" not in self.errors:
            self.add_error("at_time", _("Enter the time of day."))
        return values

    def values(self) -> dict[str, Any]:

        clean = self.cleaned_data
        fixed = clean["time_of_day"] == "at"
        return {
            "base": clean["base"],
            "wait_days": clean["wait_days"] or 0,
            "wait_hours": clean["wait_hours"] or 0,
            "at_time": clean["at_time"] if fixed else None,
        }


WEEKDAYS = [
    (0, pgettext_lazy("weekday", "Mon")),
    (1, pgettext_lazy("weekday", "Tue")),
    (2, pgettext_lazy("weekday", "Wed")),
    (3, pgettext_lazy("weekday", "Thu")),
    (4, pgettext_lazy("weekday", "Fri")),
    (5, pgettext_lazy("weekday", "Sat")),
    (6, pgettext_lazy("weekday", "Sun")),
]


class _RuleChoice(Revealing, forms.RadioSelect):
    shows = {
        LoopRule.MONTHLY.value: "rule_monthly",
        LoopRule.WEEKLY.value: "rule_weekly",
        LoopRule.YEARLY.value: "rule_date",
        LoopRule.ON_DATE.value: "rule_date",
    }


class LoopTimingForm(forms.Form):
    """「毎月15日」「毎月末日」「曜日」「毎年の誕生日など」「日付項目の n日前」, and the time of day."""

    rule = forms.ChoiceField(
        label=gettext_lazy("When"),
        choices=LoopRule.choices,
        widget=_RuleChoice,
        initial=LoopRule.MONTHLY.value,
    )
    day_of_month = forms.IntegerField(
        label=gettext_lazy("Day of the month"),
        min_value=1,
        max_value=31,
        required=False,
        initial=15,
        widget=forms.NumberInput(attrs={"class": "short"}),
        help_text=gettext_lazy("A month that has no such day: its last day."),
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Days of the week"),
        choices=WEEKDAYS,
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    skip_holidays = forms.BooleanField(
        label=gettext_lazy("Not on Japanese holidays"),
        required=False,
        help_text=gettext_lazy("On a holiday nothing is sent; it is not made up for."),
    )
    date_item = forms.ModelChoiceField(
        label=gettext_lazy("Date of the reader"), queryset=ReaderItem.objects.none(), required=False
    )
    date_offset = forms.IntegerField(
        label=gettext_lazy("Days"),
        min_value=0,
        max_value=OFFSET_MAX,
        required=False,
        initial=0,
        widget=forms.NumberInput(attrs={"class": "short"}),
    )
    direction = forms.ChoiceField(
        label=gettext_lazy("Before or after"),
        choices=[
            ("before", pgettext_lazy("days", "days before")),
            ("after", pgettext_lazy("days", "days after")),
        ],
        required=False,
        initial="before",
    )
    at_time = _clock(gettext_lazy("Time (Japan)"), initial=datetime.time(10))

    def __init__(self, *args: Any, story: Story, **kwargs: Any) -> None:
        if story.pk:
            kwargs["initial"] = {
                "rule": story.rule or LoopRule.MONTHLY.value,
                "day_of_month": story.day_of_month or 15,
                "weekdays": story.weekdays,
                "skip_holidays": story.skip_holidays,
                "date_item": story.date_item_id,
                "date_offset": abs(story.date_offset),
                "direction": "after" if story.date_offset > 0 else "before",
                "at_time": story.at_time,
            } | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        dates = ReaderItem.objects.filter(magazine_id=story.magazine_id, type=ReaderItem.Type.DATE)
        self.fields["date_item"].queryset = dates.filter(retired_at=None)
        self.has_dates = bool(dates.filter(retired_at=None).exists())
        self.fields["date_item"].empty_label = _("Choose a date item")
        if not self.has_dates:
            of_readers = {LoopRule.YEARLY.value, LoopRule.ON_DATE.value}
            self.fields["rule"].choices = [
                choice for choice in LoopRule.choices if choice[0] not in of_readers
            ]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        rule = values.get("rule")
        if rule == LoopRule.MONTHLY and not values.get("day_of_month") and "day_of_month" not in self.errors:
            self.add_error("day_of_month", _("Enter the day of the month."))
        if rule == LoopRule.WEEKLY and not values.get("weekdays") and "weekdays" not in self.errors:
            self.add_error("weekdays", _("Tick at least one day of the week."))
        by_date = rule in {LoopRule.YEARLY, LoopRule.ON_DATE}
        if by_date and not values.get("date_item") and "date_item" not in self.errors:
            self.add_error("date_item", _("Choose the date item it goes by."))
        return values

    def values(self) -> dict[str, Any]:
        """Fields of the story; those that the rule does not use are emptied."""
        clean = self.cleaned_data
        rule = clean["rule"]
        by_date = rule in {LoopRule.YEARLY, LoopRule.ON_DATE}
        days = clean["date_offset"] or 0
        return {
            "rule": rule,
            "day_of_month": clean["day_of_month"] if rule == LoopRule.MONTHLY else None,
            "weekdays": sorted(clean["weekdays"]) if rule == LoopRule.WEEKLY else [],
            "skip_holidays": clean["skip_holidays"] and rule == LoopRule.WEEKLY,
            "date_item": clean["date_item"] if by_date else None,
            "date_offset": (days if clean["direction"] == "after" else -days) if by_date else 0,
            "at_time": clean["at_time"],
        }


class ReserveForm(forms.Form):
    """「予約」: the day and time of an extra issue."""

    date = forms.DateField(
        label=gettext_lazy("Date"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    time = _clock(gettext_lazy("Time (Japan)"))

    def __init__(self, *args: Any, now: datetime.datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("date") and values.get("time") and self.at <= self.now:
            self.add_error("date", _("This time is over. Choose a time in the future."))
        return values

    @property
    def at(self) -> datetime.datetime:
        day, clock = self.cleaned_data["date"], self.cleaned_data["time"]
        return timezone.make_aware(datetime.datetime.combine(day, clock))
