"""Two stages in threads of one process, my_queue -> ToUpper -> upper -> Printer, both ended by one HALT."""

import logging

from proj.messaging import Consumer, Worker, launch


class ToUpper(Worker):
    """Writes each message in capital letters to the next queue."""

    def work(self, message: str) -> None:
        """Write one."""
        self.write(message.upper())


class Printer(Consumer):
    """Prints each message."""

    def work(self, message: str) -> None:
        """Print one."""
        print(message)


logging.basicConfig(level=logging.INFO, format="%(message)s")
launch(Printer("Printer", "upper"), ToUpper("ToUpper", "my_queue", "upper"))
