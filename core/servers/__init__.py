"""The files that turn a bare Debian 13 server into an app server or a web-client server.

Typical use, in a component::

    user_data = pulumi.Output.all(host=database.address, …).apply(
        lambda known: user_data_base64(ServerConfiguration(role="app", database_host=known["host"], …))
    )
"""

from __future__ import annotations

from core.servers.cloud_init import (
    UserDataTooLargeError,
    encode_user_data,
    render_user_data,
    user_data_base64,
)
from core.servers.configuration import InvalidServerConfigurationError, ServerConfiguration

__all__ = [
    "InvalidServerConfigurationError",
    "ServerConfiguration",
    "UserDataTooLargeError",
    "encode_user_data",
    "render_user_data",
    "user_data_base64",
]
