"""As workflow.py, with a stage of one second and a stage of two seconds that has two consumers; one HALT ends all."""

import logging
import os
import time

from proj.messaging import Consumer, Worker, launch

DOT_S = float(os.environ.get("PROJ_DOT_SECONDS", "1"))


def say(line: str) -> None:
    """Print a line at a time: three threads print."""
    print(line + "\n", end="", flush=True)


class ToUpper(Worker):
    """Takes a second for each message."""

    def work(self, message: str) -> None:
        """Publish one message in capital letters."""
        say(f"{self.name}: {message}")
        time.sleep(DOT_S)
        self.write(message.upper())


class Printer(Consumer):
    """Takes two seconds for each message."""

    def work(self, message: str) -> None:
        """Print one message."""
        time.sleep(2 * DOT_S)
        say(f"{self.name}: {message}")


logging.basicConfig(level=logging.INFO, format="%(message)s")
launch(Printer("P1", "upper"), Printer("P2", "upper"), ToUpper("T1", "my_queue", "upper"))
