"""The rules of the three offers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core import offers
from core.offers import OfferRequest


def keys(request: OfferRequest) -> list[str]:
    return [problem.key for problem in offers.problems(request)]


def test_internal_needs_its_own_authority_and_the_companys_networks() -> None:
    assert keys(OfferRequest(offer="internal", certificate="acm")) == [
        "openerp:access.certificate",
        "openerp:network.companyCidrs",
    ]
    assert keys(OfferRequest(offer="internal", certificate="private", company_cidrs=["192.168.0.0/16"])) == []


def test_internal_admits_nobody_from_outside_the_company() -> None:
    request = OfferRequest(
        offer="internal",
        certificate="private",
        company_cidrs=["192.168.0.0/16"],
        allowed_cidrs=["192.168.3.0/24", "10.0.0.0/8"],
    )
    assert keys(request) == ["openerp:access.allowedCidrs[1]"]


def test_internal_means_the_companys_networks_unless_narrowed() -> None:
    company = ["192.168.0.0/16"]
    assert offers.client_cidrs("internal", offers.EVERYWHERE, company) == ("192.168.0.0/16",)
    assert offers.client_cidrs("internal", ["192.168.3.0/24"], company) == ("192.168.3.0/24",)
    assert offers.client_cidrs("hosted", offers.EVERYWHERE, company) == ("0.0.0.0/0",)


def test_saas_refuses_the_tenants_own_modules() -> None:
    request = OfferRequest(offer="saas", certificate="acm", modules=["crm", "my_module"], data_modules=["d"])
    assert keys(request) == ["openerp:dataModules", "openerp:modules[1]"]


def test_a_misspelt_module_is_answered_with_the_nearest() -> None:
    request = OfferRequest(offer="saas", certificate="acm", modules=["sale_managment"])
    (problem,) = offers.problems(request)
    assert "`sale_management`" in problem.right


def test_localisations_are_certified() -> None:
    assert offers.is_standard("l10n_de")
    assert offers.is_standard("l10n_it_edi")
    assert not offers.is_standard("l10n_")


def test_a_tenant_needs_a_way_to_make_its_database() -> None:
    request = OfferRequest(offer="saas", certificate="acm", tenants=["acme"], admin_access="none")
    assert keys(request) == ["openerp:database.adminAccess.mode"]


@given(st.sampled_from(["internal", "hosted"]), st.booleans(), st.booleans())
def test_tenants_and_prices_belong_to_saas_alone(offer: offers.Offer, tenants: bool, priced: bool) -> None:
    request = OfferRequest(
        offer=offer,
        certificate="private",
        company_cidrs=["192.168.0.0/16"],
        tenants=["acme"] if tenants else [],
        priced=priced,
    )
    expected = ["openerp:tenants"] * tenants + ["openerp:pricePerUser"] * priced
    assert keys(request) == expected
