"""The shop's app, with the two lines that the README tells to add."""

from celery import Celery

from proj.delivery.install import install

app = Celery("shop", include=["shop.tasks"])
app.config_from_object("celeryconfig")
install(app)
