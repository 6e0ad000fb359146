"""What holds for every test: no network, and random numbers that can be had again."""

from __future__ import annotations

import gc
import ipaddress
import socket
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("bytemlperf", deadline=None)  # a shared machine's time says nothing of the code
settings.load_profile("bytemlperf")


@pytest.fixture(scope="module", autouse=True)
def _modules_that_stay():
    """Leave what imports and collection have made out of garbage collections: each timed run begins with one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory):
    """Give the session, and what it starts, a folder for temporary files: the locks of devices in it are its own."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("BYTEMLPERF_CACHE", str(folder / "cache"))  # reference answers are kept in it
        yield


class NetworkRefusedError(RuntimeError):
    """A test went to the network. No subclass of OSError: code that copes with a lost network must not hide it."""


def _is_local(host: Any) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """Refuse every address but loopback and local sockets, and every look-up of a name but localhost."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def allowed(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise NetworkRefusedError(f"a test tried to connect to {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        allowed(self, address)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        allowed(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise NetworkRefusedError(f"a test tried to look up {host!r}")
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A place of its own for temporary files: nothing that other tests leave or hold is seen there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run; pytest-randomly seeds what is global."""
    return np.random.default_rng(20240229)
