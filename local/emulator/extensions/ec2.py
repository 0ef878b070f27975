"""EC2: the console of an instance that runs for real, and targets that go with a terminated instance."""

from __future__ import annotations

import base64
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses.general import General
from moto.elbv2.models import elbv2_backends

from local.emulator.extensions import Context

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
    _patch_terminate()
