"""A checkpoint of a stack in which nobody works, for drills: each of its ranges is one number."""

from __future__ import annotations

from datetime import UTC, datetime

from core import outputs as names
from core.checkpoint import NONE, Code, Database, Manifest, files_between, key
from ops.checkpoints import parts as checkpoint_parts
from ops.site import Site


def take(site: Site, label: str) -> Manifest:
    """Take a checkpoint while nobody works, so that each of its ranges is one number."""
    aws, output = site.aws, site.stack.output
    begun = datetime.now(UTC)
    identifier = f"openerp-{site.name}-{label}"
    server = str(output(names.DATABASE_INSTANCE_IDENTIFIER))
    checkpoint_parts.begin_snapshot(aws, server, identifier, site.name, label)
    snapshot = checkpoint_parts.await_snapshot(aws, identifier, site.reporter)
    job = checkpoint_parts.begin_backup(site, identifier, 35, label)
    arn = checkpoint_parts.await_backup(aws, job, site.reporter)
    point = checkpoint_parts.point(aws, str(output(names.BACKUP_VAULT_NAME)), arn)
    assert point is not None
    databases = []
    for name in site.databases.names():
        counted = site.databases.count(site.databases.application(name), name)
        looked = site.files.look(name)
        databases.append(
            Database(
                name=name,
                release=counted.facts.release,
                uuid=counted.facts.database_uuid,
                bytes=counted.facts.size,
                modules=counted.facts.modules,
                rows={table: (rows, rows) for table, rows in counted.rows.items()},
                attachments=(counted.attachments, counted.attachments),
                files=files_between(looked, looked, missing=NONE, damaged=NONE),
            )
        )
    manifest = Manifest(
        label=label,
        note="",
        stack=site.name,
        environment=str(output(names.ENVIRONMENT)),
        offer="hosted",
        taken=begun,
        past=False,
        completed=datetime.now(UTC),
        by="a test",
        snapshot=checkpoint_parts.described_snapshot(aws, snapshot),
        recovery_point=checkpoint_parts.described_point(site, point),
        databases=tuple(databases),
        code=Code(
            release=str(output(names.RELEASE)),
            package={},
            server_image=None,
            data_modules=(),
            engine_version="16",
        ),
        administrator_version=1,
        seconds={},
    )
    site.store.create(key(label), manifest.text().encode())
    return manifest
