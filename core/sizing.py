"""Sizing: from people and data to workers, servers, the database server and its connections.

Sources. Odoo documentation, "Deploying Odoo": one worker serves about 6 simultaneous users; workers and
scheduled-job processes together are at most vCPU x 2 + 1; of the workers 80 % are light (150 MB) and 20 %
heavy (1 GB). Measured on Odoo 19: 138 to 161 MB a worker after load, 114 MB the websocket process. Numbers
that are this project's own estimate say so where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from core import instance_classes
from core.instance_classes import InstanceType
from core.problems import Invalid, Problem, full_key
from core.regions import Region

MIB: Final = 1024 * 1024
_T = TypeVar("_T")

USERS_FOR_EACH_WORKER: Final = 6
RPC_SHARE: Final = 0.25
"""Load of integrations and RPC clients, as a share of the people's. Estimate."""
MIN_WORKERS: Final = 2
"""One worker alone would make everybody wait for one long report."""
MIN_VCPU: Final = 2
"""A single vCPU would leave nothing for the start-up of a worker. Estimate."""
PREFERRED_WORKERS: Final = 17
"""A server grows to 8 vCPU (17 workers) before there is another one. Estimate."""
WORKER_MIB: Final = 0.8 * 150 + 0.2 * 1024
GEVENT_MIB: Final = 150
SYSTEM_MIB: Final = 400
"""Operating system, nginx, SSM and log agents. Estimate."""
TENANT_MIB: Final = 200
"""One tenant's threaded instance on each server. Measured 140 to 160 MB after load; rounded up."""
FIRST_TENANTS: Final = 10
"""Room for tenants is made in steps (10, 20, 40 …), so that one more tenant changes no server and no
parameter of the database server except at a step."""
SOFT_LIMIT_MIB: Final = (640, 2048)
"""Smallest and largest `limit_memory_soft`; 2048 is Odoo's default."""
HARD_OVER_SOFT: Final = 1.25
"""Odoo's defaults: 2560 MiB hard over 2048 MiB soft."""

DB_MAXCONN: Final = 8
"""Connections of one worker. It serves one request at a time and opens a few cursors for it. Estimate."""
DB_MAXCONN_GEVENT: Final = 16
"""Connections of the websocket process, which serves all of a server's sockets. Estimate."""
CONNECTION_RESERVE: Final = 20
"""For RDS itself, superuser_reserved_connections, the reporting role, backups and the operator. Estimate."""
REFRESH_MAX_HEALTHY_PERCENTAGE: Final = 110
"""During a rolling instance refresh a group holds a tenth more servers (at least one more) than its size."""

DATABASE_KEPT_MIB: Final = 384
"""Memory RDS keeps for itself: `DBInstanceClassMemory` is that much below the hardware's. Estimate."""
BYTES_FOR_EACH_CONNECTION: Final = 9_531_392
"""RDS's own limit: max_connections = LEAST(DBInstanceClassMemory / 9531392, 5000)
(RDS user guide, "Maximum number of database connections")."""
MAX_CONNECTIONS: Final = 5000
WORKERS_FOR_EACH_DATABASE_VCPU: Final = 6
"""Busy workers that one vCPU of the database server carries. Estimate."""
MEMORY_FOR_DATA: Final = 0.125
"""Share of the data that the database server's memory should hold. Estimate."""
SUSTAINED_FROM: Final = 30
"""From so many simultaneous users on, no burstable type is chosen. Estimate."""

MIN_STORAGE_GIB: Final = 20
MAX_STORAGE_GIB: Final = 65_536
"""gp3 of RDS for PostgreSQL (RDS API reference, CreateDBInstance, AllocatedStorage). IOPS and throughput are
left at the baseline, so nothing has to change where RDS begins to stripe at 400 GiB."""
AUTOSCALING_PERCENT: Final = 110
"""The limit of storage autoscaling is at least 10 % above the storage (RDS user guide)."""

STATIC_PARAMETERS: Final = frozenset({"max_connections", "shared_buffers"})
"""Parameters that take effect at a reboot (`apply_method = "pending-reboot"`); the others are dynamic."""

_SERVER_PREFERENCE: Final = ("t4g", "c7g", "m7g", "r7g", "c8g", "m8g", "r8g", "t3", "c7i", "m7i")
_DATABASE_PREFERENCE: Final = ("t4g", "m7g", "r7g", "m8g", "r8g", "t3", "m7i")


class SizingRefused(Exception):  # noqa: N818  (an answer, not a failure of the program)
    """What was set by hand does not carry the load; `problems` holds the keys and the numbers."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, kw_only=True)
class ServerRequest:
    """What the settings say about one group of servers; None is for sizing to decide."""

    instance_type: str | None = None
    min_servers: int = 1
    max_servers: int | None = None
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class SizingRequest:
    """Everything sizing decides from. Sizes in GB (data) and GiB (storage)."""

    users: int
    simultaneous: int
    data_size_gb: int
    region: Region
    zones: tuple[str, ...]
    tenants: int | None = None
    """Tenants of the offer `saas`, each with an instance on every server; None for the other offers."""
    app: ServerRequest = ServerRequest()
    cron_threads: int = 2
    web_client: ServerRequest = ServerRequest()
    instance_class: str | None = None
    storage_gb: int | None = None
    max_storage_gb: int | None = None


@dataclass(frozen=True, kw_only=True)
class ServerSizing:
    """One group of servers. `limit_memory_soft` and `_hard` in bytes, as odoo.conf wants them."""

    instance_type: str
    architecture: instance_classes.Architecture
    vcpu: int
    memory_mib: int
    workers: int
    cron_threads: int
    tenants: int
    """Tenants that the server has room for; 0 for offers without tenants."""
    min_servers: int
    max_servers: int
    db_maxconn: int
    db_maxconn_gevent: int
    limit_memory_soft: int
    limit_memory_hard: int
    burstable: bool

    @property
    def connections(self) -> int:
        """Return the most database connections that one server can hold open."""
        processes = self.workers + self.cron_threads + self.tenants
        return processes * self.db_maxconn + self.db_maxconn_gevent

    @property
    def most_servers(self) -> int:
        """Return the most servers that run at once: the maximum, and the surge of a rolling refresh."""
        return most_servers(self.max_servers)


@dataclass(frozen=True, kw_only=True)
class DatabaseSizing:
    """The database server. Storage in GiB; parameters in the units of an RDS parameter group."""

    instance_class: str
    vcpu: int
    memory_mib: int
    allocated_storage_gb: int
    max_allocated_storage_gb: int
    max_connections: int
    connection_budget: int
    """Connections that clients may hold at the very most; the alarm's 100 %."""
    parameters: Mapping[str, str]
    burstable: bool


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The answer of `size`."""

    app: ServerSizing
    web_client: ServerSizing
    database: DatabaseSizing


def workers_for(simultaneous: int, share: float = 1.0) -> int:
    """Return the workers that `simultaneous` users need, at least two."""
    return max(MIN_WORKERS, math.ceil(simultaneous * share / USERS_FOR_EACH_WORKER))


def tenant_room(tenants: int | None) -> int:
    """Return how many tenants room is made for: 10, 20, 40 and so on; 0 where there are none (None)."""
    if tenants is None:
        return 0
    room = FIRST_TENANTS
    while room < tenants:
        room *= 2
    return room


def server_memory_mib(workers: int, cron_threads: int, tenants: int = 0) -> int:
    """Return the memory in MiB that a server with so many processes needs."""
    return math.ceil((workers + cron_threads) * WORKER_MIB + tenants * TENANT_MIB + GEVENT_MIB + SYSTEM_MIB)


def most_servers(max_servers: int) -> int:
    """Return the most servers a group can hold: its maximum and the surge of a rolling refresh."""
    return max_servers + max(1, math.ceil(max_servers * (REFRESH_MAX_HEALTHY_PERCENTAGE - 100) / 100))


def connection_limit(kind: InstanceType) -> int:
    """Return the most connections that an RDS class carries, by RDS's own formula."""
    return min(MAX_CONNECTIONS, (kind.memory_mib - DATABASE_KEPT_MIB) * MIB // BYTES_FOR_EACH_CONNECTION)


def size(request: SizingRequest) -> Sizing:
    """Decide every size; what is set by hand is kept, and checked against the same budget.

    Raises:
        SizingRefused: the settings do not carry the load, or more servers than PostgreSQL has connections
            for; each problem names its key and the numbers.
    """
    problems: list[Problem] = []
    app = _attempt(
        problems,
        lambda: _servers(
            request,
            request.app,
            "appServer",
            workers_for(request.simultaneous, RPC_SHARE),
            request.cron_threads,
        ),
    )
    web = _attempt(
        problems,
        lambda: _servers(
            request, request.web_client, "webClientServer", workers_for(request.simultaneous), 0
        ),
    )
    storage = _attempt(problems, lambda: _storage(request))
    if app is None or web is None or storage is None:
        raise SizingRefused(problems)
    database = _attempt(problems, lambda: _database(request, app, web, storage))
    if database is None:
        raise SizingRefused(problems)
    return Sizing(app=app, web_client=web, database=database)


def _attempt(problems: list[Problem], decide: Callable[[], _T]) -> _T | None:
    try:
        return decide()
    except SizingRefused as refused:
        problems.extend(refused.problems)
        return None


def _refuse(key: tuple[str, ...], wrong: str, right: str) -> SizingRefused:
    return SizingRefused([Problem(key=full_key(*key), wrong=wrong, right=right)])


def _servers(
    request: SizingRequest, group: ServerRequest, key: str, needed: int, cron_threads: int
) -> ServerSizing:
    """Size one group of servers for `needed` workers in all."""
    tenants = tenant_room(request.tenants)
    cron = f" and {cron_threads} scheduled-job threads" if cron_threads else ""
    if group.max_servers is not None and group.max_servers < group.min_servers:
        raise _refuse(
            (key, "maxServers"),
            f"is {group.max_servers}, `minServers` is {group.min_servers}",
            "Make `maxServers` the larger of the two",
        )
    kind = _server_type(request, group, key)
    workers = group.workers
    if workers is None:
        most = (
            PREFERRED_WORKERS - cron_threads if kind is None else _most_workers(kind, cron_threads, tenants)
        )
        if most < 1:
            raise _refuse(
                (key, "instanceType"),
                f"{group.instance_type} has no room for one worker{cron}{_with_tenants(tenants)}",
                "Choose a larger one, or leave it out",
            )
        servers = _between(math.ceil(needed / max(most, 1)), group.min_servers, group.max_servers)
        workers = max(min(MIN_WORKERS, most), math.ceil(needed / servers))
        workers = workers if kind is None else min(workers, most)
    servers = _between(math.ceil(needed / workers), group.min_servers, group.max_servers)
    if workers * servers < needed:
        raise _refuse(
            (key, "maxServers" if group.max_servers is not None else "workers"),
            f"{servers} servers with {workers} workers each make {workers * servers}; {needed} are needed "
            f"for {request.simultaneous} simultaneous users",
            "Raise `maxServers` or `workers`, choose a larger `instanceType`, or leave them out",
        )
    kind = kind or _smallest_server(request, workers, cron_threads, key)
    memory = server_memory_mib(workers, cron_threads, tenants)
    if workers + cron_threads > kind.vcpu * 2 + 1:
        raise _refuse(
            (key, "workers"),
            f"{workers} workers{cron} are more than {kind.name} carries: {kind.vcpu} vCPU x 2 + 1 = "
            f"{kind.vcpu * 2 + 1} processes",
            "Lower `workers` or choose a larger `instanceType`",
        )
    if memory > kind.memory_mib:
        raise _refuse(
            (key, "workers"),
            f"{workers} workers{cron}{_with_tenants(tenants)} need {memory} MiB; {kind.name} has "
            f"{kind.memory_mib} MiB",
            "Lower `workers` or choose a larger `instanceType`",
        )
    free = kind.memory_mib - SYSTEM_MIB - GEVENT_MIB - tenants * TENANT_MIB
    soft = min(SOFT_LIMIT_MIB[1], max(SOFT_LIMIT_MIB[0], free // 2))
    return ServerSizing(
        instance_type=kind.name,
        architecture=kind.architecture,
        vcpu=kind.vcpu,
        memory_mib=kind.memory_mib,
        workers=workers,
        cron_threads=cron_threads,
        tenants=tenants,
        min_servers=servers,
        max_servers=group.max_servers if group.max_servers is not None else servers + math.ceil(servers / 2),
        db_maxconn=DB_MAXCONN,
        db_maxconn_gevent=DB_MAXCONN_GEVENT,
        limit_memory_soft=soft * MIB,
        limit_memory_hard=int(soft * HARD_OVER_SOFT) * MIB,
        burstable=kind.burstable,
    )


def _server_type(request: SizingRequest, group: ServerRequest, key: str) -> InstanceType | None:
    if group.instance_type is None:
        return None
    try:
        kind = instance_classes.server_type(group.instance_type)
    except Invalid as invalid:
        raise _refuse((key, "instanceType"), invalid.wrong, invalid.right) from None
    lacking = [zone for zone in request.zones if request.region.lacks(kind.family, zone)]
    if lacking:
        raise _refuse(
            (key, "instanceType"),
            f"{kind.name} is not offered in {', '.join(lacking)}",
            "Choose another family, or leave it out",
        )
    return kind


def _with_tenants(tenants: int) -> str:
    return f" with room for {tenants} tenants" if tenants else ""


def _most_workers(kind: InstanceType, cron_threads: int, tenants: int) -> int:
    """Return how many workers fit a type, by vCPU and by memory."""
    by_memory = (kind.memory_mib - GEVENT_MIB - SYSTEM_MIB - tenants * TENANT_MIB) / WORKER_MIB
    return min(kind.vcpu * 2 + 1, math.floor(by_memory)) - cron_threads


def _between(number: int, low: int, high: int | None) -> int:
    number = max(number, low)
    return number if high is None else min(number, high)


def _smallest_server(request: SizingRequest, workers: int, cron_threads: int, key: str) -> InstanceType:
    fitting = [
        kind
        for kind in instance_classes.SERVER_TYPES.values()
        if kind.vcpu >= MIN_VCPU
        and not (kind.burstable and request.simultaneous >= SUSTAINED_FROM)
        and _most_workers(kind, cron_threads, tenant_room(request.tenants)) >= workers
        and not any(request.region.lacks(kind.family, zone) for zone in request.zones)
    ]
    if not fitting:
        raise _refuse(
            (key, "workers"),
            f"no instance type carries {workers} workers{_with_tenants(tenant_room(request.tenants))}",
            "Use more servers with fewer each",
        )
    return min(fitting, key=lambda kind: _order(kind, _SERVER_PREFERENCE))


def _order(kind: InstanceType, preference: tuple[str, ...]) -> tuple[bool, int, int, int]:
    """Order types by price, roughly: Graviton before Intel, then vCPU, memory, and age of the family."""
    return kind.architecture != "arm64", kind.vcpu, kind.memory_mib, preference.index(kind.family)


def _storage(request: SizingRequest) -> tuple[int, int]:
    """Return allocated storage and autoscaling limit in GiB."""
    storage, most = request.storage_gb, request.max_storage_gb
    if storage is None:
        storage = min(MAX_STORAGE_GIB, max(MIN_STORAGE_GIB, request.data_size_gb * 2))
        if most is not None:
            storage = max(MIN_STORAGE_GIB, min(storage, most * 100 // AUTOSCALING_PERCENT))
    if storage < request.data_size_gb:
        raise _refuse(
            ("database", "storageGb" if request.storage_gb is not None else "maxStorageGb"),
            f"leaves {storage} GiB for {request.data_size_gb} GB of data",
            f"Give {max(MIN_STORAGE_GIB, request.data_size_gb * 2)} or more, or leave it out",
        )
    least = -(-storage * AUTOSCALING_PERCENT // 100)
    if most is None:
        most = min(MAX_STORAGE_GIB, max(100, storage * 3))
    if least > MAX_STORAGE_GIB or most < least:
        raise _refuse(
            ("database", "maxStorageGb" if request.max_storage_gb is not None else "storageGb"),
            f"storage is {storage} GiB and its limit {most} GiB; RDS wants the limit 10 % above the storage",
            f"Make `maxStorageGb` {least} or more"
            if least <= MAX_STORAGE_GIB
            else f"RDS holds {MAX_STORAGE_GIB} GiB at most",
        )
    return storage, most


def _database(
    request: SizingRequest, app: ServerSizing, web: ServerSizing, storage: tuple[int, int]
) -> DatabaseSizing:
    budget = app.most_servers * app.connections + web.most_servers * web.connections
    connections = math.ceil((budget + CONNECTION_RESERVE) / 10) * 10
    explained = (
        f"{app.most_servers} app servers x {app.connections} + {web.most_servers} web-client servers x "
        f"{web.connections} + {CONNECTION_RESERVE} in reserve = {budget + CONNECTION_RESERVE} connections "
        f"(servers counted at their maximum and during a rolling refresh{_with_tenants(app.tenants)})"
    )
    fewer = "lower `openerp:appServer.maxServers` or `openerp:webClientServer.maxServers`"
    if request.instance_class is not None:
        kind = _database_class(request)
        if connection_limit(kind) < connections:
            raise _refuse(
                ("database", "instanceClass"),
                f"{kind.name} carries {connection_limit(kind)} connections; needed are {explained}",
                f"Choose a larger class, leave it out, or {fewer}",
            )
    else:
        busy = workers_for(request.simultaneous) + workers_for(request.simultaneous, RPC_SHARE)
        vcpu = max(2, math.ceil(busy / WORKERS_FOR_EACH_DATABASE_VCPU))
        largest = max(k.memory_mib for k in instance_classes.DATABASE_CLASSES.values())
        memory = min(largest // 2, math.ceil(request.data_size_gb * MEMORY_FOR_DATA * 1024))
        fitting = [
            kind
            for kind in instance_classes.DATABASE_CLASSES.values()
            if not (kind.burstable and request.simultaneous >= SUSTAINED_FROM)
            and kind.family not in request.region.missing_database_families
            and kind.vcpu >= vcpu
            and kind.memory_mib >= memory
            and connection_limit(kind) >= connections
        ]
        if not fitting:
            raise _refuse(
                ("tenants",) if app.tenants else ("users", "simultaneous"),
                f"no RDS class of {request.region.name} carries {request.simultaneous} simultaneous users on "
                f"{request.data_size_gb} GB: {explained}, {vcpu} vCPU, {memory} MiB",
                f"Split the deployment, or {fewer}",
            )
        kind = min(fitting, key=lambda k: _order(k, _DATABASE_PREFERENCE))
    return DatabaseSizing(
        instance_class=kind.name,
        vcpu=kind.vcpu,
        memory_mib=kind.memory_mib,
        allocated_storage_gb=storage[0],
        max_allocated_storage_gb=storage[1],
        max_connections=connections,
        connection_budget=budget,
        parameters=postgresql_parameters(kind.memory_mib, connections),
        burstable=kind.burstable,
    )


def _database_class(request: SizingRequest) -> InstanceType:
    try:
        kind = instance_classes.database_class(request.instance_class or "")
    except Invalid as invalid:
        raise _refuse(("database", "instanceClass"), invalid.wrong, invalid.right) from None
    if kind.family in request.region.missing_database_families:
        raise _refuse(
            ("database", "instanceClass"),
            f"{kind.name} is not offered in {request.region.name}",
            "Choose another family, or leave it out",
        )
    return kind


def postgresql_parameters(memory_mib: int, max_connections: int) -> Mapping[str, str]:
    """Return PostgreSQL's sizes as an RDS parameter group writes them.

    `shared_buffers` (a quarter of the memory) and `effective_cache_size` (half) are in pages of 8 kB,
    `work_mem` and `maintenance_work_mem` in kB (PostgreSQL documentation, units of `pg_settings`; RDS takes
    the bare number). `work_mem` shares a quarter of the memory among all connections, 4 to 64 MB each.
    `random_page_cost` 1.1 is PostgreSQL's advice for storage without seeks.
    """
    memory_kb = (memory_mib - DATABASE_KEPT_MIB) * 1024
    work_mem = min(65_536, max(4_096, memory_kb // 4 // max_connections))
    return {
        "max_connections": str(max_connections),
        "shared_buffers": str(memory_kb // 4 // 8),
        "effective_cache_size": str(memory_kb // 2 // 8),
        "work_mem": str(work_mem),
        "maintenance_work_mem": str(min(2_097_152, max(65_536, memory_kb // 16))),
        "random_page_cost": "1.1",
    }
