"""What the graph tests of the components share: a resource monitor that records every registration.

`deploy(program)` runs a program under the unmodified SDK, waits until every registration and every
`apply` has drained, and gives back a `Graph` to make assertions about. No engine, no provider and no
network takes part: what a provider or AWS would refuse is not found here. Mocks run no stack transforms
and read no defaults from `Pulumi.yaml`.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import settings as pulumi_settings
from pulumi.runtime import stack as pulumi_stack
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2

with warnings.catch_warnings():
    # These packages warn about deprecated classes of their own when a module of theirs is loaded, whoever
    # uses it for what; where warnings are errors, the module would stay half loaded.
    warnings.filterwarnings(
        "ignore", message=r"(aws|postgresql)\..* has been deprecated", category=DeprecationWarning
    )
    import pulumi_aws
    import pulumi_postgresql

    _LOADED = (pulumi_aws.ec2.Vpc, pulumi_postgresql.Role)  # pulumi_aws loads a module at its first use

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key by which Pulumi's wire format marks special values (pulumi/sdk, rpc.py)."""
SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that a preview does not know yet."""
ACCOUNT = "123456789012"
SETTLING_SECONDS = 2
"""How long the rest of a failed program may take before it is cancelled."""

Outputs = Callable[[str, dict[str, Any]], Mapping[str, Any]]
"""(resource name, its inputs) -> what the provider would add to them."""
Invoke = Callable[[dict[str, Any]], Mapping[str, Any]]


class InvokeRefused(Exception):  # noqa: N818  (an answer, not a failure of the test)
    """Raised by an answer to an invoke: the provider refuses it for this reason."""


_sdk: Any = pulumi_mocks
"""The SDK's mocks, whose functions carry no types."""


def _provider_name(reference: str) -> str:
    """Return the name in a provider reference, which is URN::id."""
    return reference.rpartition("::")[0].rpartition("::")[2]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the program asked for it. `inputs` are plain; `secret_inputs` names the secret ones.

    One that exists and is only read (`read_id` is not empty) has no options of its own.
    """

    urn: str
    type: str
    name: str
    custom: bool
    inputs: dict[str, Any]
    secret_inputs: frozenset[str]
    parent: str
    protect: bool
    retain_on_delete: bool
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    delete_before_replace: bool
    depends_on: frozenset[str]
    provider: str
    aliases: tuple[str, ...]
    deleted_with: str
    import_id: str
    additional_secret_outputs: tuple[str, ...]
    read_id: str = ""

    @property
    def parent_name(self) -> str:
        return self.parent.rpartition("::")[2]

    @property
    def provider_name(self) -> str:
        """Name of the explicit provider; empty for the default one."""
        return _provider_name(self.provider)

    @property
    def depends_on_names(self) -> frozenset[str]:
        return frozenset(urn.rpartition("::")[2] for urn in self.depends_on)


@dataclass
class Graph:
    """Everything that one run of a program registered."""

    registrations: list[Registration] = field(default_factory=list)
    outputs_by_urn: dict[str, dict[str, Any]] = field(default_factory=dict)
    secret_outputs_by_urn: dict[str, frozenset[str]] = field(default_factory=dict)
    invokes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    invoke_providers: dict[str, str] = field(default_factory=dict)
    """Token of an invoke -> name of the explicit provider that it went through; empty for a default one."""
    warnings: list[str] = field(default_factory=list)
    """What the program logged for the operator at this severity."""
    result: Any = None
    """What the program returned."""

    def of(self, type_: str) -> list[Registration]:
        return sorted((r for r in self.registrations if r.type == type_), key=lambda r: r.name)

    def one(self, type_: str, name: str | None = None) -> Registration:
        found = [r for r in self.of(type_) if name is None or r.name == name]
        assert len(found) == 1, f"{len(found)} of {type_} {name or ''}: {[r.name for r in found]}"
        return found[0]

    def children(self, parent_name: str) -> set[tuple[str, str]]:
        """Return (type, name) of each direct child."""
        return {(r.type, r.name) for r in self.registrations if r.parent_name == parent_name}

    def outputs_of(self, name: str) -> dict[str, Any]:
        """Return what the component `name` gave to `register_outputs`; fails if it never did."""
        found = [v for urn, v in self.outputs_by_urn.items() if urn.rpartition("::")[2] == name]
        assert len(found) == 1, f"{len(found)} components named {name} registered outputs"
        return found[0]

    @property
    def stack_outputs(self) -> dict[str, Any]:
        return next(v for urn, v in self.outputs_by_urn.items() if "::pulumi:pulumi:Stack::" in urn)

    @property
    def secret_stack_outputs(self) -> frozenset[str]:
        return next(v for urn, v in self.secret_outputs_by_urn.items() if "::pulumi:pulumi:Stack::" in urn)


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get(SIGNATURE) == SECRET or any(_has_secret(v) for v in value.values())
    return isinstance(value, list) and any(_has_secret(v) for v in value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return _plain(value["value"])
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read(struct: Any) -> tuple[dict[str, Any], frozenset[str]]:
    raw = {k: v for k, v in json_format.MessageToDict(struct).items() if v is not None}
    return _plain(raw), frozenset(k for k, v in raw.items() if _has_secret(v))


def _struct(values: Mapping[str, Any]) -> Any:
    struct = struct_pb2.Struct()
    json_format.ParseDict(dict(values), struct)
    return struct


def _vpc_endpoint(name: str, inputs: dict[str, Any]) -> Mapping[str, Any]:
    return {"prefixListId": f"pl-{name}"}


OUTPUTS: dict[str, Outputs] = {
    "aws:ec2/vpc:Vpc": lambda n, i: {"defaultSecurityGroupId": f"sg-default-{n}"},
    "aws:ec2/vpcEndpoint:VpcEndpoint": _vpc_endpoint,
    "aws:ec2/launchTemplate:LaunchTemplate": lambda n, i: {"latestVersion": 3},
    "aws:ec2/eip:Eip": lambda n, i: {"allocationId": f"eipalloc-{n}", "publicIp": "203.0.113.7"},
    "aws:kms/key:Key": lambda n, i: {"keyId": f"{n}-key-id"},
    "aws:rds/instance:Instance": lambda n, i: {
        "identifier": f"{n}-identifier",
        "address": f"{n}.example.internal",
        "endpoint": f"{n}.example.internal:5432",
        "resourceId": f"db-{n}",
        "port": 5432,
        "masterUserSecrets": [
            {
                "secretArn": f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:rds-{n}",
                "secretStatus": "active",
                "kmsKeyId": "mock",
            }
        ],
    },
    "aws:lb/loadBalancer:LoadBalancer": lambda n, i: {
        "dnsName": f"{n}.eu-west-1.elb.example.com",
        "zoneId": "Z123",
        "arnSuffix": f"app/{n}/1",
    },
    "aws:lb/targetGroup:TargetGroup": lambda n, i: {"arnSuffix": f"targetgroup/{n}/1"},
    "tls:index/privateKey:PrivateKey": lambda n, i: {
        "privateKeyPem": f"-----BEGIN PRIVATE KEY-----\nmock {n}\n-----END PRIVATE KEY-----\n",
        "publicKeyPem": f"-----BEGIN PUBLIC KEY-----\nmock {n}\n-----END PUBLIC KEY-----\n",
    },
}
"""What a provider adds to the inputs, beside the `arn` and `name` that everything gets."""

INVOKES: dict[str, Invoke] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda a: {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/mock",
        "id": ACCOUNT,
        "userId": "mock",
    },
    "aws:index/getPartition:getPartition": lambda a: {
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "id": "aws",
        "reverseDnsPrefix": "com.amazonaws",
    },
    "aws:index/getRegion:getRegion": lambda a: {
        "region": "eu-west-1",
        "id": "eu-west-1",
        "name": "eu-west-1",
    },
    "aws:secretsmanager/getSecretVersion:getSecretVersion": lambda a: {
        "id": a["secretId"],
        "secretId": a["secretId"],
        "arn": a["secretId"],
        "secretString": '{"username": "openerp_admin", "password": "mock-master-password"}',
        "versionId": "1",
        "versionStages": ["AWSCURRENT"],
        "createdDate": "2026-01-01",
        "secretBinary": "",
    },
}


class _NoMocks(pulumi_mocks.Mocks):
    """The recording monitor answers everything itself."""

    def call(self, args: Any) -> Any:
        raise AssertionError(f"call of {args.token} did not reach the recording monitor")

    def new_resource(self, args: Any) -> Any:
        raise AssertionError(f"{args.name} did not reach the recording monitor")


class RecordingMonitor(pulumi_mocks.MockMonitor):
    """Record what the SDK sends, and answer with the inputs and what a provider would add to them."""

    def __init__(
        self, graph: Graph, *, preview: bool, outputs: Mapping[str, Outputs], invokes: Mapping[str, Invoke]
    ) -> None:
        super().__init__(_NoMocks())
        self.graph = graph
        self._preview = preview
        self._outputs = {**OUTPUTS, **outputs}
        self._invokes = {**INVOKES, **invokes}

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs, secret = _read(request.object)
        if any(r.urn == urn for r in self.graph.registrations):
            raise AssertionError(f"{urn} is registered twice")
        self.graph.registrations.append(
            Registration(
                urn=urn,
                type=request.type,
                name=request.name,
                custom=request.custom,
                inputs=inputs,
                secret_inputs=secret,
                parent=request.parent,
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                ignore_changes=tuple(request.ignoreChanges),
                replace_on_changes=tuple(request.replaceOnChanges),
                delete_before_replace=request.deleteBeforeReplace,
                depends_on=frozenset(request.dependencies),
                provider=request.provider,
                aliases=tuple(a.urn or a.spec.name or a.spec.type for a in request.aliases),
                deleted_with=request.deletedWith,
                import_id=request.importId,
                additional_secret_outputs=tuple(request.additionalSecretOutputs),
            )
        )
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        state = json_format.MessageToDict(request.object)
        if self._preview:
            return resource_pb2.RegisterResourceResponse(urn=urn, id="", object=_struct(state))
        service = request.type.split(":")[1].split("/")[0]
        state = {
            "arn": f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{request.name}",
            "name": f"{request.name}-1234567",
            **(self._outputs[request.type](request.name, inputs) if request.type in self._outputs else {}),
            **state,
        }
        id_ = state.pop("id", f"{request.name}-id")
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=_struct(state))

    def ReadResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if any(r.urn == urn for r in self.graph.registrations):
            raise AssertionError(f"{urn} is registered twice")
        inputs, secret = _read(request.properties)
        self.graph.registrations.append(
            Registration(
                urn=urn,
                type=request.type,
                name=request.name,
                custom=True,
                inputs=inputs,
                secret_inputs=secret,
                parent=request.parent,
                protect=False,
                retain_on_delete=False,
                ignore_changes=(),
                replace_on_changes=(),
                delete_before_replace=False,
                depends_on=frozenset(request.dependencies),
                provider=request.provider,
                aliases=(),
                deleted_with="",
                import_id="",
                additional_secret_outputs=(),
                read_id=request.id,
            )
        )
        # An engine reads it in a preview as well.
        service = request.type.split(":")[1].split("/")[0]
        state = {"arn": f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{request.id}", "name": request.name, **inputs}
        return resource_pb2.ReadResourceResponse(urn=urn, id=request.id, properties=_struct(state))

    def RegisterResourceOutputs(self, request: Any) -> Any:
        outputs, secret = _read(request.outputs)
        self.graph.outputs_by_urn[request.urn] = outputs
        self.graph.secret_outputs_by_urn[request.urn] = secret
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:
        arguments, _ = _read(request.args)
        self.graph.invokes.append((request.tok, arguments))
        self.graph.invoke_providers[request.tok] = _provider_name(request.provider)
        if request.tok not in self._invokes:
            raise AssertionError(f"no answer for the invoke {request.tok}")
        try:
            answer = self._invokes[request.tok](arguments)
        except InvokeRefused as refused:
            failure = provider_pb2.CheckFailure(reason=str(refused))
            return resource_pb2.ResourceInvokeResponse(failures=[failure])
        fields = {"return": _struct(answer)}
        return resource_pb2.ResourceInvokeResponse(**fields)


class RecordingEngine:
    """Keep what the program logs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def Log(self, request: Any) -> None:
        if request.severity == engine_pb2.WARNING:
            self._graph.warnings.append(request.message)


Deploy = Callable[..., Graph]
"""The fixture `deploy`: see `run_program` for its arguments."""


def run_program(
    program: Callable[[], Any],
    *,
    stack: str = "test",
    project: str = "openerp",
    preview: bool = False,
    outputs: Mapping[str, Outputs] | None = None,
    invokes: Mapping[str, Invoke] | None = None,
    graph: Graph | None = None,
) -> Graph:
    """Run `program` to its end, everything drained, and return what it registered.

    `outputs` (by resource type; an `id` among them is the resource's id) and `invokes` (by token) add to or
    replace the answers above. With `preview`, whatever only a provider can know is unknown, as in
    `pulumi preview`. An exception of the program is raised here; a `graph` that the caller gave then holds
    what was registered until it.
    """
    graph = Graph() if graph is None else graph
    monitor = RecordingMonitor(graph, preview=preview, outputs=outputs or {}, invokes=invokes or {})

    def body() -> None:
        graph.result = program()

    async def main() -> None:
        untyped: Any = monitor
        features = set(untyped.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures)
        pulumi_settings.configure(
            _sdk.MockSettings(
                monitor=monitor,
                monitor_features=features,
                engine=RecordingEngine(graph),
                project=project,
                stack=stack,
                dry_run=preview,
                organization="organization",
                callbacks=None,
            )
        )
        try:
            await pulumi_stack.run_in_stack(body)
        except BaseException:
            await _settle()
            raise

    try:
        contextvars.Context().run(asyncio.run, main())
    except BaseException:
        _bury()
        raise
    return graph


async def _settle() -> None:
    """Let everything that a failed program left behind come to its end while there is a loop to end in.

    The SDK raises the first error and leaves the other tasks as they are. Later the garbage collector finds
    them, in the middle of another test: "Event loop is closed", "Task was destroyed but it is pending".
    """
    loop = asyncio.get_running_loop()
    # What follows from the first error is nobody's news.
    loop.set_exception_handler(lambda _loop, _context: None)
    deadline = loop.time() + SETTLING_SECONDS
    while (others := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < deadline:
        await asyncio.wait(others, timeout=0.1)


def _bury() -> None:
    """Collect what is left of a failed program now: coroutines never begun say so when they are collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def deploy() -> Deploy:
    """`deploy(program, ...)` runs a program under the recording monitor: see `run_program`."""
    return run_program
