"""The shop's eight tasks."""

import os
from pathlib import Path

from celery import shared_task

from proj.lab.processes.waiting import wait_until


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
    """Last until there is the file, where the environment names one."""
    if file := os.environ.get("THUMBNAILS_END_WITH"):
        wait_until(Path(file).exists, what=file, timeout_s=120)
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
