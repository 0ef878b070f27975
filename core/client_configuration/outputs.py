"""The stack outputs that clients need, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core import outputs as names

_MASKED = "[secret]"


class ClientConfigurationError(Exception):
    """The outputs cannot be made into a client configuration; the message says why and what to do."""


def _whole(value: object) -> object:
    """Turn 443.0 into 443: Pulumi's numbers are floating-point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Port = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65535)]


class ClientCertificate(BaseModel):
    """One numbered client certificate with its private key (PEM)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    name: str
    certificate_pem: str
    private_key_pem: str = Field(repr=False)

    @property
    def file_stem(self) -> str:
        """Return the start of its files' names: `2-warehouse-scanner`, safe on every file system."""
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", self.name).strip("-") or "client"
        return f"{self.number}-{safe[:60]}"


class Tenant(BaseModel):
    """A tenant of the offer `saas`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    database: str
    url: str


class ClientOutputs(BaseModel):
    """The outputs of a stack that its clients need; their meaning stands in docs/outputs.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    web_url: str = Field(pattern=r"^https://[^\s<>\"']+$")
    rpc_host: str = Field(pattern=r"^[A-Za-z0-9.:_-]+$")
    rpc_port: Port
    rpc_protocol: str = "xmlrpcs"
    client_certificate_url: str | None = None
    client_certificate_port: Port | None = None
    ca_certificate: str | None = None
    client_certificates: dict[str, ClientCertificate] = {}
    database_names: list[str] = []
    working_database: str
    test_database: str | None = None
    tenants: dict[str, Tenant] = {}
    release: str
    environment: str
    offer: str
    region: str = ""

    @classmethod
    def read(cls, outputs: Mapping[str, object]) -> Self:
        """Check `outputs` (name to value, secrets in plain).

        Raises ClientConfigurationError naming each output that is missing, masked or of another form.
        """
        masked = sorted(name for name in names.SECRET_OUTPUTS if _is_masked(outputs.get(name)))
        if masked:
            raise ClientConfigurationError(
                f"the output {', '.join(masked)} is masked: export the outputs with "
                "`pulumi stack output --json --show-secrets`"
            )
        wanted: dict[str, object] = {
            name: value for name, value in outputs.items() if name in cls.model_fields and value is not None
        }
        wanted["client_certificates"] = _numbered(outputs.get(names.CLIENT_CERTIFICATES))
        try:
            return cls.model_validate(wanted)
        except ValidationError as error:
            said = [
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}"
                for detail in error.errors(include_input=False, include_url=False)
            ]
            raise ClientConfigurationError(
                "these are not the outputs of a stack of this project: " + "; ".join(said)
            ) from None

    @property
    def certificates(self) -> list[ClientCertificate]:
        """Return the client certificates in the order of their numbers."""
        return sorted(self.client_certificates.values(), key=lambda certificate: certificate.number)

    @property
    def has_json2(self) -> bool:
        """Say whether the release answers JSON-2, which came with 19.0."""
        major = re.search(r"\d+", self.release)
        return major is not None and int(major.group()) >= 19

    @property
    def is_desktop_release(self) -> bool:
        """Say whether the release has a desktop (GTK) client: OpenERP up to 6.1."""
        major = re.search(r"\d+", self.release)
        return major is not None and int(major.group()) <= 6


def _is_masked(value: object) -> bool:
    return value == _MASKED or (isinstance(value, Mapping) and _MASKED in value.values())


def _numbered(value: object) -> dict[str, object]:
    """Put each certificate's number, which is its key, into the certificate."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ClientConfigurationError("the output client_certificates is not a map of number to certificate")
    return {
        str(number): {"number": number, **certificate} if isinstance(certificate, Mapping) else certificate
        for number, certificate in value.items()
    }
