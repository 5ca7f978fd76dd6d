"""What happened to one mail on its way, for its page. A mail taken at its first attempt has no event of its own, because
its row says it all; here the line is made from the row."""

from mail.models.delivery import Delivery, DeliveryEvent, DeliveryState


def story(delivery: Delivery) -> list[DeliveryEvent]:
    """The events in their order, with the acceptance where none was written. One query."""
    events = list(delivery.events.all())
    if delivery.sent_at is None or any(event.what == DeliveryState.SENT for event in events):
        return events
    if delivery.state == DeliveryState.SENT and delivery.result_at is not None:
        accepted = DeliveryEvent(
            delivery=delivery, at=delivery.result_at, what=DeliveryState.SENT, code=delivery.code,
            enhanced_status=delivery.enhanced_status, text=delivery.reply,
        )  # fmt: skip
    elif any(event.what == "bounced" for event in events):  # its row tells of the report by now
        accepted = DeliveryEvent(delivery=delivery, at=delivery.sent_at, what=DeliveryState.SENT)
    else:
        return events
    return sorted([accepted, *events], key=lambda event: event.at)
