"""Whether a mail that goes out by itself is switched ON for a campaign (「メール設定」, TKT-2). The answer stands in MailSettings,
above this app: mail registers who gives it. As long as nobody does, nothing goes out by itself."""

from collections.abc import Callable

from campaigns.events import Event
from campaigns.models import Campaign

Answer = Callable[[Event, Campaign], bool]

_answers: list[Answer] = []


def register_notices(answer: Answer) -> None:
    """From AppConfig.ready() of mail: `answer(event, campaign)` says ON or OFF."""
    _answers[:] = [answer]


def is_on(event: Event, campaign: Campaign) -> bool:
    return bool(_answers) and _answers[0](event, campaign)
