"""Django's settings, and those of Celery with the prefix CELERY_."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "for this example alone"  # noqa: S105 nothing is signed with it
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_beat", "django_celery_results", "letters"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # Workers write results at the same time. One that finds the file locked waits up to 30 seconds.
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}

# The broker is CELERY_BROKER_URL in the environment.
CELERY_TASK_DEFAULT_QUEUE = "letters"
CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"
CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "topic"
# With early acknowledgement a killed worker's tasks are lost.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Events, for the dashboard and for `journal record`.
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
# django-celery-results: each result is a row of the table TaskResult.
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
# django-celery-beat: the schedule is in the database. It begins with this.
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {"empty the letter box": {"task": "letters.tasks.collect", "schedule": 2.0}}
