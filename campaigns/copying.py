"""What else is copied with a campaign. Apps above add theirs in AppConfig.ready(): templates, mail settings …"""

from collections.abc import Callable
from datetime import datetime

from campaigns.models import Campaign
from settings.models import User

# copier(old, new, user, now): inside the copy's transaction; form, sessions and members are there already.
Copier = Callable[[Campaign, Campaign, User | None, datetime], None]
_COPIERS: list[Copier] = []


def register_copier(copier: Copier) -> None:
    if copier not in _COPIERS:
        _COPIERS.append(copier)


def run_copiers(old: Campaign, new: Campaign, user: User | None, now: datetime) -> None:
    for copier in _COPIERS:
        copier(old, new, user, now)
