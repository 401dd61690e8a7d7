"""Building the messages of tasks in the place of Celery, where they are the same but for their id and arguments."""
