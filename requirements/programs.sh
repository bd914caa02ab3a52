#!/bin/sh
# Names the packages of programs.txt that this machine lacks: `programs.sh missing` prints them, `programs.sh` says how
# to install them and fails, unless WITHOUT=programs.
set -eu

has() {
    case $1 in
    # shellcheck disable=SC2086 - a pattern
    /*) set -- $1 && [ -e "$1" ] ;;
    *) (PATH=$PATH:/usr/sbin:/sbin && command -v "$1" >/dev/null) ;;
    esac
}

missing=
while read -r package program; do
    case $package in '' | '#'*) continue ;; esac
    has "$program" || missing="$missing $package"
done <"$(dirname "$0")/programs.txt"

if [ "${1:-}" = missing ]; then
    echo "$missing"
elif [ "$missing" ]; then
    echo "wanneng: tests need programs that this machine lacks; on Debian and Ubuntu:" >&2
    # Runlevel 1: servers are installed and not started.
    echo "  apt update && RUNLEVEL=1 apt install --yes$missing" >&2
    [ "${WITHOUT:-}" = programs ] && exit 0
    echo "\`make test WITHOUT=programs\` runs the others, and each of its parts says at its end how many were left out." >&2
    exit 1
fi
