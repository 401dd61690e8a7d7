"""Send letters, as a view does: python manage.py send_letters 10."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.db import transaction

from letters.tasks import write


class Command(BaseCommand):
    """Publishes the tasks when the transaction is committed."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the number of letters, and the seconds that each takes."""
        parser.add_argument("letters", type=int)
        parser.add_argument("--seconds", type=float, default=1.0)

    def handle(self, *_: object, letters: int, seconds: float, **__: object) -> None:
        """Send them."""
        with transaction.atomic():
            for number in range(letters):
                write.delay_on_commit(number, seconds)
        self.stdout.write(f"{letters} letters are sent.")
