"""What `celery -A anyapp flower` runs when it is started in this folder: the Dispatch page, without our command."""

from proj.dashboard.install import install_or_warn

install_or_warn()
