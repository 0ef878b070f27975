"""Passwords that Pulumi makes, keeps in Secrets Manager and can make anew.

There is no provider for random values here: one private key (a *seed*, secret in the state) is made, and
every password is an HMAC of what it is for. The same seed always gives the same password, so nothing
changes from one update to the next; a higher `version` gives a new one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls


def derive_password(seed_pem: str, purpose: str, version: int) -> str:
    """Return the password for `purpose`: 43 characters of A–Z, a–z, 0–9, `-` and `_` (256 bits).

    Raises:
        ValueError: empty seed, which would give everybody's passwords away, or a version below 1.
    """
    if not seed_pem.strip():
        raise ValueError("the seed of the passwords is empty")
    if version < 1:
        raise ValueError(f"version {version} of a password: versions begin at 1")
    digest = hmac.digest(seed_pem.encode(), f"{purpose}:{version}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def password_seed(name: str, opts: pulumi.ResourceOptions) -> tls.PrivateKey:
    """Make the seed. Replacing it changes every password that comes from it."""
    return tls.PrivateKey(name, algorithm="ED25519", opts=opts)


@dataclass(frozen=True, kw_only=True)
class SecretPlace:
    """Where secrets are kept, and how they are opened and lost."""

    kms_key_arn: pulumi.Input[str]
    recovery_window_days: int
    """Days in which a deleted secret can be brought back: 7 to 30, or 0 for none."""
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class GeneratedSecret:
    """A password and the ARN under which Secrets Manager keeps it."""

    arn: pulumi.Output[str]
    password: pulumi.Output[str]
    """Secret."""


def generated_secret(
    name: str,
    *,
    seed: tls.PrivateKey,
    purpose: str,
    version: int,
    description: str,
    fields: Mapping[str, pulumi.Input[str | int]],
    place: SecretPlace,
    opts: pulumi.ResourceOptions,
) -> GeneratedSecret:
    """Make a secret whose value is JSON: `fields` and the `password`.

    The form is the one that Secrets Manager gives database secrets (`username`, `password`, `host`,
    `port`, `dbname`, `engine`). `name` names a Secret and a SecretVersion.
    """
    derived = seed.private_key_pem.apply(lambda pem: derive_password(pem, purpose, version))
    password: pulumi.Output[str] = pulumi.Output.secret(derived)
    secret = aws.secretsmanager.Secret(
        name,
        description=description,
        kms_key_id=place.kms_key_arn,
        recovery_window_in_days=place.recovery_window_days,
        tags=dict(place.tags),
        opts=opts,
    )
    value = pulumi.Output.all(password=password, **fields).apply(
        lambda known: json.dumps(
            {k: int(v) if isinstance(v, float) else v for k, v in known.items()}, sort_keys=True
        )
    )
    hidden: pulumi.Output[str] = pulumi.Output.secret(value)
    aws.secretsmanager.SecretVersion(name, secret_id=secret.id, secret_string=hidden, opts=opts)
    return GeneratedSecret(arn=secret.arn, password=password)
