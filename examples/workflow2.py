"""The same with stages of one second and of two, of which the slow one has two consumers; still one HALT ends all."""

import logging
import os
import time

from proj.messaging import Consumer, Worker, launch

DOT_S = float(os.environ.get("PROJ_DOT_SECONDS", "1"))


class ToUpper(Worker):
    """Takes a second for each message."""

    def work(self, message: str) -> None:
        """Write one in capital letters."""
        print(f"{self.name}: {message}")
        time.sleep(DOT_S)
        self.write(message.upper())


class Printer(Consumer):
    """Takes two seconds for each message."""

    def work(self, message: str) -> None:
        """Print one."""
        time.sleep(2 * DOT_S)
        print(f"{self.name}: {message}")


logging.basicConfig(level=logging.INFO, format="%(message)s")
launch(Printer("P1", "upper"), Printer("P2", "upper"), ToUpper("T1", "my_queue", "upper"))
