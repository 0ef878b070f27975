"""What people and programs need to reach a deployment, made from the outputs of its stack."""

from __future__ import annotations

from core.client_configuration.certificates import CertificateFacts, facts, refuse_unusable
from core.client_configuration.files import render
from core.client_configuration.outputs import ClientCertificate, ClientConfigurationError, ClientOutputs

__all__ = [
    "CertificateFacts",
    "ClientCertificate",
    "ClientConfigurationError",
    "ClientOutputs",
    "facts",
    "refuse_unusable",
    "render",
]
