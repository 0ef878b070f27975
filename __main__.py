"""OpenERP (Odoo) on AWS: one stack an environment.

settings.py reads, core/ decides, components/ make, deployment/ says which component gets what.
"""

from __future__ import annotations

import pulumi

from deployment import context, data, entrance, exports, operation, servers

this = context.load()
network = data.network(this)
stored = data.data(this, network)
kept = operation.store(this)
serving = servers.servers(this, network, stored, kept)
way_in = entrance.entrance(this, network, serving)
saved = operation.backups(this, stored)
watched = operation.monitoring(this, stored, serving, way_in, saved)

for name, value in (
    exports.what_clients_read(this, way_in)
    | exports.what_operators_read(this, network, stored, kept, serving, saved, watched)
).items():
    pulumi.export(name, value)
