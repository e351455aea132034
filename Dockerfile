# syntax=docker/dockerfile:1
# The image of the gateway, its workers and operator, and of an edge's catalogue, kernels and Dask Gateway server.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --quiet "uv==0.13.*"
# What changes least comes first: the dependencies, as the lock file has them.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir gateway edges harvest quotas && touch gateway/__init__.py edges/__init__.py harvest/__init__.py quotas/__init__.py
RUN python -m venv --without-pip /opt/lakegate
RUN /opt/tools/bin/uv pip install --quiet --python /opt/lakegate/bin/python --constraints constraints.txt ".[edge,parquet]"
COPY gateway gateway
COPY edges edges
COPY harvest harvest
COPY quotas quotas
COPY image/sbom.py image/sbom.py
RUN /opt/tools/bin/uv pip install --quiet --python /opt/lakegate/bin/python --no-deps --reinstall-package lakegate .
RUN /opt/lakegate/bin/python image/sbom.py > /opt/lakegate/sbom.cdx.json
RUN /opt/lakegate/bin/lakegate --version

FROM python:${PYTHON}-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lakegate" \
      org.opencontainers.image.description="One address for many Earth-observation data lakes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/lakegate/lakegate" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 lakegate && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/lakegate --shell /usr/sbin/nologin lakegate && \
    install -d -o 10001 -g 10001 -m 0700 /var/lib/lakegate
COPY --from=build /opt/lakegate /opt/lakegate
ENV PATH=/opt/lakegate/bin:$PATH \
    HOME=/var/lib/lakegate \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LAKEGATE__SERVER__STATE=/var/lib/lakegate
USER 10001:10001
WORKDIR /var/lib/lakegate
VOLUME ["/var/lib/lakegate", "/tmp"]
EXPOSE 8400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8400/livez', timeout=2)"]
ENTRYPOINT ["lakegate"]
CMD ["serve", "--config", "/etc/lakegate/gateway.yaml", "--json"]
