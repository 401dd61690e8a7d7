"""Tasks of a Django app; `autodiscover_tasks` finds them."""

import time

from celery import shared_task


@shared_task
def write(number: int, seconds: float = 1.0) -> str:
    """Work for some seconds."""
    time.sleep(seconds)  # this is the work
    return f"letter {number}"


@shared_task
def collect() -> None:
    """Run as often as the schedule in the database says."""
