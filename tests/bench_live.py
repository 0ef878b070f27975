"""`make bench-live`: what real servers carry, measured on this machine with simulated people (tests/load).

Three questions, for docs/performance.md and core/sizing.py:

1. A server with so many workers, and as many people as the sizing promises for these: does the 95th
   percentile of their actions stay below a second? What is the most people for whom it does, and how much
   memory does a worker take after that?
2. How many pages a second come through load balancer and nginx, against Odoo asked directly, in turns?
3. The same for a static file, and with nginx alone before Odoo, which is what makes the difference there.

Everything runs on the same cores: load generator, load balancer, nginx, Odoo and PostgreSQL. The figures are
this machine's; the ratios are of more use than the numbers. With `--write` they go to docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.sizing import GEVENT_MIB, USERS_FOR_EACH_WORKER, WORKER_MIB
from tests.e2e.deployment import Deployment, deployment
from tests.e2e.names import run_with_hosts
from tests.e2e.people import as_person
from tests.load.crowd import prepare, working
from tests.load.users import Entrance, Person, percentile, reasons, times

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured by make bench-live -->", "<!-- end of what was measured -->"
LIMIT_SECONDS = 1.0
WORKERS = tuple(map(int, os.environ.get("BENCH_WORKERS", "2 3 5").split()))
"""5 is what the rule vCPU x 2 + 1 gives two cores."""
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
"""How long each number of people works."""
STEPS = tuple(map(int, os.environ.get("BENCH_STEPS", "6 10 16 24 32").split()))
"""People a worker that are tried beside the promised number, until the limit is passed."""
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
WRK_SECONDS = 8
PAGE_ROUNDS, PAGE_SECONDS = 8 * ROUNDS, 3
"""Of pages: short and many, since neighbouring turns differ by 10 %, and 3 % is the goal."""
STATIC = "/web/static/img/favicon.ico"
NGINX_PORT = 8080
"""Of a web-client server."""
MEMORY = """
import json, pathlib
found = []
for process in pathlib.Path("/proc").iterdir():
    try:
        arguments = (process / "cmdline").read_text().split(chr(0))
        rollup = (process / "smaps_rollup").read_text()
        parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
    except OSError:
        continue
    if "/usr/bin/odoo" in arguments:
        sizes = dict(line.split()[:2] for line in rollup.splitlines()[1:])
        found.append(
            {"pid": process.name, "parent": parent, "gevent": "gevent" in arguments,
             "rss": int(sizes["Rss:"]) / 1024, "pss": int(sizes["Pss:"]) / 1024}
        )
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class Work:
    """So many people for a while. Seconds."""

    people: int
    actions: int
    requests: int
    median: float
    p95: float
    request_p95: float
    failures: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """What one number of workers carries. Memory in MiB: RSS, and PSS, which shares out what is shared."""

    workers: int
    promised: Work
    most: int
    worker_pss: float
    worker_rss: float
    gevent_pss: float
    master_pss: float


def quiet() -> None:
    """Say so when something else works on this machine: then the figures are of that, too."""
    load = os.getloadavg()[0]
    if load > 1:
        print(f"this machine is busy (load {load:.1f}): the figures will be worse than it", file=sys.stderr)


def let_work(entrance: Entrance, accounts: list[tuple[str, str]], number: int) -> Work:
    """Let so many people work, and measure once all are at it."""
    with working(entrance, accounts[:number]) as record:
        time.sleep(5)
        since = time.monotonic()
        time.sleep(SECONDS)
    actions, requests = (times(which, since=since) for which in (record.actions, record.requests))
    failures = record.failures(since=since)
    if failures:
        print(reasons(failures), file=sys.stderr)
    work = Work(
        people=number,
        actions=len(actions),
        requests=len(requests),
        median=percentile(actions, 0.5),
        p95=percentile(actions, 0.95),
        request_p95=percentile(requests, 0.95),
        failures=len(failures),
    )
    print(f"    {work}", file=sys.stderr, flush=True)
    return work


def set_workers(live: Deployment, server: str, workers: int) -> None:
    """Let Odoo on this one server run with so many workers; a new server would take minutes."""
    changed = live.inside(
        server,
        "sh",
        "-c",
        f"sed -i 's/^workers = .*/workers = {workers}/' /etc/openerp/odoo.conf && "
        "systemctl restart openerp-odoo.service",
    )
    if changed.returncode:
        sys.exit(f"Odoo did not restart: {changed.stderr}")
    time.sleep(5)
    live.wait("healthy server", lambda: live.healthy("web-client") == {server}, 90)


def memory(live: Deployment, server: str) -> tuple[float, float, float, float]:
    """Of a worker (PSS, RSS; the mean), the websocket process and the master (PSS), in MiB."""
    shown = live.inside(server, "python3", "-c", MEMORY)
    processes = json.loads(shown.stdout)
    pids = {one["pid"] for one in processes}
    (master,) = [one for one in processes if one["parent"] not in pids]
    (gevent,) = [one for one in processes if one["gevent"]]
    workers = [one for one in processes if one is not master and not one["gevent"]]
    return (
        statistics.mean(one["pss"] for one in workers),
        statistics.mean(one["rss"] for one in workers),
        gevent["pss"],
        master["pss"],
    )


def measure_size(
    live: Deployment, server: str, entrance: Entrance, accounts: list[tuple[str, str]], workers: int
) -> Size:
    """Find out what so many workers carry."""
    print(f"{workers} workers", file=sys.stderr, flush=True)
    set_workers(live, server, workers)
    promised = let_work(entrance, accounts, workers * USERS_FOR_EACH_WORKER)
    most = promised.people if promised.p95 < LIMIT_SECONDS else 0
    for step in STEPS:
        number = workers * step
        if number > promised.people and most:
            work = let_work(entrance, accounts, number)
            if work.p95 >= LIMIT_SECONDS or work.failures:
                break
            most = number
    pss, rss, gevent, master = memory(live, server)
    return Size(
        workers=workers,
        promised=promised,
        most=most,
        worker_pss=pss,
        worker_rss=rss,
        gevent_pss=gevent,
        master_pss=master,
    )


def wrk(command: list[str], hosts: dict[str, str] | None) -> float:
    """Run wrk; requests a second. Ends the program where answers were errors."""
    if hosts is None:
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    else:
        ended = run_with_hosts(hosts, *command)
    found = re.search(r"Requests/sec:\s+([\d.]+)", ended.stdout)
    if found is None or "Non-2xx" in ended.stdout:
        sys.exit(f"{' '.join(command[-2:])}:\n{ended.stdout}{ended.stderr}")
    return float(found[1])


def in_turns(
    live: Deployment,
    server: str,
    entrance: Entrance,
    path: str,
    connections: int,
    *,
    balancer: bool = True,
    rounds: int = ROUNDS,
    seconds: int = WRK_SECONDS,
) -> tuple[float, float, float]:
    """Requests a second of Odoo itself and through more (medians), and the median of the rounds' ratios.

    That is the load balancer and nginx; without `balancer` nginx alone, without TLS, as Odoo itself is asked.
    """
    session = as_person(entrance, live.administrator(), session_cookie)
    shared = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    headers = ["--header", f"Cookie: session_id={session}", "--timeout", "30s"]
    network = ["nsenter", "--target", str(live.leader(server)), "--net", "--"]
    port = live.inside(server, "sed", "-n", "s/^http_port = //p", "/etc/openerp/odoo.conf").stdout.strip()
    direct: list[float] = []
    through: list[float] = []
    for number in range(rounds):
        print(f"{path}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        bare = [*network, "wrk", *shared, *headers, f"http://127.0.0.1:{port}{path}"]
        if balancer:
            more = ["wrk", *shared, *headers, f"{entrance.url}{path}"]
        else:
            host = ["--header", f"Host: {entrance.host}"]
            more = [*network, "wrk", *shared, *headers, *host, f"http://127.0.0.1:{NGINX_PORT}{path}"]
        pair = [(direct, bare, None), (through, more, live.hosts if balancer else None)]
        for figures, command, hosts in pair if number % 2 else reversed(pair):
            figures.append(wrk(command, hosts))
    ratios = [after / before for before, after in zip(direct, through, strict=True)]
    return statistics.median(direct), statistics.median(through), statistics.median(ratios)


async def session_cookie(person: Person) -> str:
    """The session of a person who has logged in."""
    (cookie,) = [one.value for one in person.session.cookie_jar if one.key == "session_id"]
    return str(cookie)


Turns = tuple[float, float, float]


def table(sizes: list[Size], page: Turns, nginx: Turns, static: Turns) -> str:
    """What was measured, as Markdown."""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores ({platform.machine()}), "
        f"{SECONDS:.0f} s for each number of people; in turns, {PAGE_ROUNDS} rounds of {PAGE_SECONDS} s for "
        f"pages and {ROUNDS} of {WRK_SECONDS} s for static files.",
        "",
        "| workers | people promised | p50 | p95 | p95 of requests | failures | most people with p95 < 1 s | "
        "people a worker | a worker, PSS / RSS | websocket process, PSS | master, PSS |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sizes:
        work = one.promised
        lines.append(
            f"| {one.workers} | {work.people} | {work.median:.2f} s | {work.p95:.2f} s | "
            f"{work.request_p95:.2f} s | {work.failures} | {one.most} | {one.most / one.workers:.0f} | "
            f"{one.worker_pss:.0f} / {one.worker_rss:.0f} MiB | {one.gevent_pss:.0f} MiB | "
            f"{one.master_pss:.0f} MiB |"
        )
    lines += [
        "",
        "| requests a second | Odoo itself | with what is before it | ratio | goal |",
        "|---|---|---|---|---|",
        f"| pages (`/odoo`, logged in), load balancer and nginx | {page[0]:.1f} | {page[1]:.1f} | "
        f"{page[2]:.3f} | at least 0.97 |",
        f"| static files, nginx | {nginx[0]:.0f} | {nginx[1]:.0f} | {nginx[2]:.1f} | at least 20 |",
        f"| static files, load balancer with TLS and nginx | {static[0]:.0f} | {static[1]:.0f} | "
        f"{static[2]:.1f} | |",
    ]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table into docs/performance.md, between its two marks."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    parser.epilog = (
        "BENCH_WORKERS, BENCH_STEPS (people a worker), BENCH_SECONDS and BENCH_ROUNDS change what is tried."
    )
    wanted = parser.parse_args()
    from local.nodes.requirements import missing

    lacking = [*missing(), *([] if shutil.which("wrk") else ["wrk"])]
    if lacking:
        sys.exit(f"this machine lacks {', '.join(lacking)}")
    quiet()
    given = os.environ.get("OPENERP_E2E_HOME")
    with ExitStack() as stack:
        directory = Path(given).resolve() if given else None
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openerp-bench-")))
        live = stack.enter_context(deployment(directory, keep=given is not None))
        (server,) = live.scale("web-client", 1)
        entrance = live.entrance()
        most = max(WORKERS) * max(*STEPS, USERS_FOR_EACH_WORKER)
        accounts = asyncio.run(prepare(entrance, *live.administrator(), users=most))
        sizes = [measure_size(live, server, entrance, accounts, workers) for workers in WORKERS]
        set_workers(live, server, min(WORKERS))
        page = in_turns(
            live, server, entrance, "/odoo", connections=4, rounds=PAGE_ROUNDS, seconds=PAGE_SECONDS
        )
        nginx = in_turns(live, server, entrance, STATIC, connections=16, balancer=False)
        static = in_turns(live, server, entrance, STATIC, connections=16)
    text = table(sizes, page, nginx, static)
    print(text)
    print(
        f"\ncore/sizing.py counts {USERS_FOR_EACH_WORKER} people, {WORKER_MIB:.0f} MiB a worker and "
        f"{GEVENT_MIB} MiB for the websocket process"
    )
    if wanted.write:
        write(text)


if __name__ == "__main__":
    main()
