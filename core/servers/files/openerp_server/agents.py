"""The agents of AWS: logs to CloudWatch, and Session Manager. A server serves without them, too."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from . import common

CACHE = Path("/var/cache/openerp")
AGENT = Path("/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl")


def package_urls(server: common.Server, architecture: str) -> dict[str, str]:
    """Return where AWS keeps the packages for Debian of this region, by package name."""
    region = server["region"]
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return {
        "amazon-cloudwatch-agent": f"https://amazoncloudwatch-agent-{region}.s3.{region}.{suffix}"
        f"/debian/{architecture}/latest/amazon-cloudwatch-agent.deb",
        "amazon-ssm-agent": f"https://s3.{region}.{suffix}/amazon-ssm-{region}"
        f"/latest/debian_{architecture}/amazon-ssm-agent.deb",
    }


def installed(package: str) -> bool:
    """Return whether Debian's package manager knows `package` as installed."""
    try:
        return "install ok installed" in common.run(["dpkg-query", "-W", "-f", "${Status}", package])
    except common.StepError:
        return False


def install_agents(server: common.Server) -> None:
    """Install both agents, where the image does not bring them, and start the shipping of logs."""
    architecture = common.run(["dpkg", "--print-architecture"]).strip()
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, url in package_urls(server, architecture).items():
        if installed(name):
            continue
        path = CACHE / f"{name}.deb"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
                path.write_bytes(answer.read())
        except OSError as error:
            raise common.StepError(f"{url}: {error}") from error
        common.run(["dpkg", "--install", str(path)])
        path.unlink()
    configuration = common.CONFIG_DIR / "amazon-cloudwatch-agent.json"
    common.run([str(AGENT), "-a", "fetch-config", "-m", "ec2", "-s", "-c", f"file:{configuration}"])
    common.run(["systemctl", "enable", "--now", "amazon-ssm-agent.service"])
