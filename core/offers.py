"""The three offers and their rules.

`internal`: the company's own network only; private load balancer and certificate authority, works with no
internet path from clients. `hosted`: one customer, own modules allowed. `saas`: many tenants in databases
of their own, certified standard modules only, price per user on the service sheet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core import subnets
from core.problems import Problem, full_key, nearest

Offer = Literal["internal", "hosted", "saas"]
EVERYWHERE: Final = ("0.0.0.0/0",)

_MODULES: Final = """
    account analytic auth_oauth auth_password_policy auth_signup auth_totp auth_totp_mail barcodes base
    base_automation base_geolocalize base_iban base_import base_import_module base_setup base_vat board
    bus calendar contacts crm crm_iap_enrich data_recycle delivery digest event event_sale fetchmail
    fleet gamification hr hr_attendance hr_expense hr_fleet hr_holidays hr_homeworking hr_maintenance
    hr_presence hr_recruitment hr_recruitment_skills hr_skills hr_timesheet hr_work_entry html_editor
    http_routing iap im_livechat loyalty lunch mail mail_bot mail_group maintenance mass_mailing
    mass_mailing_crm mass_mailing_event mass_mailing_sale mrp mrp_account mrp_repair mrp_subcontracting
    onboarding partner_autocomplete payment payment_custom phone_validation point_of_sale portal
    portal_rating pos_discount pos_hr pos_loyalty pos_restaurant pos_sale privacy_lookup product
    product_expiry product_margin product_matrix project project_account project_hr_expense project_mrp
    project_purchase project_todo purchase purchase_mrp purchase_product_matrix purchase_requisition
    purchase_stock rating repair resource sale sale_crm sale_expense sale_loyalty sale_management
    sale_margin sale_mrp sale_pdf_quote_builder sale_product_matrix sale_project sale_purchase sale_stock
    sale_timesheet sales_team sms snailmail spreadsheet spreadsheet_account spreadsheet_dashboard stock
    stock_account stock_delivery stock_dropshipping stock_landed_costs stock_picking_batch stock_sms
    survey theme_default uom utm web web_hierarchy web_tour web_unsplash website website_blog website_crm
    website_customer website_event website_event_sale website_forum website_hr_recruitment
    website_livechat website_mail website_mass_mailing website_payment website_profile website_sale
    website_sale_comparison website_sale_loyalty website_sale_stock website_sale_wishlist website_slides
    website_sms
"""

CERTIFIED_MODULES: Final = frozenset(_MODULES.split())
"""Standard modules of the community edition that tenants of `saas` may have. Localisations (`l10n_…`) are
certified as well. A curated list: what is missing is added here, with a test on a tenant."""

_LOCALISATION: Final = re.compile(r"l10n_[a-z]{2}(_[a-z0-9_]+)?")


@dataclass(frozen=True, kw_only=True)
class OfferRequest:
    """What the rules of the offers look at."""

    offer: Offer
    certificate: Literal["acm", "private"]
    company_cidrs: Sequence[str] = ()
    allowed_cidrs: Sequence[str] = EVERYWHERE
    tenants: Sequence[str] = ()
    modules: Sequence[str] = ()
    data_modules: Sequence[str] = ()
    priced: bool = False
    admin_access: Literal["direct", "tunnel", "none"] = "direct"


def is_standard(module: str) -> bool:
    """Return whether `module` is a standard module known to this program."""
    return module in CERTIFIED_MODULES or bool(_LOCALISATION.fullmatch(module))


def client_cidrs(offer: Offer, allowed: Sequence[str], company: Sequence[str]) -> tuple[str, ...]:
    """Return the networks that may connect: for `internal` the company's, unless narrowed."""
    if offer == "internal" and tuple(allowed) == EVERYWHERE:
        return tuple(company)
    return tuple(allowed)


def problems(request: OfferRequest) -> Iterator[Problem]:
    """Yield what the offer's rules refuse."""
    if request.offer == "internal":
        yield from _internal(request)
    if request.offer == "saas":
        yield from _saas(request)
    else:
        for name, given in (("tenants", bool(request.tenants)), ("pricePerUser", request.priced)):
            if given:
                yield Problem(
                    key=full_key(name),
                    wrong=f"is set, and `openerp:offer` is {request.offer}",
                    right="Leave it out, or set `openerp:offer: saas`",
                )


def _internal(request: OfferRequest) -> Iterator[Problem]:
    if request.certificate != "private":
        yield Problem(
            key=full_key("access", "certificate"),
            wrong=f"is {request.certificate}, the offer `internal` has a certificate authority of its own",
            right="Set `certificate: private`",
        )
    if not request.company_cidrs:
        yield Problem(
            key=full_key("network", "companyCidrs"),
            wrong="is empty, and the offer `internal` is reachable from the company's networks only",
            right="List them, for example `[192.168.0.0/16]`",
        )
        return
    for index, cidr in enumerate(client_cidrs("internal", request.allowed_cidrs, request.company_cidrs)):
        if not subnets.within(cidr, request.company_cidrs):
            yield Problem(
                key=full_key("access", "allowedCidrs", index),
                wrong=f"{cidr} is not within `openerp:network.companyCidrs`",
                right="Leave `allowedCidrs` out to admit all of the company's networks",
            )


def _saas(request: OfferRequest) -> Iterator[Problem]:
    if request.data_modules:
        yield Problem(
            key=full_key("dataModules"),
            wrong="is set, and the offer `saas` takes no modules of its tenants' own",
            right="Leave it out, or set `openerp:offer: hosted`",
        )
    for index, module in enumerate(request.modules):
        if not is_standard(module):
            hint = nearest(module, sorted(CERTIFIED_MODULES))
            yield Problem(
                key=full_key("modules", index),
                wrong=f"'{module}' is not a certified standard module, and the offer `saas` runs no others",
                right=hint if hint.startswith("Did") else "Leave it out, or set `openerp:offer: hosted`",
            )
    if request.tenants and request.admin_access == "none":
        yield Problem(
            key=full_key("database", "adminAccess", "mode"),
            wrong="is none, and a tenant is a database that has to be made",
            right="Use `direct` or `tunnel`",
        )
