"""One valid configuration, which each test changes where it must."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from core.servers import ServerConfiguration

VALUES: dict[str, Any] = {
    "role": "app",
    "stack": "prod",
    "environment": "production",
    "offer": "hosted",
    "region": "eu-west-1",
    "release": "19.0",
    "modules": ("crm", "sale_management"),
    "workers": 9,
    "cron_threads": 2,
    "database_host": "openerp.abc.eu-west-1.rds.amazonaws.com",
    "database_name": "openerp",
    "test_database_name": "openerp_test",
    "database_secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:application-AbCdEf",
    "administrator_secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:administrator-AbCdEf",
    "file_system_id": "fs-0123456789abcdef0",
    "access_point_id": "fsap-0123456789abcdef0",
    "public_host": "erp.example.com",
    "vpc_cidr": "10.20.0.0/16",
    "log_group_name": "/openerp/prod/app",
}
WEB_CLIENT: dict[str, Any] = {"role": "web-client", "cron_threads": 0}
SAAS: dict[str, Any] = {"offer": "saas", "tenants_parameter_path": "/openerp/prod/tenants"}


MODULES: dict[str, Any] = {
    "data_modules": (("company_colours", "a1" * 32), ("company_prices", "b2" * 32)),
    "operations_bucket": "operations-store-bucket-1234567",
}


class MakeServer(Protocol):
    def __call__(self, **changes: Any) -> ServerConfiguration: ...


@pytest.fixture
def make_server() -> MakeServer:
    def make(**changes: Any) -> ServerConfiguration:
        return ServerConfiguration(**{**VALUES, **changes})

    return make


@pytest.fixture(params=["app", "web-client", "app saas", "web-client saas", "app modules"])
def server(request: pytest.FixtureRequest, make_server: MakeServer) -> ServerConfiguration:
    role, *more = request.param.split()
    kinds = {"saas": SAAS, "modules": MODULES}
    return make_server(**(WEB_CLIENT if role == "web-client" else {}), **(kinds[more[0]] if more else {}))
