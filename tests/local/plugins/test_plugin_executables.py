"""The executables that the real Pulumi CLI finds on PATH, spoken to over gRPC as the CLI does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from local.processes import identity, is_same

BIN = Path(__file__).parents[3] / "local" / "plugins" / "bin"
UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(values)
    return message


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """Something that accepts connections in the engine's place, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as engine:
        yield engine, f"127.0.0.1:{engine.getsockname()[1]}"


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with listening() as (_engine, address):
        yield address


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, engine_address: str) -> Iterator[Any]:
    process = subprocess.Popen(
        [BIN / "pulumi-resource-tls", engine_address],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "OPENERP_PYTHON": sys.executable},
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_the_three_executables_are_one_script() -> None:
    texts = {(BIN / f"pulumi-resource-{package}").read_text() for package in ("aws", "tls", "postgresql")}
    assert len(texts) == 1
    assert all(os.access(path, os.X_OK) for path in BIN.glob("pulumi-resource-*"))


def test_the_executable_serves_unknown_values_in_the_engines_own_form(tls: Any) -> None:
    response = tls.Create(
        provider_pb2.CreateRequest(
            urn="urn:pulumi:a::b::tls:index/certRequest:CertRequest::c",
            properties=struct({"privateKeyPem": UNKNOWN_STRING}),
            preview=True,
        )
    )
    assert response.properties["certRequestPem"] == UNKNOWN_STRING
    assert response.properties["privateKeyPem"]["value"] == UNKNOWN_STRING


def test_an_error_arrives_as_one_message_without_a_traceback(tls: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        tls.Create(
            provider_pb2.CreateRequest(
                urn="urn:pulumi:a::b::tls:index/certRequest:CertRequest::c",
                properties=struct({"privateKeyPem": "nonsense"}),
            )
        )
    message = caught.value.details()
    assert message.startswith("privateKeyPem is not an unencrypted private key in PEM")
    assert "\n" not in message and "Traceback" not in message


def test_the_executable_reports_the_version_of_the_python_package(tls: Any) -> None:
    import pulumi_tls
    from google.protobuf import empty_pb2

    metadata = (Path(pulumi_tls.__file__).parent / "pulumi-plugin.json").read_text()
    assert f'"{tls.GetPluginInfo(empty_pb2.Empty()).version}"' in metadata


def test_a_plugin_ends_when_the_process_that_started_it_is_killed() -> None:
    program = textwrap.dedent(
        """
        import subprocess, sys, time
        plugin = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
        plugin.stdout.readline()
        print(plugin.pid, flush=True)
        time.sleep(60)
        """
    )
    with listening() as (_engine, address):
        parent = subprocess.Popen(
            [sys.executable, "-c", program, BIN / "pulumi-resource-tls", address],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENERP_PYTHON": sys.executable},
        )
        assert parent.stdout is not None
        plugin = int(parent.stdout.readline())
        known = identity(plugin)
        assert known is not None
        time.sleep(2.5)
        assert is_same(plugin, known), "the plugin must live as long as its engine"
        parent.kill()
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 10
        while is_same(plugin, known):
            if time.monotonic() > deadline:
                os.kill(plugin, signal.SIGKILL)
                pytest.fail("the plugin outlived its engine by 10 s")
            time.sleep(0.05)


def test_a_plugin_ends_when_nothing_listens_at_the_engines_address_any_more() -> None:
    with listening() as (engine, address):
        process = subprocess.Popen(
            [BIN / "pulumi-resource-tls", address],
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENERP_PYTHON": sys.executable},
        )
        assert process.stdout is not None
        try:
            process.stdout.readline()
            assert process.poll() is None
            engine.close()
            assert process.wait(15) == 1
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
