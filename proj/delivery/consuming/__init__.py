"""The consumer of a worker: it receives, inspects, runs or dead-letters every message."""
