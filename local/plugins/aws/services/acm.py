"""ACM: certificates, requested or imported, and the wait for their validation."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Row, Values, Wait
from local.plugins.aws.services import _tagging as tagging

BODY = "certificateBody certificateChain privateKey"


def _create_certificate(context: Context) -> Any:
    if context.inputs.get("certificateBody"):
        return context.run(Call("ImportCertificate", inputs=BODY))
    names = "domainName subjectAlternativeNames validationMethod options keyAlgorithm certificateAuthorityArn"
    return context.run(Call("RequestCertificate", inputs=names))


def _replace_body(context: Context) -> None:
    """A renewed certificate is imported under the same ARN, so that listeners take it without a change."""
    context.run(Call("ImportCertificate", {"CertificateArn": "{id}"}, inputs=BODY))
    if context.tags and context.row.tags:
        # The emulator forgets the tags of a certificate that is imported again; AWS does not.
        context.run(context.row.tags.add)


def _validation_options(context: Context) -> list[Values]:
    """The DNS records that prove the domains, in the form of pulumi-aws."""
    options = context.search("DomainValidationOptions", context.thing) or []
    return [
        {
            "domainName": option["DomainName"],
            "resourceRecordName": option["ResourceRecord"]["Name"],
            "resourceRecordType": option["ResourceRecord"]["Type"],
            "resourceRecordValue": option["ResourceRecord"]["Value"],
        }
        for option in options
        if option.get("ResourceRecord")
    ]


def _other_names(context: Context) -> list[str]:
    """The names beside the domain; ACM counts the domain among them, the official provider does not."""
    domain = context.search("DomainName", context.thing)
    return [name for name in context.search("SubjectAlternativeNames", context.thing) or [] if name != domain]


def _well_formed(inputs: Values) -> dict[str, str]:
    if ("certificateBody" in inputs) == ("domainName" in inputs):
        return {
            "domainName": "give either domainName (to request) or certificateBody and privateKey (to import)"
        }
    if "certificateBody" in inputs and "privateKey" not in inputs:
        return {"privateKey": "a certificate to import needs its private key"}
    return {}


CERTIFICATE = Row(
    type="aws:acm/certificate:Certificate",
    service="acm",
    inputs=f"{BODY} domainName subjectAlternativeNames validationMethod options keyAlgorithm "
    "certificateAuthorityArn",
    local="earlyRenewalDuration validationOptions",
    rename={"certificateBody": "Certificate"},
    check=_well_formed,
    create=_create_certificate,
    id="CertificateArn",
    read=Call("DescribeCertificate", {"CertificateArn": "{id}"}, "Certificate", inputs=""),
    update=_replace_body,
    delete=(Call("DeleteCertificate", {"CertificateArn": "{id}"}, inputs=""),),
    outputs={
        "arn": "CertificateArn",
        "notAfter": "NotAfter",
        "notBefore": "NotBefore",
        "renewalEligibility": "RenewalEligibility || 'INELIGIBLE'",
        "status": "Status",
        "type": "Type",
    },
    lookups={"domainValidationOptions": _validation_options},
    constants={"pendingRenewal": False, "renewalSummaries": [], "validationEmails": []},
    computed="domainName subjectAlternativeNames validationMethod options keyAlgorithm",
    reads={
        "certificateBody": "",
        "certificateChain": "",
        "privateKey": "",
        "subjectAlternativeNames": _other_names,
        "validationMethod": "DomainValidationOptions[0].ValidationMethod",
        "keyAlgorithm": lambda context: _key_algorithm(context),
        "options": "",
    },
    replace="domainName subjectAlternativeNames validationMethod options keyAlgorithm "
    "certificateAuthorityArn",
    volatile=dict.fromkeys(("notAfter", "notBefore"), BODY),
    tags=tagging.by_resource(
        "CertificateArn",
        "{id}",
        verbs=("AddTagsToCertificate", "RemoveTagsFromCertificate", "ListTagsForCertificate"),
        keys="Tags",
    ),
)


def _key_algorithm(context: Context) -> str | None:
    """ACM writes ``RSA_2048`` in a request and ``RSA-2048`` in an answer."""
    algorithm = context.search("KeyAlgorithm", context.thing)
    return str(algorithm).replace("-", "_") if algorithm else None


VALIDATION = Row(
    type="aws:acm/certificateValidation:CertificateValidation",
    service="acm",
    inputs="certificateArn",
    local="validationRecordFqdns",
    create=Call("DescribeCertificate", {"CertificateArn": "{certificateArn}"}, "Certificate", inputs=""),
    id="{certificateArn}",
    read=Call("DescribeCertificate", {"CertificateArn": "{certificateArn}"}, "Certificate", inputs=""),
    wait=Wait("Status == 'ISSUED'", "contains(['FAILED', 'VALIDATION_TIMED_OUT'], Status)", seconds=90),
    delete=(),
    reads={"certificateArn": "CertificateArn"},
    replace="certificateArn validationRecordFqdns",
)

ROWS = (CERTIFICATE, VALIDATION)
