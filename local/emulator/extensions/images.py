"""Machine images: Debian and Ubuntu with the public SSM parameters that name them, ``resolve:ssm:``
templates, and the images with OpenERP that an account has prepared beforehand.

moto's own list of images takes 0.6 s to read for each region and holds neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.ec2.utils import parse_user_data
from moto.ssm.models import Parameter, ParameterDict, ssm_backends

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import errors

error = errors("ec2")

RESOLVE = "resolve:ssm:"
DEBIAN_OWNER, CANONICAL_OWNER, AMAZON_OWNER = "136693071363", "099720109477", "137112412989"
"""The accounts that publish the images (wiki.debian.org/Cloud/AmazonEC2Image,
documentation.ubuntu.com/aws)."""
PREPARED = ("openerp-19.0",)
"""Images of this account's own in which OpenERP is installed; `local.nodes.images` knows how they are made.
They are for arm64, which sizing prefers; a machine that runs them as containers makes them for its own."""
PREPARED_PATH = "/openerp/images/"
"""Where the SSM parameters are that name them."""
RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""An arbitrary day: what matters is that it is the same each time."""
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
"""From the distributions' names to EC2's."""


def _images() -> Iterator[tuple[str, str, str, str]]:
    """Each image: its name, its architecture, its owner, and the parameter that names it."""
    for short, architecture in ARCHITECTURES.items():
        for release in ("12", "13"):
            name = f"debian-{release}-{short}-20261101-2284"
            yield name, architecture, DEBIAN_OWNER, f"/aws/service/debian/release/{release}/latest/{short}"
        for code, release in (("noble", "24.04"), ("jammy", "22.04")):
            name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-{code}-{release}-{short}-server-20261101"
            path = f"/aws/service/canonical/ubuntu/server/{release}/stable/current/{short}/hvm/ebs-gp3/ami-id"
            yield name, architecture, CANONICAL_OWNER, path
        name = f"al2023-ami-2023.9.20261101.0-kernel-6.1-{architecture}"
        path = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
        yield name, architecture, AMAZON_OWNER, path
    for name in PREPARED:
        yield name, "arm64", DEFAULT_ACCOUNT_ID, f"{PREPARED_PATH}{name}"


def _identifier(region: str, name: str) -> str:
    """An image id that is the image's own in each region."""
    return "ami-" + hashlib.sha256(f"{region} {name}".encode()).hexdigest()[:17]


def _load_images(backend: Any) -> None:
    for name, architecture, owner, _path in _images():
        identifier = _identifier(backend.region_name, name)
        backend.amis[identifier] = Ami(
            backend,
            identifier,
            name=name,
            description=name,
            owner_id=owner,
            owner_alias="amazon",
            public=True,
            virtualization_type="hvm",
            architecture=architecture,
            creation_date=RELEASED,
            image_location=f"amazon/{name}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/xvda",
        )


def _patch_parameters() -> None:
    check = ParameterDict._check_loading_status

    def check_loading_status(self: Any, key: str) -> None:
        key = str(key or "")
        if key.startswith(("/aws/service/", PREPARED_PATH)) and not getattr(
            self, "local_images_loaded", False
        ):
            self.local_images_loaded = True
            self.latest_amis_loaded = True
            for name, _architecture, _owner, path in _images():
                value = _identifier(self.region_name, name)
                dict.__setitem__(self, path, [_parameter(self, path, value)])
        check(self, key)

    setattr(ParameterDict, check.__name__, check_loading_status)


def _parameter(parameters: Any, path: str, value: str) -> Any:
    make: Any = Parameter
    return make(
        account_id=parameters.account_id,
        name=path,
        value=value,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=RELEASED.timestamp(),
        version=1,
        data_type="aws:ec2:image",
    )


def _patch_templates() -> None:
    def image_id(self: Any) -> str:
        named = str(self.data.get("ImageId", ""))
        if not named.startswith(RESOLVE):
            return named
        backend = self.template.ec2_backend
        path, _, version = named.removeprefix(RESOLVE).partition(":")
        found = ssm_backends[backend.account_id][backend.region_name].get_parameter(path)
        if found is None or version not in ("", str(found.version)):
            raise error(
                "InvalidParameterValue", f"The SSM parameter {path} of the launch template does not exist"
            )
        return str(found.value)

    def user_data(self: Any) -> Any:
        # moto parses that of a first version alone and fails on the others.
        given = self.data.get("UserData")
        return parse_user_data(given) if isinstance(given, str) else given

    LaunchTemplateVersion.image_id = property(image_id)  # type: ignore[assignment,method-assign]
    LaunchTemplateVersion.user_data = property(user_data)  # type: ignore[assignment,method-assign]


def install(_context: Context) -> None:
    """Puts the extension in place."""
    setattr(AmiBackend, AmiBackend._load_amis.__name__, _load_images)
    _patch_parameters()
    _patch_templates()
