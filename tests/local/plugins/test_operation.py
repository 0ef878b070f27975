"""An operation's name, what is drawn in it, and what the aws plugin makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from local.plugins.aws.clients import OPERATION_HEADER, Clients, NoAnswerError, call
from local.plugins.operation import Unanswered, current, random_hex, repeated, under_way


def test_without_an_engine_that_names_it_there_is_no_operation() -> None:
    assert current() is None
    assert not repeated()
    assert random_hex(4, "name") != random_hex(4, "name")


def test_an_operation_is_seen_on_threads_and_ends_with_its_block() -> None:
    async def look() -> str:
        with under_way("token", again=True):
            assert repeated()
            found = await asyncio.to_thread(current)
        assert found is not None
        return found.token

    assert asyncio.run(look()) == "token"
    assert current() is None


def test_what_is_drawn_is_the_same_in_a_repeated_operation_and_differs_between_operations() -> None:
    def draw(token: str, purpose: str) -> str:
        with under_way(token):
            return random_hex(8, purpose)

    assert draw("a", "name") == draw("a", "name")
    assert len(draw("a", "name")) == 16
    assert len({draw("a", "name"), draw("a", "other"), draw("b", "name")}) == 3


def test_a_call_keeps_its_name_until_it_succeeds() -> None:
    with under_way("t"):
        operation = current()
        assert operation is not None
        assert operation.key("ec2.CreateVpc") == operation.key("ec2.CreateVpc") == "t:ec2.CreateVpc:0"
        operation.answered["ec2.CreateVpc"] += 1
        assert operation.key("ec2.CreateVpc") == "t:ec2.CreateVpc:1"
        assert operation.key("ec2.CreateTags") == "t:ec2.CreateTags:0"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The names of all requests that a client sends; each is answered with an empty page."""
    names: list[str | None] = []

    def send(self: Any, request: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        name = request.headers.get(OPERATION_HEADER)
        names.append(name.decode() if isinstance(name, bytes) else name)
        status = 400 if len(names) == 2 else 200

        class Raw:
            def stream(self, *_: Any, **__: Any) -> list[bytes]:
                return [b"<Response><requestId>1</requestId></Response>"]

        return AWSResponse(request.url, status, {}, Raw())

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    return names


def test_requests_are_named_only_inside_an_operation_and_refused_ones_keep_their_name(
    sent: list[str | None],
) -> None:
    client = Clients("http://127.0.0.1:9", {}).get("ec2", "eu-west-1")
    call(client, "CreateVpc", "net", {"CidrBlock": "10.0.0.0/16"})
    with under_way("t"):
        with pytest.raises(Exception, match="net"):
            call(client, "CreateVpc", "net", {"CidrBlock": "10.0.0.0/16"})
        call(client, "CreateVpc", "net", {"CidrBlock": "10.0.0.0/16"})
        call(client, "CreateVpc", "net", {"CidrBlock": "10.0.0.0/16"})
    assert sent == [None, "t:ec2.CreateVpc:0", "t:ec2.CreateVpc:0", "t:ec2.CreateVpc:1"]


def test_an_emulator_that_is_gone_leaves_it_open_whether_the_call_was_carried_out() -> None:
    client = Clients("http://127.0.0.1:9", {}).get("ec2", "eu-west-1")
    with pytest.raises(Unanswered, match=r"127\.0\.0\.1:9 does not answer") as caught:
        call(client, "CreateVpc", "net", {"CidrBlock": "10.0.0.0/16"})
    assert isinstance(caught.value, NoAnswerError)
    assert not caught.value.missing
