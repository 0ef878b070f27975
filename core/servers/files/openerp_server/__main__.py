"""One command for each step; every failure is one sentence on the console and exit status 1."""

from __future__ import annotations

import argparse
import sys

from . import agents, common, file_store, first_start, install, ready, report, secret_values


def main(arguments: list[str]) -> int:
    """Run the step that `arguments` name and return its exit status."""
    parser = argparse.ArgumentParser(prog="openerp-server", allow_abbrev=False)
    steps = parser.add_subparsers(dest="step", required=True)
    for step in ("install", "agents", "file-store-certificate", "ready", "tenants"):
        steps.add_parser(step)
    steps.add_parser("secrets").add_argument("--once", action="store_true")
    steps.add_parser("first-start").add_argument("--tenant")
    steps.add_parser("report").add_argument("unit")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.step == "report":
            report.report(chosen.unit)
            return 0
        server = common.read_server()
        if chosen.step == "install":
            install.install(server)
        elif chosen.step == "agents":
            agents.install_agents(server)
        elif chosen.step == "file-store-certificate":
            file_store.sign_certificate(server)
        elif chosen.step == "secrets":
            secret_values.fetch_database_password(server, once=chosen.once)
        elif chosen.step == "first-start":
            first_start.first_start(server, chosen.tenant)
        elif chosen.step == "ready":
            ready.wait_until_ready(server)
        else:
            from . import tenants  # only servers of the offer saas have it

            tenants.reconcile(server)
    except common.StepError as failure:
        common.tell(f"{chosen.step} failed: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
