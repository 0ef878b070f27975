"""What a `FileStore` registers. Not proven: that EFS accepts it, or that a server can mount it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.file_store import FileStore, FileStoreArgs, RestoredFiles
from core import names
from tests.components.conftest import Deploy, Graph


def store(deploy: Deploy, **changes: Any) -> Graph:
    values: dict[str, Any] = {
        "vpc_id": "vpc-1",
        "subnet_ids": {"eu-west-1a": "subnet-a", "eu-west-1b": "subnet-b"},
        "key_alias": "openerp-test-file-store",
        **changes,
    }
    return deploy(lambda: FileStore("files", FileStoreArgs(**values)))


def test_a_file_store_has_exactly_these_children(deploy: Deploy) -> None:
    assert store(deploy).children("files") == {
        ("aws:kms/key:Key", "files-key"),
        ("aws:kms/alias:Alias", "files-key"),
        ("aws:efs/fileSystem:FileSystem", "files-files"),
        ("aws:ec2/securityGroup:SecurityGroup", "files-access"),
        ("aws:efs/mountTarget:MountTarget", "files-eu-west-1a"),
        ("aws:efs/mountTarget:MountTarget", "files-eu-west-1b"),
        ("aws:efs/accessPoint:AccessPoint", "files-odoo"),
        ("aws:efs/backupPolicy:BackupPolicy", "files-backup"),
        ("aws:efs/fileSystemPolicy:FileSystemPolicy", "files-policy"),
    }


def test_each_zone_mounts_in_its_own_subnet(deploy: Deploy) -> None:
    targets = store(deploy).of("aws:efs/mountTarget:MountTarget")
    assert {t.name: t.inputs["subnetId"] for t in targets} == {
        "files-eu-west-1a": "subnet-a",
        "files-eu-west-1b": "subnet-b",
    }
    assert all(t.inputs["securityGroups"] == ["files-access-id"] for t in targets)


@pytest.mark.parametrize("protect", [False, True])
def test_files_and_their_key_are_protected_together(deploy: Deploy, protect: bool) -> None:
    graph = store(deploy, protect=protect)
    for resource in (graph.one("aws:efs/fileSystem:FileSystem"), graph.one("aws:kms/key:Key")):
        assert resource.protect is protect
        assert resource.retain_on_delete, "files are never deleted, nor the key to them"


def test_files_are_encrypted_at_rest_and_on_the_way(deploy: Deploy) -> None:
    graph = store(deploy)
    inputs = graph.one("aws:efs/fileSystem:FileSystem").inputs
    assert inputs["encrypted"] is True
    assert inputs["kmsKeyId"].endswith(":files-key")
    (statement,) = json.loads(graph.one("aws:efs/fileSystemPolicy:FileSystemPolicy").inputs["policy"])[
        "Statement"
    ]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_everything_belongs_to_odoos_own_user(deploy: Deploy) -> None:
    inputs = store(deploy).one("aws:efs/accessPoint:AccessPoint").inputs
    assert inputs["posixUser"] == {"uid": names.ODOO_UID, "gid": names.ODOO_GID}
    assert inputs["rootDirectory"] == {
        "path": "/odoo",
        "creationInfo": {"ownerUid": names.ODOO_UID, "ownerGid": names.ODOO_GID, "permissions": "0750"},
    }


RESTORED = RestoredFiles(file_system_id="fs-00000002", path="/aws-backup-restore_2027-01-01/odoo")


def test_a_restored_file_system_takes_the_place_of_its_own(deploy: Deploy) -> None:
    graph = store(deploy, restored=RESTORED, protect=True)
    assert graph.children("files") == store(deploy).children("files"), "nothing has another name"
    read = graph.one("aws:efs/fileSystem:FileSystem")
    assert read.read_id == "fs-00000002"
    assert not read.protect
    of_it = [r for r in graph.registrations if "fileSystemId" in r.inputs]
    assert len(of_it) == 5
    assert {r.inputs["fileSystemId"] for r in of_it} == {"fs-00000002"}
    outputs = graph.outputs_of("files")
    assert outputs["file_system_id"] == "fs-00000002"
    assert outputs["file_system_arn"].endswith(":fs-00000002")
    assert outputs["path"] == RESTORED.path


def test_the_directory_of_a_restore_is_never_made_empty(deploy: Deploy) -> None:
    inputs = store(deploy, restored=RESTORED).one("aws:efs/accessPoint:AccessPoint").inputs
    assert inputs["rootDirectory"] == {"path": RESTORED.path}
    assert inputs["posixUser"] == {"uid": names.ODOO_UID, "gid": names.ODOO_GID}


def test_a_preview_knows_the_restored_file_system(deploy: Deploy) -> None:
    values: dict[str, Any] = {"vpc_id": "vpc-1", "subnet_ids": {"eu-west-1a": "subnet-a"}, "key_alias": "k"}
    graph = deploy(
        lambda: FileStore("files", FileStoreArgs(**values, restored=RESTORED)),
        preview=True,
    )
    assert graph.one("aws:efs/mountTarget:MountTarget").inputs["fileSystemId"] == "fs-00000002"


def test_by_itself_the_file_store_admits_nobody(deploy: Deploy) -> None:
    graph = store(deploy)
    assert graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") == []
    assert graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule") == []
    group = graph.one("aws:ec2/securityGroup:SecurityGroup")
    assert "ingress" not in group.inputs
    assert "egress" not in group.inputs


def test_throughput_and_backup_follow_the_settings(deploy: Deploy) -> None:
    graph = store(deploy, throughput="bursting", backup=False)
    assert graph.one("aws:efs/fileSystem:FileSystem").inputs["throughputMode"] == "bursting"
    assert graph.one("aws:efs/backupPolicy:BackupPolicy").inputs["backupPolicy"] == {"status": "DISABLED"}


def test_the_outputs_are_registered(deploy: Deploy) -> None:
    assert set(store(deploy).outputs_of("files")) == {
        "file_system_id",
        "file_system_arn",
        "path",
        "access_point_id",
        "access_point_arn",
        "security_group_id",
        "kms_key_arn",
    }
