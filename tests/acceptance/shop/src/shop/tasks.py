"""The shop's eight tasks."""

import time

from celery import shared_task

#: Seconds of work.
THUMBNAIL_S = 2.0


@shared_task
def order(number):
    """Send further tasks from within a task."""
    (invoice.s(number) | mail.s()).delay()
    thumbnail.delay(number)
    return number


@shared_task
def invoice(number):
    return f"invoice {number}"


@shared_task
def mail(text):
    return f"sent {text}"


@shared_task
def newsletter():
    """Wait in the broker until it is due."""
    return "sent"


@shared_task
def thumbnail(number):
    time.sleep(THUMBNAIL_S)  # the work itself, of a known length
    return number


@shared_task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=False, default_retry_delay=0)
def refund(self, number):
    """Succeed at the second attempt."""
    if not self.request.retries:
        raise ConnectionError("the bank does not answer")
    return number


@shared_task(ignore_result=True)
def count(number):
    """Have no result."""


@shared_task
def tidy():
    """Run each second, by the clock."""
