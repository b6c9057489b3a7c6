# The image of the worker, the API and the migrations: the packages of runtime.lock and those of the
# project that run. Development extras and devstack stay out.

FROM python:3.13-slim AS python

FROM python AS dependencies
WORKDIR /build
COPY runtime.lock ./
# A file with another hash than the lock's fails the build.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement runtime.lock

FROM python
LABEL org.opencontainers.image.title="energy-ingestion-engine" \
      org.opencontainers.image.version="0.3.0.dev0" \
      org.opencontainers.image.licenses="Apache-2.0"
# /keys is where docker-compose.production.yml keeps the first key: a new volume takes its owner.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin app \
    && install --directory --owner app --group app --mode 700 /keys
COPY --from=dependencies /venv /venv
WORKDIR /app
# It says which version runs.
COPY pyproject.toml ./
COPY schemas ./schemas
COPY reporting ./reporting
COPY brokers ./brokers
COPY serving ./serving
COPY sql ./sql
COPY ingest_worker ./ingest_worker
COPY api ./api
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# All of it is root's: what runs can change none of it.
USER 10001:10001
# The API's APP_PORT and a worker's METRICS_PORT.
EXPOSE 3000 9400
CMD ["python", "-m", "ingest_worker"]
