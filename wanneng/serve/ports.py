"""Checks before anything is started that every port is free."""

from __future__ import annotations

import errno
import socket

from wanneng.errors import StartError
from wanneng.settings import CONTROL_PLANE_HOST, ServeSettings


def check_ports(settings: ServeSettings) -> None:
    """`StartError` for an address that cannot be listened on, naming it and the flag that changes it."""
    listeners = [
        ("the gateway", settings.host, settings.port, "--port"),
        ("Triton's HTTP endpoint", settings.triton_host, settings.triton_http_port, "--triton-http-port"),
        ("Triton's gRPC endpoint", settings.triton_host, settings.triton_grpc_port, "--triton-grpc-port"),
        ("Triton's metrics endpoint", settings.triton_host, settings.triton_metrics_port, "--triton-metrics-port"),
    ]
    if settings.has_control_plane:
        port = settings.control_plane_port
        listeners.append(("the control plane", CONTROL_PLANE_HOST, port, "--control-plane-port"))
    if settings.internal_port:
        listeners.append(("the gateway's internal port", settings.host, settings.internal_port, "--internal-port"))
    ports = [port for _, _, port, _ in listeners]
    for listener, host, port, flag in listeners:
        if ports.count(port) > 1:
            raise StartError(f"port {port} is given twice; choose another one for {listener} with {flag}")
        error = _bind(host, port)
        if error is not None:
            reason, way_out = str(error.strerror), "choose another address"
            if error.errno == errno.EADDRINUSE:
                reason, way_out = f"port {port} is in use by another process", f"choose another port with {flag}"
            elif error.errno == errno.EACCES:
                way_out = f"choose a port from 1024 on with {flag}"
            raise StartError(f"{listener} cannot listen on {host}:{port}: {reason}; {way_out}")


def _bind(host: str, port: int) -> OSError | None:
    """Why nobody can listen there; None when it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None
