"""The one settings module. Everything that differs between machines is read from the environment (.env.example)."""

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from smp.lib.database_url import parse_database_url
from smp.lib.env import ConfigurationError, env_bool, env_int, env_list, env_str

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env_bool("SMP_DEBUG", False)
# Development (demo, tests) may run without a secret of its own; production may not.
DEVELOPMENT = env_bool("SMP_DEVELOPMENT", False)
_DEVELOPMENT_SECRET = "development-only-secret-never-use-this-in-production"
SECRET_KEY = env_str("SMP_SECRET_KEY", _DEVELOPMENT_SECRET if DEVELOPMENT else None)
if not DEVELOPMENT and (SECRET_KEY == _DEVELOPMENT_SECRET or len(SECRET_KEY) < 32):
    raise ConfigurationError("SMP_SECRET_KEY: at least 32 random characters are needed (see .env.example).")
# Former keys, newest first: what they signed (links in mails, sessions) and encrypted is still read, nothing new is made.
SECRET_KEY_FALLBACKS = env_list("SMP_SECRET_KEY_FALLBACKS")
if any(len(key) < 32 for key in SECRET_KEY_FALLBACKS):
    raise ConfigurationError(
        "SMP_SECRET_KEY_FALLBACKS: former keys, separated by commas; one of them is too short."
    )

# Where people reach the product: links in mails are made from it.
BASE_URL = env_str("SMP_BASE_URL", "http://127.0.0.1:8000" if DEVELOPMENT else None).rstrip("/")
ALLOWED_HOSTS = env_list("SMP_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver" if DEVELOPMENT else "")
CSRF_TRUSTED_ORIGINS = env_list("SMP_CSRF_TRUSTED_ORIGINS")
_HTTPS = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 12
SECURE_SSL_REDIRECT = _HTTPS and env_bool("SMP_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^health/$"]  # asked by the container itself, without TLS
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
BEHIND_PROXY = env_bool("SMP_BEHIND_PROXY", False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"
CSRF_FAILURE_VIEW = "smp.error_pages.csrf_failure"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",  # its widget templates, for FORM_RENDERER
    "django_filters",
    "django_htmx",
    "template_partials",
    "axes",
    "ninja",  # the page that shows the API's description
    "settings",
    "leads",
    "campaigns",
    "mail",
    "tracking",
    "smp",
]
MIDDLEWARE = [
    "tracking.door.Door",  # links and pixels of mails are answered here, before everything else
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "smp.lib.security_headers.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "settings.language.UserLanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "settings.permissions.LoginRequiredMiddleware",
    "campaigns.mode.CampaignMode",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "smp.urls"
WSGI_APPLICATION = "smp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "smp.navigation.navigation",
            ],
            "builtins": ["smp.templatetags.look"],
        },
    }
]
FORM_RENDERER = "smp.forms.LookFormRenderer"

DATABASES = {"default": parse_database_url(env_str("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env_str("REDIS_URL")
if not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ConfigurationError("REDIS_URL: expected redis://host:6379/0 (or rediss://, unix://).")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "smp",
        # A Redis that hangs must not hold the pages that ask it.
        "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# Celery messages are hints that carry ids (docs/architecture.md, "the sending promise").
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "smp"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "direct"  # Redis drops later publishes of topic exchanges after a flush
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TIMEZONE = "Asia/Tokyo"
CELERY_BEAT_SCHEDULE = {
    "tick": {"task": "mail.tasks.tick", "schedule": 2.0, "options": {"expires": 10}},
    "flush-hits": {"task": "tracking.tasks.flush_hits", "schedule": 2.0, "options": {"expires": 10}},
    "forget-views": {"task": "tracking.tasks.forget_views", "schedule": 3600.0, "options": {"expires": 3600}},
    "check-sending-domains": {
        "task": "mail.tasks.check_sending_domains",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
}

AUTH_USER_MODEL = "settings.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "settings/locked_out.html"
AXES_ENABLE_ADMIN = False
AXES_CLIENT_IP_CALLABLE = "smp.lib.client_ip.client_ip"
SILENCED_SYSTEM_CHECKS = ["axes.W006"]

LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
LANGUAGE_COOKIE_NAME = "language"
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEVELOPMENT
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEVELOPMENT
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# Files that hold opens, clicks and page views of this host until they are stored (tracking/spool.py).
SPOOL_FOLDER = env_str(
    "SMP_SPOOL",
    str(Path(env_str("SMP_DATA", str(BASE_DIR / ".data"))) / "spool")
    if DEVELOPMENT
    else "/var/lib/smp/spool",
)

# Mail: our own domain, that of the envelope sender, and the way out: a relay (host:port) or, without one, straight to
# the receivers' MX. SMP_DNS and SMP_SMTP_PORT lead the MX way to servers of a test's own.
MAIL_DOMAIN = env_str("SMP_MAIL_DOMAIN", "smp.example" if DEVELOPMENT else None)
BOUNCE_DOMAIN = env_str("SMP_BOUNCE_DOMAIN", f"bounce.{MAIL_DOMAIN}")
RELAY = env_str("SMP_RELAY", "127.0.0.1:2525" if DEVELOPMENT else "")
if RELAY and (not RELAY.rpartition(":")[0] or not RELAY.rpartition(":")[2].isdigit()):
    raise ConfigurationError(f"SMP_RELAY={RELAY!r}: expected host:port, or nothing for the receivers' MX.")
DNS_SERVER = env_str("SMP_DNS", "")  # host:port; "" = the system's resolvers
if DNS_SERVER and (not DNS_SERVER.rpartition(":")[0] or not DNS_SERVER.rpartition(":")[2].isdigit()):
    raise ConfigurationError(
        f"SMP_DNS={DNS_SERVER!r}: expected an IP address and a port (127.0.0.1:53), or nothing for the system's."
    )
SMTP_PORT = env_int("SMP_SMTP_PORT", 25)  # of the receivers' MX
ALLOW_PRIVATE_MX = env_bool("SMP_ALLOW_PRIVATE_MX", False)  # tests: MX hosts on loopback or private addresses
# RATE-5: refuse advertising whose From domain aligns with nothing. Without a DNS there is nothing to go by.
REQUIRE_ALIGNMENT = env_bool("SMP_REQUIRE_ALIGNMENT", not DEVELOPMENT or bool(DNS_SERVER))
RELAY_STARTTLS = env_bool("SMP_RELAY_STARTTLS", True)  # used when the relay offers it
INTAKE_LISTEN = env_str("SMP_INTAKE_LISTEN", "127.0.0.1:2526")
# A mailbox that bounces are fetched from: imaps://user@host/INBOX ("" = none), its password, seconds between two looks.
BOUNCE_IMAP = env_str("SMP_BOUNCE_IMAP", "")
BOUNCE_IMAP_PASSWORD = env_str("SMP_BOUNCE_IMAP_PASSWORD", "")
BOUNCE_IMAP_SECONDS = max(1, env_int("SMP_BOUNCE_IMAP_SECONDS", 60))
SMTP_TIMEOUT = env_int("SMP_SMTP_TIMEOUT", 120)  # seconds for everything up to the final dot
SMTP_DOT_TIMEOUT = env_int("SMP_SMTP_DOT_TIMEOUT", 600)  # RFC 5321 4.5.3.2.6
# Demo inbox: web pages of what the local SMTP server received; off in production.
DEMO_INBOX_FOLDER = env_str("SMP_DEMO_INBOX", "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("SMP_LOG_LEVEL", "WARNING")},
}
