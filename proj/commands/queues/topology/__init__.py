"""`celery -A anyapp queues topology`: what must exist on the broker, and who may do what there."""
