"""Dot-weighted work over RabbitMQ with Celery, and the instruments that show who did what."""
