# Triton with wanneng's models, for CPUs (`--target cpu`) and GPUs (`--target gpu`). Engines come from a volume; only
# the CPU image includes the small embedded one. Built from the root of the repository by `make images`.
ARG CPU_BASE=docker.io/library/debian:bookworm-slim
# 26.04 or newer: in earlier versions an ensemble hangs when the queue of one of its steps is full.
ARG GPU_BASE=nvcr.io/nvidia/tritonserver:26.04-py3

FROM ${CPU_BASE} AS cpu-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
COPY requirements/triton.txt requirements/sbom.txt /tmp/
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes --requirement /tmp/triton.txt \
    && /opt/venv/bin/pip uninstall --yes --quiet pip setuptools \
    && python3 -m venv /tmp/sbom \
    && /tmp/sbom/bin/pip install --no-deps --require-hashes --requirement /tmp/sbom.txt \
    && /tmp/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/venv/sbom.cdx.json /opt/venv \
    && python3 -m compileall -q /opt/venv \
    && chmod --recursive a+rX /opt/venv

# The server from the `nvidia-pytriton` wheel, with ONNX Runtime and OpenVINO in a Python model: for laptops, CI and
# CPU clusters.
FROM ${CPU_BASE} AS cpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 libpython3.11 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=cpu-packages /opt/venv /opt/venv
COPY LICENSE /opt/wanneng/
COPY model_repository /opt/wanneng/model_repository
COPY python_backend /opt/wanneng/python_backend
COPY engine /opt/wanneng/engine
COPY logs /opt/wanneng/logs
COPY wanneng /opt/wanneng/wanneng
ARG EMBEDDED=embedded
COPY ${EMBEDDED} /opt/wanneng/embedded
RUN chmod --recursive a+rX /opt/wanneng && python3 -m compileall -q /opt/wanneng
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/wanneng PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WANNENG_TRITON_HOST=0.0.0.0 WANNENG_STATE_DIR=/tmp/wanneng WANNENG_MODEL_CONFIG_NAME=local
WORKDIR /opt/wanneng
USER 65532:65532
EXPOSE 8000 8001 8002
# PID 1 forwards SIGTERM to tritonserver, and writes its output in the common log format.
ENTRYPOINT ["python3", "-m", "wanneng"]
CMD ["triton"]
HEALTHCHECK --interval=15s --timeout=12s --start-period=120s CMD ["python3", "-m", "wanneng.serve.probe"]
# Last, so that builds of other commits reuse the layers.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wanneng triton (CPU)" \
      org.opencontainers.image.description="NVIDIA Triton with a zero-shot classifier, ONNX Runtime and OpenVINO on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# NVIDIA's Triton image, with the TensorRT and ONNX Runtime backends and TensorRT's builder. Requires x86-64.
FROM ${GPU_BASE} AS gpu
COPY requirements/plans.txt requirements/sbom.txt /tmp/
# With access to the system packages, which include TensorRT; the software bill of materials lists those too.
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/plans.txt \
    && python3 -m venv /tmp/sbom \
    && /tmp/sbom/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/sbom.txt \
    && /tmp/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/venv/sbom.cdx.json /opt/venv \
    && rm -rf /tmp/sbom \
    && chmod --recursive a+rX /opt/venv
COPY LICENSE /opt/wanneng/
COPY model_repository /opt/wanneng/model_repository
COPY python_backend /opt/wanneng/python_backend
COPY engine /opt/wanneng/engine
COPY logs /opt/wanneng/logs
COPY wanneng /opt/wanneng/wanneng
RUN chmod --recursive a+rX /opt/wanneng
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/wanneng PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WANNENG_TRITON_HOST=0.0.0.0 WANNENG_STATE_DIR=/tmp/wanneng WANNENG_MODEL_CONFIG_NAME=onnx-cuda
WORKDIR /opt/wanneng
USER 65532:65532
EXPOSE 8000 8001 8002
ENTRYPOINT ["python3", "-m", "wanneng"]
CMD ["triton"]
HEALTHCHECK --interval=15s --timeout=12s --start-period=600s CMD ["python3", "-m", "wanneng.serve.probe"]
# Last, so that builds of other commits reuse the layers.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wanneng triton (GPU)" \
      org.opencontainers.image.description="NVIDIA Triton with a zero-shot classifier, TensorRT and ONNX Runtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
