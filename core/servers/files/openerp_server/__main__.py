"""One command for each step; every failure is one sentence on the console and exit status 78."""

from __future__ import annotations

import sys

from . import agents, common, file_store, first_start, install, ready, secret_values, serve

STEPS = {
    "install": install.install,
    "agents": agents.install_agents,
    "file-store-certificate": file_store.sign_certificate,
    "secrets": secret_values.fetch_database_password,
    "first-start": first_start.first_start,
    "test-database": first_start.test_database,
    "serve": serve.serve,
    "ready": ready.wait_until_ready,
}
FINAL = 78
"""EX_CONFIG of sysexits.h; with it the unit of Odoo is not started again."""


def main(arguments: list[str]) -> int:
    """Run the step that `arguments` begin with, with the rest as its arguments; return its exit status."""
    step, *rest = arguments
    try:
        if step == "tenants":
            from . import tenants  # only servers of the offer saas have it

            tenants.reconcile(common.read_server())
        elif step == "modules":
            from . import modules  # only servers with data modules have it

            modules.fetch_modules(common.read_server())
        else:
            STEPS[step](common.read_server(), *rest)
    except common.StepError as failure:
        common.tell(f"{step} failed: {failure}")
        return FINAL
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
