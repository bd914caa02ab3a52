"""Says which port is taken before anything is started. Starts nothing."""

from __future__ import annotations

import socket

from wanneng.errors import StartError
from wanneng.settings import ServeSettings


def check_ports(settings: ServeSettings) -> None:
    """`StartError` for an address that cannot be listened on, naming it and the setting that moves it."""
    wanted = [
        ("the gateway", settings.host, settings.port, "port"),
        ("Triton's HTTP", settings.triton_host, settings.triton_http_port, "triton-http-port"),
        ("Triton's gRPC", settings.triton_host, settings.triton_grpc_port, "triton-grpc-port"),
        ("Triton's metrics", settings.triton_host, settings.triton_metrics_port, "triton-metrics-port"),
    ]
    ports = [port for _, _, port, _ in wanted]
    for who, host, port, flag in wanted:
        if ports.count(port) > 1:
            raise StartError(f"port {port} is given twice; choose another one for {who} with --{flag}")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise StartError(
                    f"{who} cannot listen on {host}:{port} ({error.strerror}); "
                    f"stop what is there or choose another port with --{flag}"
                ) from None
