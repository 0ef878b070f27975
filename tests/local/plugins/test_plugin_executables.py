"""The executables that the real Pulumi CLI finds on PATH, spoken to over gRPC as the CLI does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

BIN = Path(__file__).parents[3] / "local" / "plugins" / "bin"
UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(values)
    return message


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    process = subprocess.Popen(
        [BIN / "pulumi-resource-tls", "127.0.0.1:1"],
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
