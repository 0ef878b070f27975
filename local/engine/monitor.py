"""Answers the SDK: Pulumi's services ResourceMonitor and Engine by gRPC.

Rules: pkg/resource/deploy/source_eval.go of Pulumi 3. What this engine does not do (transforms, hooks, remote
components, imports) it does not announce, so that the SDK itself says so, or it refuses with one clear
message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, resource_pb2, resource_pb2_grpc

from local.engine import paths
from local.engine import urn as urns
from local.engine.config import StackConfig
from local.engine.deployment import Deployment, Stopped
from local.engine.errors import EngineError, StepError
from local.engine.providers import message_of, set_version
from local.engine.steps import Alias, Goal
from local.engine.values import from_struct, from_wire, to_struct
from local.engine.values import number as whole

FEATURES = {
    "secrets": resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    "resourceReferences": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    "outputValues": resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    "aliasSpecs": resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    "deletedWith": resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    "replaceWith": resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    "replacementTrigger": resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    "invokeDependsOn": resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_DEPENDS_ON,
}
"""What this engine announces, by the ids that older SDKs ask for one by one."""

PARALLEL = 32
"""Resource operations that the program is told may run at once."""

_SHUT_DOWN = "resource monitor shut down"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def seconds(duration: str) -> float:
    """A Go duration such as `1h30m` in seconds. Raises EngineError for anything else."""
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise EngineError(f"{duration!r} is not a duration such as 5m or 1h30m")
    return whole(sum(float(number) * _SECONDS[unit] for number, unit in parts))


Handler = Callable[[Any, Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]


def _answers(handler: Handler) -> Handler:
    """Turns the engine's errors into those that the SDK expects."""

    async def answer(self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            await self.loaded()
            return await handler(self, request, context)
        except Stopped:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _SHUT_DOWN)
        except StepError as error:
            self.deployment.fail(error)
            await context.abort(grpc.StatusCode.UNAVAILABLE, _SHUT_DOWN)
        except EngineError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    return answer


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Pulumi's ResourceMonitor for one run."""

    def __init__(
        self,
        deployment: asyncio.Future[Deployment],
        *,
        project: str,
        stack: str,
        config: StackConfig,
        root: Path,
        preview: bool,
    ) -> None:
        """`deployment` may still be loading its state while the program imports its packages."""
        self._loading = deployment
        self._preview = preview
        self._project = project
        self._stack = stack
        self._config = config
        self._root = root

    @property
    def deployment(self) -> Deployment:
        """The run; every handler that uses it has waited until it is there."""
        return self._loading.result()

    async def loaded(self) -> None:
        """Wait until the run's state is there."""
        await asyncio.shield(self._loading)

    async def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What run this is, and what the engine can do."""
        return resource_pb2.DeploymentInfo(
            project=self._project,
            stack=self._stack,
            organization="organization",
            config=self._config.values,
            configSecretKeys=sorted(self._config.secret_keys),
            dryRun=self._preview,
            parallel=PARALLEL,
            supportedFeatures=list(FEATURES.values()),
        )

    async def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the engine can do one thing."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in FEATURES)

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The program is done; as no hook runs in it, it need not stay."""
        return empty_pb2.Empty()

    @_answers
    async def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A resource of the program."""
        goal, providers = await self._goal(request)
        registered = await self.deployment.register(goal, providers)
        return resource_pb2.RegisterResourceResponse(
            urn=registered.urn, id=registered.id, object=to_struct(registered.outputs)
        )

    async def _goal(self, request: Any) -> tuple[Goal, dict[str, str]]:
        name, type_ = request.name, request.type
        where = f"{type_} {name}"
        if request.remote:
            raise StepError(request.parent, f"{where}: the offline engine does not run remote components")
        if request.importId:
            raise StepError(
                request.parent, f"{where}: the offline engine does not import: use the Pulumi CLI"
            )
        if request.transforms or any(names for _, names in request.hooks.ListFields()):
            raise StepError(request.parent, f"{where}: the offline engine runs no transforms and no hooks")
        parent = self.deployment.goal_of(request.parent)
        if parent is not None:
            _inherit(request, parent)
        properties = from_struct(request.object, self._root)
        dependencies = sorted(set(request.dependencies))
        by_property = {key: sorted(set(item.urns)) for key, item in request.propertyDependencies.items()}
        if not by_property:
            by_property = {key: list(dependencies) for key in properties}
        for key in properties:
            by_property.setdefault(key, [])
        is_provider = urns.is_provider_type(type_)
        providers = dict(request.providers)
        provider = ""
        if request.custom and not is_provider:
            package = urns.package_of(type_)
            inherited = self.deployment.component_providers(request.parent)
            provider = request.provider or providers.get(package) or inherited.get(package, "")
            if not provider:
                provider = await self.deployment.default_provider(package, request.version)
        if not request.custom:
            providers = {**self.deployment.component_providers(request.parent), **providers}
        if is_provider:
            set_version(properties, request.version)
        before = request.deleteBeforeReplace
        timeouts = {
            key: seconds(value)
            for key in ("create", "update", "delete", "read")
            if (value := getattr(request.customTimeouts, key))
        }
        trigger = None
        if request.HasField("replacement_trigger"):
            trigger = from_wire(request.replacement_trigger, self._root)
        goal = Goal(
            type=type_,
            name=name,
            custom=request.custom,
            properties=properties,
            parent=request.parent,
            protect=request.protect if request.HasField("protect") else None,
            dependencies=dependencies,
            provider=provider,
            property_dependencies=by_property,
            delete_before_replace=before if request.deleteBeforeReplaceDefined or before else None,
            ignore_changes=list(request.ignoreChanges),
            additional_secret_outputs=list(request.additionalSecretOutputs),
            aliases=_aliases(request),
            custom_timeouts=timeouts,
            replace_on_changes=list(request.replaceOnChanges),
            retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
            deleted_with=request.deletedWith,
            replace_with=list(request.replace_with),
            replacement_trigger=trigger,
            hide_diff=[list(paths.parse(text)) for text in request.hideDiffs],
            source_position=self._position(request.sourcePosition),
            stack_trace=[self._position(frame.pc) for frame in request.stackTrace.frames],
        )
        return goal, providers

    def _position(self, position: Any) -> str:
        """Where in the program, relative to the project, as the state records it."""
        url = urlsplit(position.uri)
        if url.scheme != "file":
            return ""
        relative = os.path.relpath(unquote(url.path), self._root)
        column = f",{position.column}" if position.column else ""
        return f"project:///{relative}#{position.line}{column}"

    @_answers
    async def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A resource that exists already."""
        properties = from_struct(request.properties, self._root)
        provider = request.provider
        if not provider and not urns.is_provider_type(request.type):
            package = urns.package_of(request.type)
            provider = await self.deployment.default_provider(package, request.version)
        goal = Goal(
            type=request.type,
            name=request.name,
            custom=True,
            properties=properties,
            parent=request.parent,
            dependencies=sorted(set(request.dependencies)),
            provider=provider,
            additional_secret_outputs=list(request.additionalSecretOutputs),
            source_position=self._position(request.sourcePosition),
            stack_trace=[self._position(frame.pc) for frame in request.stackTrace.frames],
        )
        registered = await self.deployment.read(goal, request.id)
        response = resource_pb2.ReadResourceResponse(
            urn=registered.urn, properties=to_struct(registered.outputs)
        )
        if "id" in response.DESCRIPTOR.fields_by_name:
            response.id = registered.id
        return response

    @_answers
    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The outputs of a component or of the stack."""
        await self.deployment.register_outputs(request.urn, from_struct(request.outputs, self._root))
        return empty_pb2.Empty()

    @_answers
    async def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A provider function."""
        arguments = from_struct(request.args, self._root)
        try:
            result = await self.deployment.invoke(
                request.tok, arguments, request.provider, request.version, list(request.dependsOn)
            )
        except (Stopped, StepError):
            raise
        except Exception as error:
            raise EngineError(message_of(error)) from error
        if result is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        values, failures = result
        response = resource_pb2.ResourceInvokeResponse(
            failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures]
        )
        getattr(response, "return").CopyFrom(to_struct(values))
        return response

    @_answers
    async def Call(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A method of a remote component, of which there are none here."""
        raise EngineError(f"the offline engine does not call methods ({request.tok})")

    @_answers
    async def RegisterPackage(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A parameterised package, of which there are none here."""
        raise EngineError(f"the offline engine has no parameterised packages ({request.name})")

    @_answers
    async def RegisterStackTransform(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refused."""
        raise EngineError("the offline engine runs no transforms: use the Pulumi CLI")

    @_answers
    async def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refused."""
        raise EngineError("the offline engine runs no transforms: use the Pulumi CLI")

    @_answers
    async def RegisterResourceHook(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refused."""
        raise EngineError(f"the offline engine runs no resource hooks ({request.name}): use the Pulumi CLI")

    @_answers
    async def RegisterErrorHook(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refused."""
        raise EngineError(f"the offline engine runs no error hooks ({request.name}): use the Pulumi CLI")


def _inherit(request: Any, parent: Goal) -> None:
    """What a resource takes from its parent where it does not say itself."""
    if not request.deletedWith:
        request.deletedWith = parent.deleted_with
    if not request.HasField("protect") and parent.protect is not None:
        request.protect = parent.protect
    if not request.HasField("retainOnDelete") and parent.retain_on_delete is not None:
        request.retainOnDelete = parent.retain_on_delete
    if not request.provider and parent.provider:
        provider_urn, _ = urns.split_reference(parent.provider)
        package = urns.package_of(urns.type_of(provider_urn))
        if not request.custom or package == urns.package_of(request.type):
            request.provider = parent.provider


def _aliases(request: Any) -> list[Alias]:
    aliases = [Alias(urn=urn) for urn in request.aliasURNs]
    for item in request.aliases:
        if item.WhichOneof("alias") == "spec":
            spec = item.spec
            aliases.append(
                Alias(
                    name=spec.name,
                    type=spec.type,
                    stack=spec.stack,
                    project=spec.project,
                    parent=spec.parentUrn,
                    no_parent=spec.noParent,
                )
            )
        else:
            aliases.append(Alias(urn=item.urn))
    return aliases


SEVERITIES = {
    engine_pb2.INFO: "info",
    engine_pb2.WARNING: "warning",
    engine_pb2.ERROR: "error",
}


class Engine(engine_pb2_grpc.EngineServicer):
    """Pulumi's Engine service for one run: what the program logs."""

    def __init__(self, log: Callable[[str, str, str], None]) -> None:
        self._log = log
        self._root = ""

    async def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A message of the program."""
        if not request.ephemeral and request.severity in SEVERITIES:
            self._log(SEVERITIES[request.severity], request.message.rstrip("\n"), request.urn)
        return empty_pb2.Empty()

    async def GetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The stack's URN, for older SDKs."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    async def SetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The stack's URN, from older SDKs."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def RequirePulumiVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Any version will do: the program runs under the SDK that it pins."""
        return engine_pb2.RequirePulumiVersionResponse()


async def serve(monitor: Monitor, engine: Engine) -> tuple[grpc.aio.Server, str]:
    """Start both services on a free loopback port; returns the server and its address."""
    # A run that fails ends while requests are under way: gRPC and asyncio need not print them one by one.
    for name in ("grpc", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
