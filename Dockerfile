# The image of the worker, the API and the migrations: the runtime dependencies of requirements.lock
# and the packages that run. Development extras and devstack stay out.

FROM python:3.13-slim AS dependencies
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /build
COPY pyproject.toml requirements.lock ./
# What to install comes from pyproject.toml, versions and hashes from the lock: a package that the
# lock lacks, or a file with another hash, fails the build.
RUN python -m venv --without-pip /venv \
    && uv pip install --no-cache --compile-bytecode --python /venv/bin/python \
        --require-hashes --constraints requirements.lock --requirements pyproject.toml

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin app
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
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
# The API's APP_PORT and a worker's METRICS_PORT.
EXPOSE 3000 9400
CMD ["python", "-m", "ingest_worker"]
