"""SYS-2: the words of 操作履歴 for tracking."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from settings.audit import register_action, register_detail
from tracking.report_mails import QUESTIONS


def register() -> None:
    register_action("hits.judge", _("Opens, clicks and page views judged anew"))
    register_detail("rules_version", _("Version of the rules"))
    register_detail("judged", pgettext_lazy("judged", "Judged"))
    register_detail("to_machine", _("Now a machine"))
    register_detail("to_person", _("Now a person"))
    register_detail("finished", pgettext_lazy("judged", "Done to the end"))
    register_detail("since", pgettext_lazy("judged", "What came since"))
    register_action("report.export", _("Open and click report exported"))
    questions = [(key, label) for key, (label, _sql) in QUESTIONS.items()]
    register_detail(
        "what",
        _("What"),
        [("report", _("Open and click report")), ("comparison", _("Comparison of mailings")), *questions],
    )
    register_detail("jobs", _("Mailing"))
    register_detail("name", _("Name"))
