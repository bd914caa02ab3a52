#!/bin/sh
# Builds the images with docker or podman, whichever works here: `build.sh NAME...` of gateway, triton and triton-gpu.
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
    fail "docker or podman is needed, and docker's daemon must run"
fi
# Health commands are Docker's; podman keeps them in Docker's format alone.
format=
[ "$(basename "$tool")" = podman ] && format=--format=docker

prefix=${IMAGE_PREFIX:-localhost/wanneng}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for name in "$@"; do
    case $name in
    gateway) file=gateway target= ;;
    triton) file=triton target=--target=cpu ;;
    triton-gpu) file=triton target=--target=gpu ;;
    *) fail "no image $name; there are gateway, triton and triton-gpu" ;;
    esac
    echo "wanneng: building $prefix-$name:$version with $tool"
    # shellcheck disable=SC2086 - empty options must vanish
    "$tool" build $format $target --file "helm/docker/$file.Dockerfile" --tag "$prefix-$name:$version" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" .
done
