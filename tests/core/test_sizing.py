"""Sizing: what is decided carries the load, and what is set by hand is held to the same budget."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core import instance_classes, regions, sizing
from core.sizing import ServerRequest, ServerSizing, Sizing, SizingRefused, SizingRequest

FRANKFURT = regions.find("eu-central-1")


def request(**changes: object) -> SizingRequest:
    values: dict[str, object] = {
        "users": 100,
        "simultaneous": 40,
        "data_size_gb": 20,
        "region": FRANKFURT,
        "zones": FRANKFURT.zones[:2],
    }
    return SizingRequest(**(values | changes))  # type: ignore[arg-type]  # any field, by name


def refusal(**changes: object) -> str:
    with pytest.raises(SizingRefused) as caught:
        sizing.size(request(**changes))
    return str(caught.value)


@st.composite
def requests(draw: st.DrawFn) -> SizingRequest:
    region = regions.REGIONS[draw(st.sampled_from(sorted(regions.REGIONS)))]
    group = st.builds(
        ServerRequest,
        instance_type=st.none() | st.sampled_from(sorted(instance_classes.SERVER_TYPES)),
        min_servers=st.integers(1, 20),
        max_servers=st.none() | st.integers(1, 40),
        workers=st.none() | st.integers(1, 60),
    )
    simultaneous = draw(st.integers(1, 3000))
    return SizingRequest(
        users=simultaneous * 3,
        simultaneous=simultaneous,
        data_size_gb=draw(st.integers(1, 60_000)),
        region=region,
        zones=region.zones[: draw(st.integers(2, 3))],
        tenants=draw(st.none() | st.integers(0, 100)),
        app=draw(group),
        cron_threads=draw(st.integers(1, 16)),
        web_client=draw(group),
        instance_class=draw(st.none() | st.sampled_from(sorted(instance_classes.DATABASE_CLASSES))),
        storage_gb=draw(st.none() | st.integers(20, 65_536)),
        max_storage_gb=draw(st.none() | st.integers(20, 65_536)),
    )


def check_servers(found: ServerSizing, asked: ServerRequest, needed: int) -> None:
    assert found.workers * found.min_servers >= needed
    assert found.workers + found.cron_threads <= found.vcpu * 2 + 1
    assert sizing.server_memory_mib(found.workers, found.cron_threads, found.tenants) <= found.memory_mib
    assert found.min_servers <= found.max_servers < found.most_servers
    assert asked.min_servers <= found.min_servers
    assert asked.max_servers in (None, found.max_servers)
    assert asked.workers in (None, found.workers)
    assert asked.instance_type in (None, found.instance_type)
    assert found.limit_memory_soft < found.limit_memory_hard <= found.memory_mib * sizing.MIB


def check_all(asked: SizingRequest, found: Sizing) -> None:
    check_servers(found.app, asked.app, sizing.workers_for(asked.simultaneous, sizing.RPC_SHARE))
    check_servers(found.web_client, asked.web_client, sizing.workers_for(asked.simultaneous))
    database = found.database
    kind = instance_classes.DATABASE_CLASSES[database.instance_class]
    held = sum(g.most_servers * g.connections for g in (found.app, found.web_client))
    assert held == database.connection_budget
    assert held + sizing.CONNECTION_RESERVE <= database.max_connections <= sizing.connection_limit(kind)
    assert kind.family not in asked.region.missing_database_families
    assert asked.instance_class in (None, database.instance_class)
    assert database.allocated_storage_gb >= sizing.MIN_STORAGE_GIB
    assert asked.data_size_gb <= database.allocated_storage_gb
    assert database.allocated_storage_gb * 1.1 <= database.max_allocated_storage_gb <= sizing.MAX_STORAGE_GIB
    assert asked.storage_gb in (None, database.allocated_storage_gb)
    assert asked.max_storage_gb in (None, database.max_allocated_storage_gb)


@given(requests())
def test_whatever_is_asked_is_carried_or_refused(asked: SizingRequest) -> None:
    try:
        found = sizing.size(asked)
    except SizingRefused as refused:
        assert refused.problems
        assert all(problem.key.startswith("openerp:") for problem in refused.problems)
    else:
        check_all(asked, found)


@given(st.sampled_from(sorted(regions.REGIONS)), st.integers(1, 900), st.integers(1, 2000))
def test_up_to_900_simultaneous_users_are_carried_in_every_region(
    name: str, simultaneous: int, data_size_gb: int
) -> None:
    region = regions.REGIONS[name]
    asked = request(
        simultaneous=simultaneous, data_size_gb=data_size_gb, region=region, zones=region.zones[:2]
    )
    found = sizing.size(asked)
    check_all(asked, found)
    for group in (found.app, found.web_client):
        kind = instance_classes.SERVER_TYPES[group.instance_type]
        assert not any(region.lacks(kind.family, zone) for zone in asked.zones)
        assert not (kind.burstable and simultaneous >= sizing.SUSTAINED_FROM)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_more_users_never_get_fewer_workers(few: int, many: int) -> None:
    assume(few < many)
    small, large = (sizing.size(request(simultaneous=n)) for n in (few, many))
    for one, other in ((small.app, large.app), (small.web_client, large.web_client)):
        assert one.workers * one.min_servers <= other.workers * other.min_servers
    assert small.database.vcpu <= large.database.vcpu


def test_the_default_is_graviton() -> None:
    found = sizing.size(request())
    assert {found.app.architecture, found.web_client.architecture} == {"arm64"}
    assert found.database.instance_class.split(".")[1].endswith("g")


def test_only_the_app_servers_run_scheduled_jobs() -> None:
    found = sizing.size(request(cron_threads=3))
    assert found.app.cron_threads == 3
    assert found.web_client.cron_threads == 0


def test_six_simultaneous_users_share_a_worker() -> None:
    assert [sizing.workers_for(n) for n in (1, 12, 13, 60, 61)] == [2, 2, 3, 10, 11]


def test_too_many_workers_for_the_vcpu_are_refused_with_the_numbers() -> None:
    group = ServerRequest(instance_type="c7g.large", workers=9, max_servers=4)
    text = refusal(web_client=group)
    assert "openerp:webClientServer.workers: 9 workers" in text
    assert "2 vCPU x 2 + 1 = 5" in text


def test_too_little_memory_is_refused_with_the_numbers() -> None:
    text = refusal(app=ServerRequest(instance_type="t4g.micro", workers=2))
    assert "openerp:appServer.workers" in text
    assert "1024 MiB" in text


def test_too_few_servers_are_refused_with_the_numbers() -> None:
    text = refusal(simultaneous=200, web_client=ServerRequest(workers=5, max_servers=2))
    assert "openerp:webClientServer.maxServers: 2 servers with 5 workers each make 10; 34 are needed" in text


def test_a_database_class_without_the_connections_is_refused_with_the_numbers() -> None:
    text = refusal(instance_class="db.t4g.micro")
    assert "openerp:database.instanceClass: db.t4g.micro carries 70 connections; needed are" in text
    assert "during a rolling refresh" in text


def test_the_largest_group_and_its_refresh_count_against_the_connections() -> None:
    few = sizing.size(request(web_client=ServerRequest(max_servers=2)))
    many = sizing.size(request(web_client=ServerRequest(max_servers=20)))
    grown = many.web_client.connections * (22 - 3)
    assert many.database.connection_budget - few.database.connection_budget == grown


def test_a_family_that_the_region_lacks_is_refused() -> None:
    emirates = regions.find("me-central-1")
    text = refusal(region=emirates, zones=emirates.zones[:2], app=ServerRequest(instance_type="t4g.large"))
    assert "t4g.large is not offered in me-central-1a" in text
    text = refusal(region=emirates, zones=emirates.zones[:2], instance_class="db.r7g.large")
    assert "db.r7g.large is not offered in me-central-1" in text


def test_every_problem_is_reported_at_once() -> None:
    text = refusal(
        app=ServerRequest(instance_type="m7g.lrage"),
        web_client=ServerRequest(min_servers=3, max_servers=2),
        storage_gb=20,
        data_size_gb=50,
    )
    for key in ("appServer.instanceType", "webClientServer.maxServers", "database.storageGb"):
        assert key in text


def test_storage_and_its_limit_keep_the_distance_that_rds_wants() -> None:
    assert "Make `maxStorageGb` 110 or more" in refusal(storage_gb=100, max_storage_gb=105)
    assert "65536" in refusal(storage_gb=65_000)


def test_storage_by_hand_must_hold_the_data() -> None:
    assert "leaves 20 GiB for 50 GB" in refusal(storage_gb=20, data_size_gb=50)
    assert "database.maxStorageGb: leaves 36 GiB" in refusal(max_storage_gb=40, data_size_gb=50)


def test_a_maximum_below_the_minimum_is_refused() -> None:
    assert "`minServers` is 3" in refusal(app=ServerRequest(min_servers=3, max_servers=2))


@given(st.integers(1024, 800_000), st.integers(20, 5000))
def test_postgresql_never_gets_more_memory_than_there_is(memory_mib: int, connections: int) -> None:
    found = {k: float(v) for k, v in sizing.postgresql_parameters(memory_mib, connections).items()}
    memory_kb = memory_mib * 1024
    assert found["shared_buffers"] * 8 <= memory_kb / 4
    assert found["effective_cache_size"] * 8 <= memory_kb / 2
    assert 64 <= found["work_mem"] <= 65_536
    assert 65_536 <= found["maintenance_work_mem"] <= 2_097_152
    assert found["max_connections"] == connections


def test_the_parameters_that_need_a_reboot_are_known() -> None:
    assert set(sizing.postgresql_parameters(8192, 200)) >= sizing.STATIC_PARAMETERS


@given(st.integers(0, 100), st.integers(1, 300))
def test_there_is_room_for_every_tenant_on_every_server(tenants: int, simultaneous: int) -> None:
    asked = request(simultaneous=simultaneous, tenants=tenants)
    try:
        found = sizing.size(asked)
    except SizingRefused as refused:
        assert "room for" in str(refused)
        return
    check_all(asked, found)
    assert min(found.app.tenants, found.web_client.tenants) >= tenants


def test_one_more_tenant_changes_no_server_and_no_parameter_except_at_a_step() -> None:
    sizes = [sizing.size(request(tenants=n)) for n in range(21)]
    assert [sizing.tenant_room(n) for n in (0, 1, 10, 11, 20, 21)] == [10, 10, 10, 20, 20, 40]
    assert sizes[0] == sizes[10]
    assert sizes[11] == sizes[20] != sizes[10]


def test_tenants_cost_connections_and_more_than_can_be_had_are_refused() -> None:
    few, many = (sizing.size(request(tenants=n)).database for n in (10, 20))
    assert many.connection_budget > few.connection_budget
    text = refusal(tenants=500)
    assert text.startswith("openerp:tenants: no RDS class")
    assert "with room for 640 tenants" in text


def test_offers_without_tenants_make_no_room_for_any() -> None:
    assert sizing.size(request()).app.tenants == 0
