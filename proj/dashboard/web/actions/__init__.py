"""What the buttons of the page do: pausing and resuming queues, and requeuing, exporting and removing dead letters."""
