# The API and engine image: `exchange serve` as an unprivileged user.
# Build from the repository root: docker build -f docker/api.Dockerfile -t exchange/api:v0.1.0 .
ARG PYTHON_VERSION=3.11

# The full image carries the C compiler that the Cython engine needs; nothing of this stage but the environment is kept.
FROM python:${PYTHON_VERSION}-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# Dependencies first: this layer is rebuilt only when a lock changes. Every download is checked against its hash.
COPY docker/build-requirements.lock requirements.lock ./
RUN pip install --require-hashes --requirement build-requirements.lock \
    && python -m venv /opt/exchange \
    && /opt/exchange/bin/pip install --require-hashes --only-binary :all: --requirement requirements.lock

# The bracket makes setup.py optional to COPY.
COPY pyproject.toml README.md setup.p[y] ./
COPY engine engine
COPY backend backend
RUN pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /opt/exchange/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/exchange/bin/python -c "import exchange, engine" \
    && /opt/exchange/bin/pip uninstall --yes pip

FROM python:${PYTHON_VERSION}-slim-bookworm
# Numeric ids, so that Kubernetes can prove runAsNonRoot without looking into the image.
RUN groupadd --system --gid 10001 exchange \
    && useradd --system --uid 10001 --gid exchange --home-dir /var/lib/exchange --create-home exchange
COPY --from=build /opt/exchange /opt/exchange

# EXCHANGE_HOME and /tmp are the only places written to: mount both and the root file system can be read-only.
ENV PATH=/opt/exchange/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EXCHANGE_ENV=production \
    EXCHANGE_HOME=/var/lib/exchange \
    EXCHANGE_HOST=0.0.0.0 \
    EXCHANGE_PORT=8080
VOLUME ["/var/lib/exchange"]
WORKDIR /var/lib/exchange
USER 10001:10001
EXPOSE 8080

# Alive, not ready: a standby that waits for the lease is a healthy container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['EXCHANGE_PORT'] + '/livez', timeout=2)"]
CMD ["exchange", "serve"]
