"""How an extension adds operations to moto's responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model

Parameters = dict[str, Any]
Operation = Callable[[Any, Parameters], dict[str, Any] | None]
"""From a response object (account, region, request) and the parameters in AWS's own names to the result."""


def parameters(response: BaseResponse) -> Parameters:
    """The request's parameters in AWS's own names, whatever the service's protocol."""
    request = response.normalized_request
    model = get_service_model(response.boto3_service_name)
    operation = model.operation_model(response._get_action())
    parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](
        operation, map_type=dict
    )
    return dict(
        parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": response.uri_match,
            }
        )
    )


def add(response_class: type[BaseResponse], *operations: Operation) -> None:
    """Makes each function an operation of the service; its name is the operation's in snake case."""
    for operation in operations:
        setattr(response_class, operation.__name__, _method(operation))


def _method(operation: Operation) -> Callable[[Any], ActionResult]:
    def method(response: Any) -> ActionResult:
        return ActionResult(operation(response, parameters(response)) or {})

    method.__name__ = operation.__name__
    return method


def route_all(urls: Any) -> None:
    """Lets every path of a REST service reach its response class, which finds the operation by AWS's
    model."""
    response = next(iter(urls.url_paths.values()))
    urls.url_paths["{0}/.*"] = response


def errors(service: str) -> Callable[[str, str], ServiceException]:
    """What makes an error of a service, to be raised, from a code and a message.

    moto takes the service from the module of the class, and from it the HTTP status and the form.
    """
    kind: type[ServiceException] = type(
        "EmulatedError", (ServiceException,), {"__module__": f"moto.{service}.exceptions"}
    )

    def make(code: str, message: str) -> ServiceException:
        return kind(code, message)

    return make
