"""EC2: the console of an instance that runs for real, instances from a launch template, targets that go with
a terminated instance."""

from __future__ import annotations

import base64
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.elbv2.models import elbv2_backends

from local.emulator.extensions import Context
from local.emulator.extensions.autoscaling import follow_template
from local.emulator.extensions.toolkit import parameters

CONSOLE_BYTES = 64 * 1024
"""What EC2 keeps of a console (GetConsoleOutput)."""


def _patch_console(context: Context) -> None:
    sample = General.get_console_output

    def get_console_output(response: Any) -> Any:
        """What a server wrote; moto's sample where none runs."""
        if not context.nodes.attached():
            return sample(response)
        instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
        text = context.nodes.console(instance.id)[-CONSOLE_BYTES:]
        output = base64.b64encode(text).decode()
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    setattr(General, sample.__name__, get_console_output)


def _patch_run() -> None:
    run = InstanceResponse.run_instances

    def run_instances(response: Any) -> Any:
        """moto takes neither profile nor metadata options from a template, and launches once more for a
        client token that it has seen."""
        given, backend = parameters(response), response.ec2_backend
        if not hasattr(backend, "local_launches"):
            backend.local_launches = {}
        token = given.get("ClientToken")
        if token is not None and token in backend.local_launches:
            return ActionResult(backend.local_launches[token])
        done: Any = run(response)
        if given.get("LaunchTemplate"):
            version = backend._get_template_from_args(response._get_param("LaunchTemplate", {}))
            for instance in done.result.instances:
                follow_template(instance, version, frozenset(given))
        if token is not None:
            backend.local_launches[token] = done.result
        return done

    setattr(InstanceResponse, run.__name__, run_instances)


def _patch_terminate() -> None:
    terminate = InstanceBackend.terminate_instances

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        """moto deregisters an instance only when a client terminates it, not when its group does."""
        done = terminate(self, instance_ids)
        elbv2_backends[self.account_id][self.region_name].notify_terminate_instances(instance_ids)
        return done

    setattr(InstanceBackend, terminate.__name__, terminate_instances)


def install(context: Context) -> None:
    """Puts the extension in place."""
    _patch_console(context)
    _patch_run()
    _patch_terminate()
