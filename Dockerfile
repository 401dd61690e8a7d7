# The application with Flower, for docker-compose.yml.
FROM python:3.13-slim

COPY . /source
RUN pip install --no-cache-dir "/source[dashboard]" \
    && rm -rf /source \
    && useradd --create-home --uid 1000 proj

USER proj
WORKDIR /home/proj
CMD ["celery", "-A", "proj", "worker", "--loglevel", "INFO"]
