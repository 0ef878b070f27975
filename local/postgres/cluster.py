"""One PostgreSQL cluster in a directory: made, started, copied, removed."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.postgres import archive, certificates
from local.postgres.archive import Archive
from local.postgres.binaries import Binaries, PostgresMissingError, for_data, newest
from local.postgres.copies import beside, remove
from local.postgres.copies import copy as copy  # for those who make clusters
from local.postgres.parameters import applicable
from local.postgres.processes import Spawner, command, front_command, record, run

log = logging.getLogger("postgres")

BOOTSTRAP = "rdsadmin"
"""The superuser, as on RDS. Its password never leaves the home."""
START_TIMEOUT = 60.0
"""Seconds until a server must accept logins; recovery after a kill counts."""
RECOVERY_TIMEOUT = 1800.0
"""The same where it is brought to a moment, through all the log since a copy."""
ARCHIVE_TIMEOUT = 60.0
"""Seconds for the log as it is now to be archived."""
FIRST_PORT, PORTS = 15432, 10_000
"""Ports are taken from here: below the range that systems give to outgoing connections (32768 on Linux), so
that a server finds its port free again after a restart."""


FORCE_TLS = "rds.force_ssl"
"""The parameter of RDS that shuts plain connections out: 1 unless set, from release 15 on."""


class ClusterError(Exception):
    """A cluster cannot do what was asked; the message says why."""


@dataclass(frozen=True)
class Master:
    """The role that owns everything a customer may own on RDS."""

    name: str
    password: str | None
    """None: the one that it has."""
    database: str | None
    """A first database, if the instance was asked for one."""


def _configure(data: Path) -> None:
    with (data / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists = 'local.conf'\n")
    (data / "pg_hba.conf").write_text(
        f"host replication {BOOTSTRAP} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )


def template(cache: Path) -> Path:
    """The directory of a fresh cluster and its superuser's password, made once for each release and home."""
    binaries = newest()
    directory = cache / f"postgresql-{binaries.version}"
    if directory.exists():
        return directory
    building = cache / f".{directory.name}.{os.getpid()}.{secrets.token_hex(4)}"
    (building / "data").mkdir(parents=True, mode=0o700)
    password = building / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if binaries.major >= 17
        else ["--locale=C"]
    )
    try:
        run(
            building / "data",
            [
                binaries.path("initdb"), "-D", str(building / "data"), "-U", BOOTSTRAP,
                f"--pwfile={password}",
                "--auth=scram-sha-256", "--encoding=UTF8", *locale, "--no-sync", "--no-instructions",
                "--wal-segsize=4",
            ],
        )  # fmt: skip
        _configure(building / "data")
        with contextlib.suppress(OSError):  # another process was faster
            building.rename(directory)
    except RuntimeError as error:
        raise ClusterError(f"no PostgreSQL cluster could be made: {error}") from None
    finally:
        remove(building)
    return directory


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _ports(preferred: int | None) -> Iterator[int]:
    if preferred:
        yield preferred
    offset = secrets.randbelow(PORTS)
    for step in range(PORTS):
        yield FIRST_PORT + (offset + step) % PORTS


class Cluster:
    """The cluster in ``directory``, with its data in ``data/`` and its output in ``log``. Not thread-safe."""

    def __init__(self, directory: Path, spawner: Spawner) -> None:
        self.directory = directory
        self._spawner = spawner
        self._process: subprocess.Popen[bytes] | None = None
        self._front: subprocess.Popen[bytes] | None = None
        self._server_port: int | None = None
        """Where the server itself listens, without TLS; for this process alone."""
        self._forced = True
        """Whether the front refuses plain connections."""
        self.archive = Archive(directory)
        self.archived = False
        """Whether the server archives its log."""

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int | None:
        """The loopback port of the last start, at which clients are served."""
        try:
            return int((self.directory / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg connection as the superuser, in autocommit."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self._server_port,
            user=BOOTSTRAP,
            password=(self.directory / "password").read_text(),
            dbname=database,
            autocommit=True,
            connect_timeout=10,
            sslmode="disable",
        )

    def _write_configuration(self, port: int, parameters: Mapping[str, str]) -> None:
        settings = {
            **parameters,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "external_pid_file": "",
            **(self.archive.settings() if self.archived else {}),
            # A stand-in for one machine: it survives the kill of any process, which is what happens here, and
            # not the loss of power; waiting for the disk would take most of the time of an `up`.
            "fsync": "off",
        }
        lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
        (self.data / "local.conf").write_text("\n".join(lines) + "\n")

    def start(self, parameters: Mapping[str, str], *, archived: bool = False) -> int:
        """Starts the server and waits until it accepts logins; gives its port. Raises ``ClusterError``.

        ``archived`` keeps what ``recover`` needs; without it nothing is kept of what was.
        """
        if self.running:
            return self.port or 0
        try:
            binaries = for_data(self.data)
        except (PostgresMissingError, FileNotFoundError) as error:
            raise ClusterError(str(error)) from None
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.data / "local.conf").unlink(missing_ok=True)
        chosen = applicable(binaries, self.data, parameters)
        refused = sorted(parameters.keys() - chosen.keys() - {FORCE_TLS})
        if refused:
            log.info("%s: not applied on this machine: %s", self.directory.name, ", ".join(refused))
        self.archived = archived
        if archived:
            self.archive.open()
        else:
            self.archive.remove()
        recovering = archive.is_recovering(self.directory)
        for values in (chosen, chosen, dict[str, str]()):
            port = next(port for port in _ports(None) if _free(port) and port != self.port)
            if self._try(binaries, port, values, RECOVERY_TIMEOUT if recovering else START_TIMEOUT):
                if recovering:
                    archive.finish(self.directory)
                if archived and (waiting := self.archive.waiting()):
                    self.archive.good_from(waiting, self.moment())
                return self._open_front(forced=parameters.get(FORCE_TLS) != "0")
            if recovering and archive.OVERSHOT in self._said(20):
                archive.go_to_the_end(self.directory)
        raise ClusterError(
            f"PostgreSQL did not start; the end of {self.directory / 'log'} says: {self._said()}"
        )

    def apply(self, parameters: Mapping[str, str]) -> int | None:
        """Gives a running server other parameters without a restart, as RDS does; gives its port.

        The static ones (``max_connections``) take effect at its next start.
        """
        if not self.running:
            return self.port
        chosen = applicable(for_data(self.data), self.data, parameters)
        self._write_configuration(self._server_port or 0, chosen)
        with self.connect() as connection:
            connection.execute("select pg_reload_conf()")
        forced = parameters.get(FORCE_TLS) != "0"
        if forced != self._forced:
            self._close_front()
            self._open_front(forced=forced)
        return self.port

    def _close_front(self) -> None:
        front, self._front = self._front, None
        if front is not None:
            front.kill()
            front.wait()

    def _open_front(self, *, forced: bool) -> int:
        """Lets clients in, at the port of the last time if it is free."""
        self._forced = forced
        host = f"{self.directory.name}.rds.amazonaws.com"
        pair = certificates.provide(self.directory.parent, self.directory, host)
        for port in _ports(self.port):
            with contextlib.suppress(OSError):
                listener = socket.create_server(("127.0.0.1", port), backlog=128)
                break
        else:
            raise ClusterError("no port on 127.0.0.1 is free for PostgreSQL")
        with listener:
            self._front = self._spawner.spawn(
                front_command(listener.fileno(), self._server_port or 0, *pair, forced=forced),
                self.directory / "log",
                kept=[listener.fileno()],
            )
        (self.directory / "port").write_text(str(port))
        return port

    def _said(self, count: int = 3) -> str:
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return " / ".join(lines[-count:])

    def _try(self, binaries: Binaries, port: int, parameters: Mapping[str, str], patience: float) -> bool:
        import psycopg

        self._write_configuration(port, parameters)
        self._server_port = port
        self._process = self._spawner.spawn(
            command(self.data, [binaries.path("postgres"), "-D", str(self.data)], bound=True),
            self.directory / "log",
        )
        record(self.directory / "process.json", self._process.pid)
        deadline = time.monotonic() + patience
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                record(self.directory / "process.json", self._process.pid)
                return True
            time.sleep(0.02)
        self.stop(how=signal.SIGQUIT)
        return False

    def stop(self, how: int = signal.SIGINT) -> None:
        """Shuts down; by default after rolling open transactions back and writing a checkpoint."""
        self._close_front()
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        (self.directory / "process.json").unlink(missing_ok=True)

    def provide(self, master: Master) -> None:
        """Makes the roles that RDS has, and gives the master role its password. May run again."""
        from psycopg import sql

        with self.connect() as connection:
            roles = {row[0] for row in connection.execute("select rolname from pg_roles")}
            for name in ("rds_superuser", "rds_password", "rds_replication", "rds_iam"):
                if name not in roles:
                    connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
            if "rds_superuser" not in roles:
                connection.execute(
                    "grant pg_monitor, pg_signal_backend, pg_checkpoint, pg_create_subscription, "
                    "rds_password, rds_replication to rds_superuser with admin option"
                )
            own = sql.Identifier(master.name)
            if master.name not in roles:
                connection.execute(sql.SQL("create role {}").format(own))
                connection.execute(sql.SQL("grant rds_superuser to {}").format(own))
                connection.execute(sql.SQL("alter database postgres owner to {}").format(own))
            connection.execute(
                sql.SQL("alter role {} with login createdb createrole nosuperuser").format(own)
            )
            if master.password is not None:
                connection.execute(
                    sql.SQL("alter role {} password {}").format(own, sql.Literal(master.password))
                )
            if (
                master.database
                and not connection.execute(
                    "select 1 from pg_database where datname = %s", [master.database]
                ).fetchone()
            ):
                connection.execute(
                    sql.SQL("create database {} owner {}").format(sql.Identifier(master.database), own)
                )

    def back_up(self, target: Path) -> None:
        """A consistent copy in ``target``, all or nothing, while the server goes on; a plain one if it is
        down."""
        if not self.running:
            copy(self.directory, target)
            return
        partial = beside(target)
        partial.mkdir(parents=True, mode=0o700)
        password = (self.directory / "password").read_text()
        try:
            run(
                partial,
                [
                    for_data(self.data).path("pg_basebackup"), "-D", str(partial / "data"), "-h", "127.0.0.1",
                    "-p", str(self._server_port), "-U", BOOTSTRAP, "--checkpoint=fast", "--wal-method=stream",
                    "--no-sync",
                ],
                PGPASSWORD=password,
                PGSSLMODE="disable",
            )  # fmt: skip
            (partial / "data" / "local.conf").unlink(missing_ok=True)
            shutil.copy2(self.directory / "password", partial / "password")
            partial.rename(target)
        except RuntimeError as error:
            raise ClusterError(f"no copy could be made: {error}") from None
        finally:
            remove(partial)

    def moment(self) -> float:
        """Now, by the server's clock: seconds since 1970."""
        with self.connect() as connection:
            return float(connection.execute("select extract(epoch from clock_timestamp())").fetchone()[0])

    def keep_copy(self) -> None:
        """Makes a copy of the running server that a recovery can begin with."""
        if self.running and self.archived:
            place = self.archive.next_place()
            self.back_up(place)
            self.archive.good_from(place, self.moment())

    def _flush(self) -> None:
        """Waits until all that is written by now is archived."""
        with self.connect() as connection:
            # With nothing in it, a segment is not finished.
            connection.execute("select pg_create_restore_point('flush')")
            segment = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone()[0]
        deadline = time.monotonic() + ARCHIVE_TIMEOUT
        while not (self.archive.log / segment).exists():
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.directory.name} does not archive its log: {self._said()}")
            time.sleep(0.01)

    def recover(self, target: Path, until: float) -> None:
        """Makes a directory in ``target`` whose server, when it is started, has the data of a moment in
        seconds since 1970, or the present ones (``inf``). This server goes on. Raises ``ClusterError``."""
        running = self.running
        if running:
            self._flush()
        try:
            self.archive.recover(self.directory, target, until, None if running else self.data / "pg_wal")
        except LookupError as error:
            raise ClusterError(f"{self.directory.name} cannot be recovered: {error}") from None

    def remove(self) -> None:
        """Shuts the server down and deletes the directory."""
        self.stop(how=signal.SIGQUIT)
        doomed = self.directory.with_name(f".deleted.{self.directory.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(FileNotFoundError):
            self.directory.rename(doomed)
        remove(doomed)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
