"""TRK-4: which rules tell people from machines, in words. The same for everybody; reads nothing."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from settings.permissions import both_modes, needs_login
from tracking.judge import CLICK, MACHINE, OPEN, RULES, RULES_VERSION, VIEW


@needs_login
@both_modes
@require_safe
def hit_rules(request: HttpRequest) -> HttpResponse:
    rows = [
        {"code": rule.code, "text": rule.text, "open": OPEN in rule.kinds, "click": CLICK in rule.kinds, "view": VIEW in rule.kinds}
        | {"machine": rule.verdict == MACHINE}
        for rule in RULES
    ]  # fmt: skip
    machine = [row for row in rows if row["machine"]]
    remarks = [row for row in rows if not row["machine"]]
    return render(
        request,
        "tracking/hit_rules.html",
        {"machine": machine, "remarks": remarks, "version": RULES_VERSION},
    )
