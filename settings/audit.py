"""SYS-2: the audit log. One function writes it; the words it is read with are registered by the apps."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise

from settings.models import AuditEntry, User

Text = str | Promise


def record(
    action: str,
    *,
    user: User | None,
    target: Model | None = None,
    target_label: str = "",
    detail: dict[str, Any] | None = None,
    ip: str | None = None,
    campaign_id: int | None = None,
) -> AuditEntry:
    """Writes who did what to whom. `action` is `noun.verb` (lead.edit, job.stop, setting.change);
    `user` None means the system or a command; `detail` must be JSON: {"changes": {field: [before, after]}} and
    whatever else explains it; `campaign_id` is that of the mode it was done in (APP-1). Call it inside the change's transaction."""
    return AuditEntry.objects.create(
        action=action,
        user=user,
        user_name=str(user)[:150] if user else "system",
        target_type=(target._meta.model_name or "") if target is not None else "",
        target_id=str(target.pk)[:40] if target is not None else "",
        target_label=_storable(target_label or (str(target) if target is not None else ""))[:200],
        detail=_storable((detail or {}) | ({"campaign": campaign_id} if campaign_id is not None else {})),
        ip=ip,
    )


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # neither PostgreSQL's text nor its JSON can hold these


def _storable(value: Any) -> Any:
    """An entry quotes what people sent, filters of a list for example; nothing in it may keep it from being written."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return value


ModelClass = type[Model]


@dataclass(frozen=True)
class Target:
    """What is known of one kind of target: its word, its page (a URL name with the id as only argument), its model."""

    kind: str  # the model's name in lower case, as AuditEntry.target_type holds it
    label: Text
    url_name: str = ""
    model: ModelClass | None = None


ACTIONS: dict[str, Text] = {}
TARGETS: dict[str, Target] = {}
DETAILS: dict[str, Text] = {}  # words for the keys of `detail`
DETAIL_CHOICES: dict[str, dict[str, Text]] = {}  # and for their values
DETAIL_WORDS: dict[
    str, list[Callable[[str], str]]
] = {}  # or functions that say a value in the active language


def register_action(action: str, label: Text) -> None:
    """From AppConfig.ready(): `register_action("lead.edit", _("Lead edited"))`."""
    ACTIONS[action] = label


def register_target(target: Target) -> None:
    TARGETS[target.kind] = target


def register_detail(key: str, label: Text, choices: Iterable[tuple[str, Text]] = ()) -> None:
    """`choices`: the words of its values, as a TextChoices has them."""
    DETAILS[key] = label
    DETAIL_CHOICES[key] = dict(choices)


def register_words(key: str, words: Callable[[str], str]) -> None:
    """For values that are no fixed choices; what `words` does not know it gives back as it is."""
    DETAIL_WORDS.setdefault(key, []).append(words)


def said_in_words(key: str, value: str) -> str:
    for words in DETAIL_WORDS.get(key, ()):
        if (said := words(value)) != value:
            return said
    return value
