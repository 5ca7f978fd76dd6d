"""Mail that comes back: signed address → delivery, report → result. The door is `receive.receive`."""
