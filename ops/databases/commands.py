"""The command line of `ops dump` and `ops load`."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from core.dump_manifest import Manifest
from core.names import APPLICATION_ROLE
from ops.databases.errors import DatabaseError
from ops.databases.progress import Progress
from ops.stack_outputs import OutputsError, of_stack

CORES: Final = max(2, os.cpu_count() or 2)
Stack = Annotated[
    str | None,
    typer.Option(
        "--stack", "-s", help="Stack whose outputs name the server and the secret with the password."
    ),
]
OutputsFile = Annotated[
    str | None,
    typer.Option("--outputs", metavar="FILE|-", help="The stack's outputs; without it `pulumi` is asked."),
]
Host = Annotated[str | None, typer.Option("--host", help="Database server, where no stack names it.")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Its port; 5432.")]
User = Annotated[str | None, typer.Option("--user", help="Login role.")]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file", metavar="FILE|-", help="Its password, in the first line; else it is asked for."
    ),
]
Through = Annotated[
    str | None,
    typer.Option(
        "--through",
        metavar="ADDRESS:PORT",
        help="Near end of a tunnel to the server. Its certificate is still checked for its own name.",
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Certificate authority of the server: TLS with verify-full."),
]
Maintenance = Annotated[
    str, typer.Option("--maintenance-database", help="Where databases are made from, and loads are locked.")
]
Files = Annotated[
    Path | None,
    typer.Option(
        "--files", metavar="DIR", help="File store: the folder that holds a folder for each database."
    ),
]
NoFiles = Annotated[bool, typer.Option("--no-files", help="The database alone, without its attachments.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Tables, and archives, at a time.")]
Scratch = Annotated[
    Path | None, typer.Option("--scratch", metavar="DIR", help="Where scratch files may lie.")
]
PostgresBin = Annotated[
    str | None, typer.Option("--postgres-bin", metavar="DIR", help="Where pg_dump and pg_restore are.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Look and verify, change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON; progress to stderr.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(dump)
    app.command()(load)


def dump(
    database: Annotated[str, typer.Argument(help="Database to dump, with its file store.")],
    destination: Annotated[
        str, typer.Argument(help="A new folder, or `s3://bucket/prefix`: the dump's own, never overwritten.")
    ],
    stack: Stack = None,
    outputs: OutputsFile = None,
    files: Files = None,
    no_files: NoFiles = False,
    label: Annotated[
        str | None, typer.Option(help="Label in the manifest; else the destination's last part.")
    ] = None,
    kms_key: Annotated[
        str | None,
        typer.Option("--kms-key", metavar="ARN", help="Key for S3; else the bucket's default encryption."),
    ] = None,
    host: Host = None,
    port: Port = None,
    user: User = None,
    password_file: PasswordFile = None,
    through: Through = None,
    ca: Authority = None,
    jobs: Jobs = CORES,
    scratch: Scratch = None,
    postgres_bin: PostgresBin = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Dump one database and its file store, while people work with it.

    For example: `python -m ops dump working s3://acme-dumps/2027-01-31 --stack prod --ca rds.pem --files
    /srv/openerp/filestore`.

    The database is taken as of one moment, then the files: an attachment made meanwhile is one file more.
    Everything is compressed and hashed; `manifest.json` comes last, so a dump without it is none. A dump that
    was killed is run again as it was. Any tar reads the archives: `tar --zstd -xf database-000001.tar.zst`.

    S3: nothing but finished tables waits on disk, at most 2 GiB of them beside the tables that are being
    written; memory about 32 MiB a job. A folder needs the room of the dump itself.
    """
    from ops.databases import dump as dumping

    with _one_clear_message(as_json) as console:
        _files_or_not(files, no_files)
        server = _server(stack, outputs, database, host, port, user, password_file, through, ca, "postgres")
        place = _place(destination, kms_key)
        request = dumping.Request(
            database=database,
            files=files,
            label=label,
            jobs=jobs,
            scratch=scratch,
            postgres_bin=postgres_bin,
        )
        if dry_run:
            _print(dataclasses.asdict(dumping.plan(request, server, place)), as_json)
            return
        with _Shown(console) as progress:
            manifest = dumping.dump(request, server, place, progress)
    if as_json:
        _print(_summary(manifest) | {"destination": place.name}, as_json=True)
        return
    console.print(
        f"[green]dumped[/] {escape(database)} to {escape(place.name)}: {_of(manifest)}, "
        f"{manifest.bytes / 1e6:,.1f} MB in {len(manifest.pieces)} archives"
    )
    for warning in _warnings(manifest):
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def load(
    source: Annotated[str, typer.Argument(help="The dump: a folder, or `s3://bucket/prefix`.")],
    database: Annotated[str, typer.Argument(metavar="NEW_DATABASE", help="Name that no database has yet.")],
    copy: Annotated[
        bool | None,
        typer.Option(
            "--copy/--move",
            help="`--copy`: it gets a `database.uuid` of its own, as the original lives on. `--move`: it "
            "keeps the original's, which must not run any more. One of them must be given.",
            show_default=False,
        ),
    ] = None,
    stack: Stack = None,
    outputs: OutputsFile = None,
    files: Files = None,
    no_files: NoFiles = False,
    owner: Annotated[
        str | None,
        typer.Option(help="Role that gets the database; else the stack's application, or the login."),
    ] = None,
    locale: Annotated[
        str | None, typer.Option(help="Locale instead of the source's, for example `C`.")
    ] = None,
    host: Host = None,
    port: Port = None,
    user: User = None,
    password_file: PasswordFile = None,
    through: Through = None,
    ca: Authority = None,
    maintenance: Maintenance = "postgres",
    jobs: Jobs = CORES,
    scratch: Scratch = None,
    postgres_bin: PostgresBin = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Load a dump into a new database; it never goes over an existing one.

    For example: `python -m ops load s3://acme-dumps/2027-01-31 looking_back --copy --stack prod --ca rds.pem
    --files /srv/openerp/filestore`.

    Every archive is checked against its hash before the database gets its name, and so are the rows of the
    largest tables and the file of every attachment. Whatever goes wrong, and if it is killed: no half
    database has the new name, and the next load removes what is left. `--dry-run` verifies the whole dump.

    A copy of production sends mail and takes payments as production does: neutralise it before a server
    opens it. The scratch folder takes the database as it is in the archives.
    """
    from ops.databases import load as loading

    with _one_clear_message(as_json) as console:
        _files_or_not(files, no_files)
        if copy is None:
            raise DatabaseError(
                "--copy or --move? A copy gets a database.uuid of its own, since the original lives on; "
                "--move keeps the uuid, and the original must not run any more"
            )
        server = _server(stack, outputs, None, host, port, user, password_file, through, ca, maintenance)
        place = _place(source, None)
        request = loading.Request(
            database=database,
            files=files,
            new_uuid=copy,
            owner=owner or (APPLICATION_ROLE if stack is not None else None),
            locale=locale,
            jobs=jobs,
            scratch=scratch,
            postgres_bin=postgres_bin,
        )
        with _Shown(console) as progress:
            result = (loading.check if dry_run else loading.load)(request, server, place, progress)
    if as_json:
        made = {
            "loaded": database,
            "owner": result.owner,
            "database_uuid": result.database_uuid,
            "dry_run": dry_run,
        }
        _print(made | {"warnings": result.warnings, "dump": _summary(result.manifest)}, as_json=True)
        return
    what = "[green]verified[/], nothing was made:" if dry_run else "[green]loaded[/]"
    console.print(f"{what} {escape(place.name)} as {escape(database)}: {_of(result.manifest)}")
    if result.manifest.database_uuid and not dry_run:
        console.print(
            f"database.uuid {result.database_uuid} ({'new' if copy else 'kept: stop the original'})"
        )
    for warning in result.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


class _Shown(Progress):
    """Two bars and the name of the step, on the console."""

    def __init__(self, console: Console) -> None:
        self._lock = threading.Lock()
        self._bars = Bars(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[step]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def _add(self, task: str, count: int) -> None:
        with self._lock:
            if task not in self._tasks:
                self._tasks[task] = self._bars.add_task(task, total=None, step="")
        self._bars.advance(self._tasks[task], count)

    def step(self, name: str) -> None:
        self._add("database", 0)
        self._bars.update(self._tasks["database"], step=name)

    def database(self, count: int) -> None:
        self._add("database", count)

    def files(self, count: int) -> None:
        self._add("files", count)

    def __enter__(self) -> _Shown:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


@contextlib.contextmanager
def _one_clear_message(as_json: bool) -> Iterator[Console]:
    """End with one sentence and exit status 1 on every error that a person can cause; 130 when stopped."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    console = Console(stderr=as_json, soft_wrap=True, highlight=False)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    before = (
        signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None
    )
    try:
        yield console
    except (DatabaseError, OutputsError) as error:
        errors.print(f"[bold red]error:[/] {escape(' '.join(str(error).split()))}")
        raise typer.Exit(1) from None
    except OSError as error:
        where, said = str(error.filename or "file"), error.strerror or str(error)
        errors.print(f"[bold red]error:[/] {escape(f'{where}: {said}')}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors.print("[bold red]stopped[/]: what was made so far was removed")
        raise typer.Exit(130) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _files_or_not(files: Path | None, no_files: bool) -> None:
    if (files is None) != no_files:
        raise DatabaseError(
            "--files or --no-files? Attachments lie in the file store: --files names the folder that holds a "
            "folder for each database (in Odoo's data_dir: filestore); --no-files leaves them out"
        )


def _place(where: str, kms_key: str | None) -> Any:
    from ops.databases.places import open_place

    return open_place(where, kms_key=kms_key, client=lambda: _client("s3", None))


def _client(service: str, region: str | None) -> Any:
    """Return a boto3 client; one place, which tests replace."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session(region_name=region).client(
            service, config=Config(max_pool_connections=64)
        )
    except BotoCoreError as error:
        raise DatabaseError(f"AWS cannot be asked: {error}") from error


def _server(
    stack: str | None,
    outputs: str | None,
    database: str | None,
    host: str | None,
    port: int | None,
    user: str | None,
    password_file: str | None,
    through: str | None,
    ca: Path | None,
    maintenance: str,
) -> Any:
    from ops.databases.access import Way, server

    if stack is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
        raise DatabaseError(f"--stack: {stack!r} is no name of a stack")
    values = of_stack(stack, outputs) if stack is not None else None
    way = Way(
        outputs=values,
        host=host,
        port=port,
        user=user,
        password_file=password_file,
        through=through,
        ca=ca,
        maintenance=maintenance,
    )
    return server(
        way, database=database, client=_client, ask=lambda question: getpass.getpass(f"{question}: ")
    )


def _of(manifest: Manifest) -> str:
    release = f"release {manifest.release}, {len(manifest.modules)} modules, " if manifest.release else ""
    files = (
        f"{manifest.file_count:,} files of {manifest.file_bytes / 1e6:,.1f} MB"
        if manifest.with_files
        else "no files"
    )
    return f"{release}{files}"


def _warnings(manifest: Manifest) -> list[str]:
    from core.dump_manifest import some

    found = []
    if manifest.missing_files:
        found.append(f"attachments without their stored file: {some(manifest.missing_files)}")
    if manifest.damaged_files:
        found.append(f"stored files whose SHA-1 is not their name: {some(manifest.damaged_files)}")
    return found


def _summary(manifest: Manifest) -> dict[str, object]:
    content: dict[str, object] = manifest.model_dump(mode="json")
    return content | {"bytes": manifest.bytes}


def _print(content: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for name, value in content.items():
        typer.echo(
            f"{name.replace('_', ' '):<16} {value:,}"
            if isinstance(value, int)
            else f"{name.replace('_', ' '):<16} {value}"
        )
