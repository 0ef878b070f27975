"""``python -m local.plugins.postgresql <engine address>``: the plugin process of the real Pulumi CLI."""

from __future__ import annotations

from local.plugins.postgresql import VERSION, provider
from local.plugins.serving import serve

serve(provider(), VERSION)
