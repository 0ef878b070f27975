"""One command for each step; every failure is one sentence on the console and exit status 1."""

from __future__ import annotations

import sys

from . import agents, common, file_store, first_start, install, ready, report, secret_values

STEPS = {
    "install": install.install,
    "agents": agents.install_agents,
    "file-store-certificate": file_store.sign_certificate,
    "secrets": secret_values.fetch_database_password,
    "first-start": first_start.first_start,
    "ready": ready.wait_until_ready,
}


def main(arguments: list[str]) -> int:
    """Run the step that `arguments` begin with, with the rest as its arguments; return its exit status."""
    step, *rest = arguments
    try:
        if step == "report":
            report.report(*rest)
        elif step == "tenants":
            from . import tenants  # only servers of the offer saas have it

            tenants.reconcile(common.read_server())
        else:
            STEPS[step](common.read_server(), *rest)
    except common.StepError as failure:
        common.tell(f"{step} failed: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
