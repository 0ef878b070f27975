"""A bar at the top of every page, which says what system this is; not in production."""

import os
import re
from html import escape
from typing import TYPE_CHECKING

from odoo import http

if TYPE_CHECKING:
    from typing import Any

STYLE = "position:sticky;top:0;z-index:9;background:#a00;color:#fff;text-align:center"
BAR = f'<div id="openerp_banner" style="{STYLE}">{escape(os.environ["OPENERP_BANNER"])}</div>'
Response = getattr(http, "_Response", http.Response)
"""Since Odoo 18 the class itself is behind another."""
render = Response.render


def with_bar(response: "Any") -> "Any":
    """Return what a page's template gives, with the bar; a fragment of a page has no body.

    Where a page is rendered, not where it is sent: Odoo's website keeps pages, and sends them again.
    """
    html = render(response)
    return type(html)(re.sub("<body[^>]*>", lambda found: found[0] + BAR, html, count=1))


Response.render = with_bar
