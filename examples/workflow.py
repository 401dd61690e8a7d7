"""Two stages in threads of one process, my_queue -> ToUpper -> upper -> Printer; one HALT ends both."""

import logging

from proj.messaging import Consumer, Worker, launch


class ToUpper(Worker):
    """Publishes each message in capital letters to the next queue."""

    def work(self, message: str) -> None:
        """Publish one message in capital letters."""
        self.write(message.upper())


class Printer(Consumer):
    """Prints each message."""

    def work(self, message: str) -> None:
        """Print one message."""
        print(message)


logging.basicConfig(level=logging.INFO, format="%(message)s")
launch(Printer("Printer", "upper"), ToUpper("ToUpper", "my_queue", "upper"))
