"""Asks another Pod what nobody may ask, and prints the answers as JSON. Run in a Pod, by `Attacker.ask`."""

from __future__ import annotations

import json
import sys

from tests.e2e.strangers import grpc_call, http_request


def main() -> None:
    """Reads host, port and calls: names of gRPC methods, or method, target and headers of HTTP requests."""
    host, port, calls = json.load(sys.stdin)
    json.dump([ask(host, port, call).decode("latin-1") for call in calls], sys.stdout)


def ask(host: str, port: int, call: str | list[str]) -> bytes:
    """What comes back; nothing where no connection is made."""
    try:
        if isinstance(call, str):
            return grpc_call(port, call, [], host=host)
        method, target, headers = call
        return http_request(port, method, target, headers.encode(), host=host)
    except OSError:
        return b""


if __name__ == "__main__":
    main()
