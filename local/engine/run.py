"""The engine's operations: `update` (up and preview), `destroy`, `outputs`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.engine import config as configuration
from local.engine import state as states
from local.engine import urn as urns
from local.engine.backend import ORGANIZATION, Backend
from local.engine.crypto import Crypter
from local.engine.errors import EngineError, StepError
from local.engine.program import Program, Run
from local.engine.state import Snapshot
from local.engine.values import Properties

if TYPE_CHECKING:
    from local.engine.deployment import Deployment
    from local.engine.journal import Journal
    from local.engine.providers import Registry
    from local.engine.steps import Step

PARALLEL = 32
"""Provider operations at once; they wait far more than they compute."""


@dataclass(frozen=True)
class Target:
    """A stack of a project: where its files are, and where its state is."""

    directory: Path
    """Where `Pulumi.yaml` is."""
    stack: str
    state: Path
    """The root of the file backend."""
    passphrase: Callable[[], str]
    config_copies: Path | None = None
    """Where copies of the stack files with an encryption salt are kept for the real CLI, if anywhere."""
    config_file: Path | None = None
    """The configuration that is read in place of the committed one, as the CLI's `--config-file`."""


@dataclass
class Result:
    """What a run came to."""

    succeeded: bool
    counts: dict[str, int]
    """Changes by kind, as Pulumi's `changeSummary` counts them."""
    steps: list[Any] = field(default_factory=list)
    outputs: Properties = field(default_factory=dict)
    seconds: float = 0.0
    errors: list[tuple[str, str]] = field(default_factory=list)
    """(URN or "", message) of everything that failed."""
    config: dict[str, str] = field(default_factory=dict)
    """The configuration with secrets masked."""


class _Session:
    """A stack opened for one operation: project, state, key."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.project = configuration.load_project(target.directory)
        self.backend = Backend(target.state, self.project.name)
        self.where = str(self.backend.path(target.stack))
        self._crypters: dict[str | None, Crypter] = {}
        self.deployment = self.backend.read(target.stack)
        self.crypter = self._own_crypter()

    def _own_crypter(self) -> Crypter:
        salt = states.salt_of(self.deployment, self.where) or self._config_salt()
        return self._crypter(salt)

    def _config_salt(self) -> str | None:
        name = configuration.stack_file(self.target.directory, self.target.stack)
        places = [self.target.config_file, name]
        if self.target.config_copies is not None:
            places.append(self.target.config_copies / name.name)
        salts = (configuration.salt_in(place) for place in places if place is not None)
        return next((salt for salt in salts if salt is not None), None)

    def _crypter(self, salt: str | None) -> Crypter:
        if salt not in self._crypters:
            self._crypters[salt] = Crypter(self.target.passphrase(), salt)
        return self._crypters[salt]

    def load(self) -> Snapshot:
        """The state of the stack."""
        return states.snapshot_from_json(self.deployment, self.crypter, self.where)

    def config(self) -> configuration.StackConfig:
        """The configuration of the stack."""
        file = self.target.config_file
        path = file or configuration.stack_file(self.target.directory, self.target.stack)
        committed = configuration.salt_in(path)

        def decrypt(ciphertext: str) -> str:
            crypter = self._crypter(committed) if committed else self.crypter
            return crypter.decrypt(ciphertext)

        return configuration.load_stack(self.project, self.target.stack, decrypt, file)

    def stack_outputs(self, name: str) -> Properties | None:
        """The outputs of a stack of this backend: `stack`, or `organization/project/stack`."""
        parts = name.split("/")
        project = parts[1] if len(parts) == 3 else self.project.name
        if len(parts) > 3 or (len(parts) > 1 and parts[0] != ORGANIZATION):
            raise EngineError(
                f"{name!r} names no stack of a file backend: expected organization/<project>/<stack>"
            )
        own = project == self.project.name and parts[-1] == self.target.stack
        backend = Backend(self.target.state, project)
        if not backend.exists(parts[-1]):
            return {} if own else None
        return outputs_in(backend, parts[-1], self._crypter)


def outputs_in(backend: Backend, stack: str, crypter: Callable[[str | None], Crypter]) -> Properties:
    """The outputs that a stack's state holds; a key is derived only where some are secret."""
    deployment = backend.read(stack)
    where = str(backend.path(stack))
    for data in deployment.get("resources") or []:
        if data.get("type") == urns.ROOT_STACK_TYPE:
            secret = '"ciphertext"' in states.compact(data.get("outputs") or {})
            key = crypter(states.salt_of(deployment, where)) if secret else None
            return states.resource_from_json({**data, "inputs": {}}, key).outputs
    return {}


def outputs(target: Target) -> Properties:
    """The outputs of a stack. Raises EngineError where it was never brought up."""
    project = configuration.load_project(target.directory)
    backend = Backend(target.state, project.name)
    if not backend.exists(target.stack):
        raise EngineError(f"stack {target.stack} was never brought up on this machine: run up first")
    return outputs_in(backend, target.stack, lambda salt: Crypter(target.passphrase(), salt))


def _run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    async def with_threads() -> Result:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=PARALLEL + 8))
        return await main()

    return asyncio.run(with_threads())


def update(
    target: Target,
    *,
    loader: Callable[[str], Any],
    events: Any,
    preview: bool,
    environment: dict[str, str] | None = None,
    before: Callable[[], dict[str, str]] | None = None,
    program: Program | None = None,
) -> Result:
    """Run the program and bring about (or, in a preview, show) what it registers.

    `loader` makes plugins, `events` watches (deployment.Events). `before` runs on a thread while the program
    starts; no plugin is configured until it returns variables for this process's environment (an emulator's
    endpoint). `program` is a child started earlier, to save its import time. Raises EngineError for what
    stops the run before it begins.
    """
    program = program or Program(environment=environment)
    try:
        session = _Session(target)
        config = session.config()
        with ExitStack() as stack:
            if not preview:
                session.backend.prepare()
                for note in stack.enter_context(session.backend.lock(target.stack)):
                    events.log("info", note, "")
                # What another run did before this one had the lock.
                session.deployment = session.backend.read(target.stack)
                session.backend.back_up(target.stack)
            return _run(lambda: _update(session, config, loader, events, preview, program, before))
    finally:
        program.end()


def _once(before: Callable[[], dict[str, str]] | None) -> Callable[[], Awaitable[None]] | None:
    """Run `before` on a thread from now on, and wait for it wherever it is needed; its result is
    environment."""
    if before is None:
        return None
    task = asyncio.ensure_future(asyncio.to_thread(before))
    # A run that needs no provider never asks whether this went well.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def ready() -> None:
        os.environ.update(await asyncio.shield(task))

    return ready


async def _update(
    session: _Session,
    config: configuration.StackConfig,
    loader: Callable[[str], Any],
    events: Any,
    preview: bool,
    program: Program,
    before: Callable[[], dict[str, str]] | None,
) -> Result:
    # This imports gRPC and the SDK, which takes a while: the child does so at the same time.
    from local.engine.monitor import Engine, Monitor, serve

    target, project = session.target, session.project
    began = time.monotonic()
    watch = _Watch(events)
    loading: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()
    monitor = Monitor(
        loading,
        project=project.name,
        stack=target.stack,
        config=config,
        root=project.directory,
        preview=preview,
    )
    server, address = await serve(monitor, Engine(watch.log))
    try:
        # The program imports its packages while the state is loaded and its secrets are decrypted.
        program.start(_run_of(session, config, address, preview=preview))
        ready = _once(before)
        base = await asyncio.to_thread(session.load)
        registry = _registry(loader, ready)
        finished = await _finish(base, registry, watch, preview=preview)
        deployment, journal = _open(session, base, config, registry, watch, preview=preview)
        loading.set_result(deployment)
        undo = _on_interrupt(deployment.stop)
        try:
            status = await _follow(program, deployment, watch)
            if status == 0 and not deployment.stopped.is_set():
                await _delete_rest(deployment)
            await deployment.idle()
            succeeded = status == 0 and not deployment.stopped.is_set() and not deployment.refused
            deployment.finish_outputs(succeeded=succeeded)
            journal.flush()
        finally:
            undo()
    finally:
        program.end()
        await server.stop(None)
    if succeeded:
        for urn, text in watch.errors:
            # The program logged an error and went on, which is its own affair.
            events.log("error", text, urn)
    result = _result(deployment, finished, journal.snapshot(), began, succeeded=succeeded)
    result.errors = _errors(watch, deployment, status)
    result.config = {
        key: "[secret]" if key in config.secret_keys else text for key, text in config.values.items()
    }
    if not preview:
        _remember(session, "update", result)
    return result


def _run_of(session: _Session, config: configuration.StackConfig, address: str, *, preview: bool) -> Run:
    project = session.project
    return Run(
        monitor=address,
        project=project.name,
        stack=session.target.stack,
        organization=ORGANIZATION,
        root=str(project.directory),
        directory=str(project.main),
        program=str(project.main),
        config=config.values,
        secret_keys=sorted(config.secret_keys),
        preview=preview,
        parallel=PARALLEL,
    )


def _registry(loader: Callable[[str], Any], ready: Callable[[], Awaitable[None]] | None) -> Registry:
    from local.engine.builtins import BuiltinProvider
    from local.engine.providers import Registry

    return Registry(lambda package: BuiltinProvider() if package == "pulumi" else loader(package), ready)


async def _finish(base: Snapshot, registry: Registry, watch: _Watch, *, preview: bool) -> list[Step]:
    """Carry out what an interrupted run left pending (a preview only says so), and change `base` to that."""
    if not base.pending:
        return []
    from local.engine import recovery

    watch.log("warning", recovery.message(base, preview=preview), "")
    if preview:
        recovery.foresee(base)
        return []
    return await recovery.finish(base, registry, watch)


def _open(
    session: _Session,
    base: Snapshot,
    config: configuration.StackConfig,
    registry: Registry,
    watch: _Watch,
    *,
    preview: bool,
) -> tuple[Deployment, Journal]:
    """A run over the state `base`, and what writes its state."""
    from local.engine.builtins import Builtins
    from local.engine.deployment import Deployment
    from local.engine.journal import Journal

    stack = session.target.stack
    journal = Journal(None if preview else session.backend, stack, base, session.crypter)
    deployment = Deployment(
        project=session.project.name,
        stack=stack,
        base=base,
        config=config,
        registry=registry,
        builtins=Builtins(session.stack_outputs),
        journal=journal,
        preview=preview,
        events=watch,
    )
    return deployment, journal


async def _follow(program: Program, deployment: Deployment, watch: _Watch) -> int:
    """Wait for the end of the program, or of the run where that comes first; the program's exit status."""
    ended = asyncio.create_task(program.wait(lambda line: watch.log("info", line, "")))
    stopped = asyncio.create_task(deployment.stopped.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        # What is under way is finished and recorded; then the program has nothing to wait for.
        await deployment.idle()
        await asyncio.wait({ended}, timeout=2)
        program.end()
    stopped.cancel()
    return await ended


async def _delete_rest(deployment: Deployment) -> None:
    """Delete what is no longer wanted; a deletion that fails ends the run."""
    try:
        await deployment.delete_rest()
    except StepError as error:
        deployment.fail(error)
    except EngineError:
        # The run has ended already, for a reason that is noted.
        deployment.stop()


def _result(
    deployment: Deployment, finished: list[Step], snapshot: Snapshot, began: float, *, succeeded: bool
) -> Result:
    from local.engine.steps import Op, summary

    root = snapshot.root()
    urns_finished = {step.urn for step in finished}
    steps = [
        *finished,
        *(step for step in deployment.steps if step.op is not Op.SAME or step.urn not in urns_finished),
    ]
    return Result(
        succeeded=succeeded,
        counts=summary([step for step in steps if not urns.is_default_provider(step.urn)]),
        steps=steps,
        outputs=root.outputs if root else {},
        seconds=time.monotonic() - began,
    )


def _errors(watch: _Watch, deployment: Deployment, status: int) -> list[tuple[str, str]]:
    failure = deployment.failure
    if failure is not None:
        # The program's own complaints are only that its requests were refused after this.
        others = [item for item in watch.step_errors if item[0] != failure.urn and item[1] != str(failure)]
        # What kept several resources from being made is said once.
        return [(failure.urn, str(failure)), *others]
    if deployment.stopped.is_set():
        return [("", "interrupted: what was under way has been finished and recorded; run up again to go on")]
    if deployment.refused:
        return watch.errors
    if status != 0:
        return watch.errors or [("", f"the program ended with status {status}")]
    return []


class _Watch:
    """Passes events on, and keeps what went wrong."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.errors: list[tuple[str, str]] = []
        self.step_errors: list[tuple[str, str]] = []

    def started(self, step: Any) -> None:
        self._events.started(step)

    def finished(self, step: Any) -> None:
        self._events.finished(step)

    def failed(self, step: Any, message: str) -> None:
        self.step_errors.append((step.urn, message))
        self._events.failed(step, message)

    def outputs(self, step: Any) -> None:
        self._events.outputs(step)

    def log(self, severity: str, message: str, urn: str) -> None:
        if severity == "error":
            # Shown once, at the end, unless a failed step explains it.
            self.errors.append((urn, message))
        else:
            self._events.log(severity, message, urn)


def _on_interrupt(stop: Callable[[], None]) -> Callable[[], None]:
    """Let the first Ctrl-C end the run in good order; returns what undoes this."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupt)
        loop.add_signal_handler(signal.SIGTERM, interrupt)
    except (RuntimeError, ValueError):
        # Not on the main thread: whoever runs us there deals with signals.
        return lambda: None

    def undo() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)

    return undo


def destroy(
    target: Target,
    *,
    loader: Callable[[str], Any],
    events: Any,
    preview: bool = False,
    before: Callable[[], dict[str, str]] | None = None,
) -> Result:
    """Delete every resource of a stack, in reverse order of dependency; the stack itself stays, empty."""
    session = _Session(target)
    if not session.backend.exists(target.stack):
        raise EngineError(
            f"stack {target.stack} was never brought up on this machine: there is nothing to destroy"
        )
    with ExitStack() as stack:
        if not preview:
            for note in stack.enter_context(session.backend.lock(target.stack)):
                events.log("info", note, "")
            session.deployment = session.backend.read(target.stack)
            session.backend.back_up(target.stack)
        return _run(lambda: _destroy(session, loader, events, preview, before))


async def _destroy(
    session: _Session,
    loader: Callable[[str], Any],
    events: Any,
    preview: bool,
    before: Callable[[], dict[str, str]] | None,
) -> Result:
    began = time.monotonic()
    watch = _Watch(events)
    ready = _once(before)
    base = await asyncio.to_thread(session.load)
    registry = _registry(loader, ready)
    finished = await _finish(base, registry, watch, preview=preview)
    deployment, journal = _open(session, base, configuration.StackConfig(), registry, watch, preview=preview)
    undo = _on_interrupt(deployment.stop)
    try:
        await _delete_rest(deployment)
    finally:
        undo()
    succeeded = not deployment.stopped.is_set() and not deployment.refused
    if succeeded and not preview:
        journal.forget_interrupted()
    journal.flush()
    result = _result(deployment, finished, journal.snapshot(), began, succeeded=succeeded)
    result.errors = _errors(watch, deployment, 0)
    if not preview:
        _remember(session, "destroy", result)
    return result


def _remember(session: _Session, kind: str, result: Result) -> None:
    """Write the run into the backend's history, as the real CLI does."""
    ended = time.time()
    session.backend.add_history(
        session.target.stack,
        {
            "kind": kind,
            "startTime": int(ended - result.seconds),
            "message": "",
            "environment": {"exec.kind": "cli", "exec.agent": "offline-engine"},
            "config": {},
            "result": "succeeded" if result.succeeded else "failed",
            "endTime": int(ended),
            "resourceChanges": result.counts,
        },
    )
