"""Configuration of stock Flower: `celery -A anyapp flower`, started in this folder, gets the Dispatch page."""

from proj.dashboard.install import install_or_warn

install_or_warn()
