# Both planes: the command is `gateway`, `control_plane serve`, `control_plane worker` or `control_plane migrate`.
# Built from the root of the repository by `make images`. Runs on any architecture.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
COPY requirements/gateway.txt requirements/sbom.txt /tmp/
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes --requirement /tmp/gateway.txt \
    && /opt/venv/bin/pip uninstall --yes --quiet pip setuptools \
    && python3 -m venv /tmp/sbom \
    && /tmp/sbom/bin/pip install --no-deps --require-hashes --requirement /tmp/sbom.txt \
    && /tmp/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/venv/sbom.cdx.json /opt/venv \
    && python3 -m compileall -q /opt/venv

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# Locked packages, with a software bill of materials in /opt/venv/sbom.cdx.json.
COPY --from=packages /opt/venv /opt/venv
COPY LICENSE /opt/wanneng/
COPY gateway /opt/wanneng/gateway
COPY control_plane /opt/wanneng/control_plane
COPY logs /opt/wanneng/logs
COPY stores /opt/wanneng/stores
COPY web /opt/wanneng/web
# Mount point of a volume for SQLite. A new volume inherits the owner.
RUN chmod --recursive a+rX /opt/wanneng && python3 -m compileall -q /opt/wanneng \
    && install --directory --owner=65532 --group=65532 /state
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/wanneng PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WANNENG_HOST=0.0.0.0 WANNENG_CONTROL_PLANE_HOST=0.0.0.0 WANNENG_DRAIN_S=5
WORKDIR /opt/wanneng
USER 65532:65532
EXPOSE 8080 8081
# Python runs as PID 1 and handles SIGTERM.
ENTRYPOINT ["python3", "-m"]
CMD ["gateway"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080/livez', timeout=2)"]
# Last, so that builds of other commits reuse the layers.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wanneng gateway" \
      org.opencontainers.image.description="Multi-tenant zero-shot classification: gateway and control plane" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
