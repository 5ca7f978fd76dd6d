"""The cards and quick actions of the home page. Apps register theirs in AppConfig.ready(); none knows the others."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise

from smp.lib.mode import BLUE
from smp.lib.navigation import visible

Text = str | Promise


@dataclass(frozen=True)
class Card:
    """`context(request, now)` gives what `template` shows, or None when the card has nothing to say now.

    `wide` cards stand on top over the whole width (what runs, what needs somebody); the others share a grid.
    """

    key: str
    template: str
    context: Callable[[HttpRequest, datetime], dict[str, Any] | None]
    position: int = 50
    wide: bool = False
    level: str = "may_view"
    modes: Collection[str] = BLUE
    everyone: bool = False


@dataclass(frozen=True)
class QuickAction:
    label: Text
    url_name: str
    position: int = 50
    level: str = "may_edit"
    modes: Collection[str] = BLUE
    everyone: bool = False


CARDS: dict[str, Card] = {}
QUICK_ACTIONS: dict[str, QuickAction] = {}


def register_card(card: Card) -> None:
    CARDS[card.key] = card


def register_quick_action(action: QuickAction) -> None:
    QUICK_ACTIONS[action.url_name] = action


def cards_for(user: object, campaign_id: int | None = None) -> list[Card]:
    allowed = [card for card in CARDS.values() if visible(user, card, campaign_id)]
    return sorted(allowed, key=lambda card: card.position)


def quick_actions_for(user: object, campaign_id: int | None = None) -> list[QuickAction]:
    allowed = [action for action in QUICK_ACTIONS.values() if visible(user, action, campaign_id)]
    return sorted(allowed, key=lambda action: action.position)
