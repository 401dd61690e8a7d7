"""A process of someone's own with a worker of one queue in a thread; SIGUSR2 begins another one."""

from __future__ import annotations

import sys

from alerts.app import app
from proj.lab.drills.system.embedded import run_workers


def main() -> None:
    """Run one worker after the other until the process is killed."""
    node, queue = sys.argv[1:]
    run_workers(app, hostname=node, concurrency=1, queues=[queue])


if __name__ == "__main__":
    main()
