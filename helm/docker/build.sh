#!/bin/sh
# Builds images with Docker or Podman: `build.sh NAME...`, where NAME is gateway, triton or triton-gpu. The engine in
# the folder EMBEDDED is the one that triton brings along.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "wanneng: $1" >&2
    exit 1
}

if [ -n "${CONTAINER_TOOL:-}" ]; then
    tool=$CONTAINER_TOOL
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    tool=docker
elif command -v podman >/dev/null; then
    tool=podman
else
    fail "neither Docker nor Podman is available; install one of them, or start the Docker daemon"
fi
# Podman keeps HEALTHCHECK in Docker's image format only.
format=
[ "$(basename "$tool")" = podman ] && format=--format=docker

prefix=${IMAGE_PREFIX:-localhost/wanneng}
embedded=${EMBEDDED:-embedded}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# `make publish` refuses such an image.
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-dirty

for name in "$@"; do
    case $name in
    gateway) file=gateway target= ;;
    triton) file=triton target=--target=cpu ;;
    triton-gpu) file=triton target=--target=gpu ;;
    *) fail "unknown image $name; use gateway, triton or triton-gpu" ;;
    esac
    echo "wanneng: building $prefix-$name:$version with $tool"
    # shellcheck disable=SC2086 - empty options must disappear
    "$tool" build $format $target --file "helm/docker/$file.Dockerfile" --tag "$prefix-$name:$version" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "EMBEDDED=$embedded" .
done
