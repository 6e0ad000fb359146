"""The guard around the tests does its work."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_connection_to_another_machine_is_refused(host, method):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(RuntimeError, match="tried to connect"):
        getattr(sock, method)((host, 80))


def test_a_name_is_not_looked_up():
    with pytest.raises(RuntimeError, match="tried to look up"):
        socket.create_connection(("bytemlperf.invalid", 80))


def test_a_connection_to_this_machine_is_allowed():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_a_local_socket_is_allowed(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        assert client.getpeername() == path


def test_random_numbers_repeat(rng):
    assert rng.integers(1000, size=3).tolist() == [847, 298, 226]
