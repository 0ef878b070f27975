"""`dist/<stack>/` on disk: modes, what stays, what goes, and `.p12` files that open with their passwords."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from core.client_configuration import ClientConfigurationError
from ops.clients import MANIFEST, PASSWORD_LENGTH, write
from tests.ops.authority import Authority, stack_outputs


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def contents(target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in target.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_written_and_returned(authority: Authority, tmp_path: Path) -> None:
    target = tmp_path / "dist" / "dev"
    written = write(stack_outputs(authority), target)
    assert {path.name for path in written} == {
        "1-anna.p12",
        "1-anna.password",
        "1-anna.pem",
        "2-warehouse-scanner.p12",
        "2-warehouse-scanner.password",
        "2-warehouse-scanner.pem",
        "bookmarks.html",
        "ca.pem",
        "index.html",
        "openerprc",
        "rpc.json",
        "rpc_json2.py",
        "rpc_odoorpc.py",
        "rpc_xmlrpc.py",
    }
    assert {path.name for path in target.iterdir()} == {path.name for path in written} | {MANIFEST}


def test_secrets_are_readable_by_their_owner_alone(authority: Authority, tmp_path: Path) -> None:
    target = tmp_path / "dev"
    target.mkdir(mode=0o755)
    for path in write(stack_outputs(authority), target):
        secret = path.suffix in (".p12", ".password") or path.name[0].isdigit()
        assert mode(path) == (0o600 if secret else 0o644), path.name
    assert mode(target) == 0o700


def test_each_p12_opens_with_the_password_kept_beside_it(authority: Authority, tmp_path: Path) -> None:
    write(stack_outputs(authority), tmp_path / "dev")
    for stem, name in (("1-anna", b"1 anna"), ("2-warehouse-scanner", b"2 warehouse scanner")):
        password = (tmp_path / "dev" / f"{stem}.password").read_bytes().strip()
        assert len(password) == PASSWORD_LENGTH
        store = pkcs12.load_pkcs12((tmp_path / "dev" / f"{stem}.p12").read_bytes(), password)
        assert store.cert is not None
        assert store.cert.friendly_name == name


def test_passwords_differ_from_one_certificate_to_the_next(authority: Authority, tmp_path: Path) -> None:
    write(stack_outputs(authority), tmp_path / "dev")
    assert len({path.read_text() for path in (tmp_path / "dev").glob("*.password")}) == 2


def test_a_second_run_changes_no_byte(authority: Authority, tmp_path: Path) -> None:
    outputs = stack_outputs(authority)
    write(outputs, tmp_path / "dev")
    before = contents(tmp_path / "dev")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "dev").iterdir() if path.name != MANIFEST}
    write(outputs, tmp_path / "dev")
    assert contents(tmp_path / "dev") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_new_certificate_gets_a_new_p12_and_password_and_the_other_keeps_its_own(
    authority: Authority, tmp_path: Path
) -> None:
    outputs = stack_outputs(authority)
    write(outputs, tmp_path / "dev")
    before = contents(tmp_path / "dev")
    certificate, key = authority.issue("anna")
    outputs["client_certificates"]["1"] |= {"certificate_pem": certificate, "private_key_pem": key}
    write(outputs, tmp_path / "dev")
    after = contents(tmp_path / "dev")
    assert after["1-anna.p12"] != before["1-anna.p12"]
    assert after["1-anna.password"] != before["1-anna.password"]
    assert after["2-warehouse-scanner.p12"] == before["2-warehouse-scanner.p12"]


@pytest.mark.parametrize("damage", ["1-anna.p12", "1-anna.pem", "1-anna.password"])
def test_a_damaged_file_is_made_again(authority: Authority, tmp_path: Path, damage: str) -> None:
    outputs = stack_outputs(authority)
    write(outputs, tmp_path / "dev")
    (tmp_path / "dev" / damage).write_text("damaged")
    write(outputs, tmp_path / "dev")
    password = (tmp_path / "dev" / "1-anna.password").read_bytes().strip()
    assert pkcs12.load_pkcs12((tmp_path / "dev" / "1-anna.p12").read_bytes(), password).cert is not None


def test_files_of_a_certificate_that_is_gone_are_removed_and_no_others(
    authority: Authority, tmp_path: Path
) -> None:
    outputs = stack_outputs(authority)
    write(outputs, tmp_path / "dev")
    (tmp_path / "dev" / "3-mine.p12").write_text("a person put this here")
    del outputs["client_certificates"]["2"]
    write(outputs, tmp_path / "dev")
    assert sorted(path.name for path in (tmp_path / "dev").glob("*.p12")) == ["1-anna.p12", "3-mine.p12"]
    assert not (tmp_path / "dev" / "2-warehouse-scanner.password").exists()


def test_a_manifest_that_someone_changed_cannot_lead_out_of_the_directory(
    authority: Authority, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("keep")
    outputs = stack_outputs(authority)
    write(outputs, tmp_path / "dev")
    (tmp_path / "dev" / MANIFEST).write_text(json.dumps({"files": ["../outside", "..", "", 3]}))
    write(outputs, tmp_path / "dev")
    assert outside.read_text() == "keep"


def test_an_expired_certificate_stops_everything_before_a_file_is_written(
    authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(ClientConfigurationError, match="expired"):
        write(stack_outputs(authority), tmp_path / "dev", now=datetime.now(UTC) + timedelta(days=400))
    assert not (tmp_path / "dev").exists()


def test_an_authority_that_is_no_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ClientConfigurationError, match="ca_certificate"):
        write(stack_outputs(authority, ca_certificate="nothing"), tmp_path / "dev")


def test_a_target_that_is_a_file_or_a_link_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(ClientConfigurationError, match="not a directory"):
            write(stack_outputs(authority), tmp_path / name)


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_left_alone(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("keep")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "ca.pem").symlink_to(tmp_path / "victim")
    write(stack_outputs(authority), tmp_path / "dev")
    assert (tmp_path / "victim").read_text() == "keep"
    assert not (tmp_path / "dev" / "ca.pem").is_symlink()
