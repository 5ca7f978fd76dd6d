"""What gunicorn serves: `gunicorn smp.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")
application = get_wsgi_application()

from tracking.spool import start_keeper  # noqa: E402 (Django first)

start_keeper()
