"""`make bench-dump`: `ops dump` and `ops load` beside Odoo's own zip, each command as a whole process.

On a PostgreSQL of its own with a database and a file store that look like a used Odoo's: large tables with
text and many indexes, hundreds of small ones, 20,000 attachments of mixed sizes that hardly compress. Where
`odoo` is on PATH, it is `odoo db dump` and `odoo db load` that are timed; elsewhere, the same steps as these
take, written from Odoo's documentation: pg_dump as plain SQL, a copy of the file store, a zip of both; then
unzip, psql, move. Rounds are paired, so that a busy machine is busy for both.

`BENCH_ROUNDS` (2), `BENCH_SCALE` (1.0 is 1.3 GB), `BENCH_DIR`: how often, how much, where.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.postgres.binaries import newest
from local.postgres.cluster import BOOTSTRAP, Cluster, copy, template
from local.postgres.processes import Spawner

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
SCALE = float(os.environ.get("BENCH_SCALE", "1.0"))
GOAL = 3.0
DATABASE = "bench"
SERVER = {
    "shared_buffers": "131072",  # 8 KB each: 1 GB, as core/sizing.py gives a server of 4 GB
    "max_wal_size": "4096",
    "checkpoint_timeout": "900",
    "max_connections": "50",
    "jit": "0",
}
"""As a small database server of RDS is set, roughly; the same for both sides."""

ODOO_TABLES = """
create table if not exists ir_module_module (
    id serial primary key, name varchar unique, state varchar, latest_version varchar);
create table if not exists ir_config_parameter (id serial primary key, key varchar unique, value text);
create table if not exists ir_attachment (
    id serial primary key, name varchar not null, res_model varchar, res_id int, type varchar not null,
    store_fname varchar, file_size int, checksum varchar(40), mimetype varchar, index_content text,
    create_date timestamp);
insert into ir_module_module (name, state, latest_version)
    select 'base', 'installed', '19.0.1.3' where not exists (select from ir_module_module);
insert into ir_config_parameter (key, value)
    select 'database.uuid', gen_random_uuid()::text
    where not exists (select from ir_config_parameter where key = 'database.uuid');
"""
LARGE_TABLES = """
create table bench_partner (id serial primary key, name varchar not null, email varchar, street varchar,
    city varchar, vat varchar, comment text, active bool, create_date timestamp, write_date timestamp);
insert into bench_partner (name, email, street, city, vat, comment, active, create_date, write_date)
    select 'Customer ' || md5(i::text), 'mail' || i || '@example.com', i || ' Main Street',
        'City ' || i % 997,
        'BE0' || 400000000 + i, repeat('Pays late. Wants a call before delivery. ', i % 4), i % 17 > 0,
        now() - i * interval '1 minute', now()
    from generate_series(1, {partners}) i;
create table bench_move (id serial primary key, name varchar, ref varchar, date date, partner_id int,
    state varchar, amount_total numeric, currency_id int, create_uid int, create_date timestamp);
insert into bench_move (name, ref, date, partner_id, state, amount_total, currency_id, create_uid,
        create_date)
    select 'INV/2026/' || lpad(i::text, 8, '0'), md5((i * 7)::text), date '2020-01-01' + i % 2400,
        1 + i * 31 % {partners}, (array['draft','posted','cancel'])[1 + i % 3], (i * 37 % 99991) / 7.0, 1,
        i % 40, now() - i * interval '1 second'
    from generate_series(1, {moves}) i;
create table bench_move_line (id serial primary key, move_id int not null, partner_id int, account_id int,
    name varchar, date date, debit numeric not null, credit numeric not null, balance numeric,
    amount_currency numeric, quantity float8, product_id int, tax_line_id int, full_reconcile_id int,
    reconciled boolean, analytic_distribution jsonb, create_uid int, create_date timestamp, write_uid int,
    write_date timestamp);
insert into bench_move_line (move_id, partner_id, account_id, name, date, debit, credit, balance,
        amount_currency, quantity, product_id, reconciled, analytic_distribution, create_uid, create_date,
        write_uid, write_date)
    select 1 + i % {moves}, 1 + i * 31 % {partners}, i % 400, '[FURN_' || i % 5000 || '] Desk, oak, '
        || md5(i::text), date '2020-01-01' + i % 2400, (i * 37 % 99991) / 7.0, (i * 41 % 88883) / 9.0, 1.5,
        1.5, i % 9, i % 5000, i % 2 = 0,
        case when i % 3 = 0 then jsonb_build_object((i % 50)::text, 100) end, i % 40,
        now() - i * interval '1 second', i % 40, now()
    from generate_series(1, {lines}) i;
create table bench_message (id serial primary key, subject varchar, body text, model varchar, res_id int,
    message_type varchar, author_id int, email_from varchar, message_id varchar, parent_id int,
    date timestamp);
insert into bench_message (subject, body, model, res_id, message_type, author_id, email_from, message_id,
        parent_id, date)
    select 'Re: order ' || i, '<p>Dear customer,</p><p>' || (
            select string_agg((array['delivery','invoice','please','the','goods','will','arrive','on',
                'Monday','with','our','driver','thank','you','order','warehouse','confirm','attached','price','offer'])
                [1 + (('x' || substr(md5((i * 97 + j)::text), 1, 6))::bit(24)::int % 20)], ' ')
            from generate_series(1, 60) j) || '</p><p>' || md5(i::text) || '</p>', 'sale.order', i % 100000,
        'email', 1 + i % {partners}, 'mail' || i || '@example.com',
        '<' || md5((i * 13)::text) || '@mail.example.com>', nullif(i % 5, 0), now() - i * interval '1 second'
    from generate_series(1, {messages}) i;
"""
INDEXES = """
alter table bench_move add foreign key (partner_id) references bench_partner;
alter table bench_move_line add foreign key (move_id) references bench_move;
alter table bench_move_line add foreign key (partner_id) references bench_partner;
alter table bench_message add foreign key (author_id) references bench_partner;
create index on bench_partner (name);
create index on bench_partner (email);
create index on bench_partner (vat);
create index on bench_move (partner_id);
create index on bench_move (date, name, id);
create index on bench_move (ref);
create unique index on bench_move (name);
create index on bench_move_line (move_id);
create index on bench_move_line (partner_id, account_id);
create index on bench_move_line (account_id, date);
create index on bench_move_line (date desc, id);
create index on bench_move_line (product_id);
create index on bench_move_line (name);
create index on bench_move_line using gin (analytic_distribution);
create index on bench_message (model, res_id, id);
create index on bench_message (author_id);
create index on bench_message (message_id);
create index on bench_message (parent_id);
create index on ir_attachment (store_fname);
"""
SMALL_TABLES = 500


def fill(connection: Any, store: Path, scale: float) -> tuple[int, int]:
    """Make tables and attachments; returns number and bytes of the files."""
    connection.execute(ODOO_TABLES)
    sizes = {"partners": 60_000, "moves": 250_000, "lines": 1_000_000, "messages": 250_000}
    connection.execute(
        LARGE_TABLES.format(**{name: max(10, int(size * scale)) for name, size in sizes.items()})
    )
    for number in range(int(SMALL_TABLES * min(1.0, scale)) or 5):
        connection.execute(
            f"create table bench_small_{number} (id serial primary key, name varchar, value text);"
            f"insert into bench_small_{number} (name, value) "
            f"select 'n' || i, md5(i::text) from generate_series(1, {number % 200}) i;"
            f"create index on bench_small_{number} (name)"
        )
    count, total = attach(connection, store, int(20_000 * scale))
    connection.execute(INDEXES)
    return count, total


def attach(connection: Any, store: Path, number: int, sizes: Sequence[int] = ()) -> tuple[int, int]:
    """Put `number` attachments into the file store and the database; returns number and bytes.

    Most are small pictures, some are documents, few are large: 30 KB on average, unless `sizes` says other.
    """
    chance = random.Random(19)
    rows, total = [], 0
    for position in range(number):
        if sizes:
            size = sizes[position % len(sizes)]
        else:
            size = min(int(chance.lognormvariate(8.8, 1.6)) + 1, 20_000_000)
        data = chance.randbytes(size) if position % 5 else (b"<svg>some text, again</svg>" * (size // 27 + 1))
        data += position.to_bytes(4, "big")
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        path = store / name[:2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append((f"file {position}.jpg", f"{name[:2]}/{name}", len(data), name))
        total += len(data)
    with (
        connection.cursor() as cursor,
        cursor.copy("copy ir_attachment (name, store_fname, file_size, checksum, type) from stdin") as into,
    ):
        for row in rows:
            into.write_row((*row, "binary"))
    return number, total


def zip_dump(port: str, store: str, target: str, scratch: str) -> None:
    """Do what Odoo's dump does: copy the files, plain SQL, one zip."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        shutil.copytree(store, Path(directory) / "filestore")
        sql = Path(directory) / "dump.sql"
        client("pg_dump", port, "--no-owner", f"--file={sql}", DATABASE)
        with zipfile.ZipFile(target, "w", compression=zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            archive.write(sql, "dump.sql")
            for path in sorted((Path(directory) / "filestore").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(directory))


def zip_load(port: str, source: str, database: str, store: str, scratch: str) -> None:
    """Do what Odoo's load does: unzip all, plain SQL by psql, move the files."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(directory)
        client(
            "psql", port, "--quiet", "--dbname=postgres",
            f"--command=create database {database} encoding 'unicode' lc_collate 'C' template template0",
        )  # fmt: skip
        client("psql", port, "--quiet", f"--file={directory}/dump.sql", f"--dbname={database}")
        shutil.move(f"{directory}/filestore", store)


def client(program: str, port: str, *arguments: str) -> None:
    """Run a client of PostgreSQL as the bench's superuser."""
    subprocess.run(
        [newest().path(program), "-h", "127.0.0.1", "-p", port, "-U", BOOTSTRAP, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Run a command to its end; return the seconds of the whole process."""
    begin = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    seconds = time.monotonic() - begin
    if ended.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return seconds


class Bench:
    """The cluster, and the commands of both sides."""

    def __init__(self, place: Path, cluster: Cluster) -> None:
        self.place, self.cluster = place, cluster
        self.port = str(cluster._server_port)
        self.data_dir = place / "data"
        self.filestore = self.data_dir / "filestore"
        self.filestore.mkdir(parents=True)
        self.environment = {"PGPASSWORD": (cluster.directory / "password").read_text(), "TMPDIR": str(place)}
        self.configuration = place / "odoo.conf"
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(
            f"[options]\ndb_host = 127.0.0.1\ndb_port = {self.port}\ndb_user = {BOOTSTRAP}\n"
            f"db_password = {self.environment['PGPASSWORD']}\ndata_dir = {self.data_dir}\n"
            f"pg_path = {newest().directory}\ndb_template = template0\nlist_db = True\n"
        )
        self.odoo = shutil.which("odoo")

    def provide(self) -> tuple[int, int]:
        """Make the database, by Odoo itself where there is one, and fill it."""
        if self.odoo:
            timed(
                [self.odoo, "-c", str(self.configuration), "-d", DATABASE, "-i", "base", "--stop-after-init"],
                self.environment,
            )
        else:
            with self.cluster.connect() as connection:
                connection.execute(f"create database {DATABASE} lc_collate 'C' template template0")
        with self.cluster.connect(DATABASE) as connection:
            made = fill(connection, self.filestore / DATABASE, SCALE)
            connection.execute("vacuum analyze")
        return made

    def their_dump(self, target: Path) -> float:
        """Time Odoo's dump, or its steps."""
        if self.odoo:
            command = [self.odoo, "db", "-c", str(self.configuration), "dump", DATABASE, str(target)]
        else:
            command = [
                sys.executable, "-m", "tests.bench_dump", "zip_dump", self.port,
                str(self.filestore / DATABASE), str(target), str(self.place),
            ]  # fmt: skip
        return timed(command, self.environment)

    def their_load(self, source: Path, database: str) -> float:
        """Time Odoo's load, or its steps."""
        if self.odoo:
            command = [self.odoo, "db", "-c", str(self.configuration), "load", database, str(source)]
        else:
            command = [
                sys.executable, "-m", "tests.bench_dump", "zip_load", self.port, str(source), database,
                str(self.filestore / database), str(self.place),
            ]  # fmt: skip
        return timed(command, self.environment)

    def _ours(self, *arguments: str) -> float:
        command = [
            sys.executable, "-m", "ops", *arguments, "--host", "127.0.0.1", "--port", self.port, "--user",
            BOOTSTRAP, "--password-file", str(self.cluster.directory / "password"), "--files",
            str(self.filestore), "--postgres-bin", str(newest().directory),
        ]  # fmt: skip
        return timed(command, {"TMPDIR": str(self.place)})

    def our_dump(self, target: Path) -> float:
        """Time `ops dump`."""
        return self._ours("dump", DATABASE, str(target))

    def our_load(self, source: Path, database: str) -> float:
        """Time `ops load`."""
        return self._ours("load", str(source), database, "--copy", "--scratch", str(self.place))

    def remove(self, database: str) -> None:
        """Make room, and let both sides begin with an idle server."""
        with self.cluster.connect() as connection:
            connection.execute(f"drop database if exists {database} with (force)")
            connection.execute("checkpoint")
        shutil.rmtree(self.filestore / database, ignore_errors=True)
        os.sync()


def bench(place: Path, cluster: Cluster) -> None:
    """Run the rounds and print the table."""
    figures: dict[str, list[float]] = defaultdict(list)
    side = Bench(place, cluster)
    files, bytes_of_files = side.provide()
    with cluster.connect(DATABASE) as connection:
        size = connection.execute("select pg_database_size(current_database())").fetchone()[0]
    print(
        f"database {size / 1e6:,.0f} MB, {files:,} files of {bytes_of_files / 1e6:,.0f} MB; PostgreSQL "
        f"{newest().version}, {os.cpu_count()} cores; against {side.odoo or 'the steps of Odoo'}",
        flush=True,
    )
    zipped, dumped = place / "theirs.zip", place / "ours"
    for _ in range(ROUNDS):
        shutil.rmtree(dumped, ignore_errors=True)
        zipped.unlink(missing_ok=True)
        side.remove("nothing")
        figures["dump, Odoo's zip"].append(side.their_dump(zipped))
        side.remove("nothing")
        figures["dump, ops"].append(side.our_dump(dumped))
        for name, load, source in (
            ("load, Odoo's zip", side.their_load, zipped),
            ("load, ops", side.our_load, dumped),
        ):
            side.remove("loaded")
            figures[name].append(load(source, "loaded"))
        side.remove("loaded")
    packed = sum(path.stat().st_size for path in dumped.iterdir())
    print(f"zip {zipped.stat().st_size / 1e6:,.0f} MB, ops {packed / 1e6:,.0f} MB")
    print(f"{'seconds of the whole process':30}{'min':>8}{'median':>8}{'max':>8}")
    for name, seconds in figures.items():
        print(f"{name:30}{min(seconds):8.1f}{statistics.median(seconds):8.1f}{max(seconds):8.1f}")
    for what in ("dump", "load"):
        ratios = [
            theirs / ours
            for theirs, ours in zip(figures[f"{what}, Odoo's zip"], figures[f"{what}, ops"], strict=True)
        ]
        shown = ", ".join(f"{ratio:.1f}" for ratio in ratios)
        print(f"{what}: {statistics.median(ratios):.1f} times as fast (rounds: {shown}), goal {GOAL:.0f}")


def main() -> None:
    """Run on a cluster that is made for it and removed after it."""
    place = Path(tempfile.mkdtemp(prefix="openerp-bench-dump-", dir=os.environ.get("BENCH_DIR")))
    cluster = Cluster(place / "cluster", Spawner())
    try:
        copy(template(place / "cache"), cluster.directory)
        cluster.start(SERVER)
        with cluster.connect() as connection:
            # As every server that holds data, and unlike this cluster's own setting.
            connection.execute("alter system set fsync = on")
            connection.execute("select pg_reload_conf()")
        bench(place, cluster)
    finally:
        cluster.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["zip_dump"]:
        zip_dump(*sys.argv[2:])
    elif sys.argv[1:2] == ["zip_load"]:
        zip_load(*sys.argv[2:])
    else:
        main()
