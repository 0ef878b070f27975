"""``python -m local.plugins.aws ENGINE`` serves the plugin to the Pulumi CLI."""

from __future__ import annotations

from local.plugins.aws import provider
from local.plugins.serving import serve

VERSION = "7.51.1"
"""The pulumi-aws release whose types the table follows; requirements.txt pins the same."""

if __name__ == "__main__":
    serve(provider(), VERSION)
