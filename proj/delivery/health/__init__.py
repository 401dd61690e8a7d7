"""The health of workers: alive, consuming, progressing."""
