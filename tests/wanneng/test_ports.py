import socket

import pytest

from wanneng.errors import StartError
from wanneng.serve.ports import check_ports
from wanneng.settings import ServeSettings


def settings(**ports: int) -> ServeSettings:
    free = {"port": 18_480, "triton_http_port": 18_481, "triton_grpc_port": 18_482, "triton_metrics_port": 18_483}
    return ServeSettings(**(free | ports))  # type: ignore[arg-type]


def test_free_ports_pass() -> None:
    check_ports(settings())


def test_a_taken_port_names_its_user_and_its_flag() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"Triton's metrics .*127\.0\.0\.1:{port}.*--triton-metrics-port"):
            check_ports(settings(triton_metrics_port=port))


def test_one_port_for_two_is_refused() -> None:
    with pytest.raises(StartError, match="18482 is given twice"):
        check_ports(settings(port=18_482))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match="the gateway cannot listen on 192\\.0\\.2\\.1"):
        check_ports(ServeSettings(host="192.0.2.1"))
