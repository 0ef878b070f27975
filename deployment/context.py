"""What every part of the deployment needs to know: the settings, what was there before, and the account."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

import settings as stack_settings
from components.last_outputs import last_outputs
from core import continuity, names, origins, promotion
from core.continuity import Continuity
from core.origins import DatabaseOrigin, FilesOrigin
from core.problems import Problem, SettingsError, printable
from settings import Settings


@dataclass(frozen=True, kw_only=True)
class Context:
    """Settings, the stack's last run, and what was asked of AWS; nothing of it is made here but providers."""

    settings: Settings
    before: Continuity
    database_origin: DatabaseOrigin
    files_origin: FilesOrigin | None
    opts: pulumi.ResourceOptions
    """For components: the provider with the region and the default tags."""
    copies: aws.Provider | None
    """Provider of the second region, where one is configured."""
    account_id: str
    zone_id: str | None
    """Route 53 zone of the domain, where one is configured."""
    tags: dict[str, str]
    """For what the provider's default tags do not reach: instances and volumes."""

    @property
    def prefix(self) -> str:
        """Start of the few physical names that a person must recognise."""
        return names.resource_prefix(self.settings.stack)

    @property
    def production(self) -> bool:
        """Whether changes wait for the maintenance window and secrets can be brought back."""
        return self.settings.environment == "production"

    @property
    def password_versions(self) -> dict[str, int]:
        """Version of each password that the settings count up, by what it is for."""
        return self.settings.password_versions.model_dump()

    @property
    def tenants_path(self) -> str | None:
        """SSM path of the tenants; None where the offer has none."""
        return names.tenants_parameter_path(self.settings.stack) if self.settings.offer == "saas" else None


def load() -> Context:
    """Read and check everything that can be refused before a resource is declared.

    Raises:
        pulumi.RunError: settings, release step, checkpoint or data module; the message says which and what to
            do.
    """
    settings = stack_settings.load()
    before = continuity.continuity(last_outputs(settings.stack))
    with stack_settings.refusing():
        continuity.check_place(settings, settings.region, before, stack=settings.stack)
        database = origins.database_origin(settings, before, last_outputs, stack=settings.stack)
        files = origins.files_origin(settings, before, stack=settings.stack)
        restores = database.replaces
        continuity.check_release_step(settings, before, stack=settings.stack, restores=restores)
        continuity.check_engine_step(settings, before, stack=settings.stack, restores=restores)
        continuity.check_password_versions(settings, before, stack=settings.stack)
        promotion.check(settings, last_outputs, stack=settings.stack)
    tags = {"Project": names.PROJECT, "Stack": settings.stack, "Environment": settings.environment}
    provider = aws.Provider("aws", region=settings.region, default_tags={"tags": tags})
    asked = pulumi.InvokeOptions(provider=provider)
    zone, copies = settings.access.hosted_zone, settings.backup.copy_region
    return Context(
        settings=settings,
        before=before,
        database_origin=database,
        files_origin=files,
        opts=pulumi.ResourceOptions(providers=[provider]),
        copies=aws.Provider("aws-copies", region=copies, default_tags={"tags": tags}) if copies else None,
        account_id=aws.get_caller_identity(opts=asked).account_id,
        zone_id=_zone_id(zone, asked, settings.stack) if zone else None,
        tags=tags,
    )


def _zone_id(zone: str, asked: pulumi.InvokeOptions, stack: str) -> str:
    """Return the id of the public Route 53 zone of that name; raises pulumi.RunError if there is none."""
    try:
        return aws.route53.get_zone(name=zone, opts=asked).zone_id
    except Exception as refused:  # the SDK has no narrower class for what a provider refuses
        problem = Problem(
            "openerp:access.hostedZone",
            f"{zone} was not found among the public zones of this account ({printable(str(refused), 200)})",
            "Name a zone of this account, or make it first: `aws route53 create-hosted-zone`",
        )
    with stack_settings.refusing():
        raise SettingsError([problem], stack=stack)
