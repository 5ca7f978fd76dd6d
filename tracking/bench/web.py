"""What gunicorn serves in `bench track`: the product as it is, with the bench's own database and stream."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")
application = get_wsgi_application()

from django.db import connection  # noqa: E402 (Django first)

from tracking import stream  # noqa: E402
from tracking.spool import start_keeper  # noqa: E402

connection.settings_dict["NAME"] = os.environ[
    "SMP_BENCH_DATABASE"
]  # of every thread: they share this dictionary
stream.KEY = os.environ["SMP_BENCH_STREAM"]
stream.LIFE_KEY = stream.KEY + ":life"
start_keeper()
