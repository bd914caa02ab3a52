import socket
from dataclasses import replace
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve.ports import check_ports
from wanneng.settings import ServeSettings


def settings(**ports: int) -> ServeSettings:
    free = {"port": 18_480, "triton_http_port": 18_481, "triton_grpc_port": 18_482, "triton_metrics_port": 18_483}
    free["control_plane_port"] = 18_484
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
        with pytest.raises(StartError) as error:
            check_ports(settings(control_plane_port=port))
        assert str(error.value) == (
            f"the control plane cannot listen on 127.0.0.1:{port}: port {port} is in use by another process; "
            "choose another port with --control-plane-port"
        )


def test_there_is_no_port_to_check_where_there_is_no_control_plane() -> None:
    check_ports(replace(settings(control_plane_port=18_480), tenants_file=Path("tenants.yaml")))


def test_one_port_for_two_is_refused() -> None:
    for ports in ({"port": 18_482}, {"internal_port": 18_482}):
        with pytest.raises(StartError, match="18482 is given twice"):
            check_ports(settings(**ports))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match="the gateway cannot listen on 192\\.0\\.2\\.1"):
        check_ports(ServeSettings(host="192.0.2.1"))
