"""``python -m local.plugins.tls <engine address>``: the plugin process of the real Pulumi CLI."""

from __future__ import annotations

from local.plugins.serving import serve
from local.plugins.tls import VERSION, provider

serve(provider(), VERSION)
