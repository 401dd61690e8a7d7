"""The consumer of a worker: it receives and inspects every message, and runs, moves or dead-letters it."""
