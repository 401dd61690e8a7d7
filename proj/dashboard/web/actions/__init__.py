"""What the buttons of the page do: to queues, to workers, to dead letters and to tasks that failed."""
