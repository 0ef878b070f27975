{"name": "openerp_guard", "license": "LGPL-3"}  # noqa: B018  what Odoo reads is the one expression of this file
