"""What is done with a file system that AWS Backup has just made.

Not proved here: a mount of EFS, by a tunnel or otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.servers import ServerConfiguration
from core.servers.cloud_init import cloud_config
from ops.checkpoints.on_server import settle, tunnel
from tests.core.servers.conftest import VALUES

RESTORED = "aws-backup-restore_2027-01-01T10-11-12-123Z"
OTHER = "fs-00000000000000001"


def restored(root: Path, path: str) -> Path:
    stored = root / RESTORED / path.strip("/") / "filestore" / "openerp" / "ab"
    stored.mkdir(parents=True)
    (stored / "ab12").write_text("content")
    return stored


@pytest.mark.parametrize("path", ["/odoo", f"/{RESTORED}/odoo", "/a/b/c"])
def test_what_was_restored_is_put_where_a_stack_has_it(tmp_path: Path, path: str) -> None:
    """Whatever depth it was at: EFS takes four directories, and each restore would add one."""
    restored(tmp_path, path)
    assert settle(str(tmp_path), path) == "/odoo"
    assert (tmp_path / "odoo/filestore/openerp/ab/ab12").read_text() == "content"
    assert [entry.name for entry in tmp_path.iterdir()] == ["odoo"]
    assert settle(str(tmp_path), path) == "/odoo", "as after a kill"


def test_what_may_not_be_moved_is_served_from_where_it_is(tmp_path: Path) -> None:
    restored(tmp_path, "/odoo")
    (tmp_path / "odoo" / "in the way").mkdir(parents=True)
    assert settle(str(tmp_path), "/odoo") == f"/{RESTORED}/odoo"
    assert (tmp_path / RESTORED / "odoo/filestore/openerp/ab/ab12").exists()


def test_a_file_system_with_something_else_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    with pytest.raises(RuntimeError, match=r"no one folder of /odoo; in it: lost\+found"):
        settle(str(tmp_path), "/odoo")
    restored(tmp_path, "/odoo")
    (tmp_path / RESTORED).rename(tmp_path / f"{RESTORED}2")
    restored(tmp_path, "/odoo")
    with pytest.raises(RuntimeError, match="no one folder"):
        settle(str(tmp_path), "/odoo")


def test_the_tunnel_to_the_new_file_system_is_as_strict_as_the_servers_own() -> None:
    written = cloud_config(ServerConfiguration(**VALUES))["write_files"]
    (own,) = (file["content"] for file in written if file["path"] == "/etc/openerp/stunnel.conf")
    text = tunnel(own, VALUES["file_system_id"], OTHER, "10.20.1.7")
    assert VALUES["file_system_id"] not in text
    lines = text.splitlines()
    assert f"checkHost = {OTHER}.efs.eu-west-1.amazonaws.com" in lines
    assert "connect = 10.20.1.7:2049" in lines
    assert "accept = 127.0.0.1:20499" in lines
    assert "verifyChain = yes" in lines
    assert not any(line.startswith(("cert ", "key ")) for line in lines), "no permission is needed for it yet"


def test_a_configuration_of_another_form_is_not_half_changed() -> None:
    with pytest.raises(RuntimeError, match="has 'accept' 0 times"):
        tunnel("client = yes\n", "fs-1", OTHER, "10.20.1.7")
