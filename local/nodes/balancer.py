"""An application load balancer written as a configuration of HAProxy 2.6: pure text.

Behaves as the ALB's documentation says (Elastic Load Balancing, User Guide for Application Load Balancers),
with these limits: one balancer node instead of several; no fail-open when no target is healthy (503 instead);
sessions are not resumed across reloads, which is what makes a revocation list count at once; header fields
with invalid names are always dropped, as `drop_invalid_header_fields` does.

Names of certificates and lists hold a hash of their content: what a running HAProxy reads never changes
under it, and text that is the same means files that are the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.nodes.model import Action, Cloud, Listener, LoadBalancer, Rule, TargetGroup, TrustStore

CONNECT_SECONDS: Final = 10
"""How long an ALB waits for a target to accept a connection (troubleshooting guide, HTTP 504)."""
COOKIE: Final = "AWSALB"
DEFAULT_TLS_POLICY: Final = "ELBSecurityPolicy-2016-08"
"""What a listener has that names none (API reference, CreateListener)."""


class BalancerError(Exception):
    """The load balancer cannot be written; the message says which part of it."""


@dataclass(frozen=True, kw_only=True)
class TlsPolicy:
    """Versions and ciphers, by OpenSSL's names."""

    oldest: str
    newest: str
    ciphers: str = ""
    """Of TLS 1.2 and below."""


CIPHERSUITES: Final = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Of TLS 1.3, the same in all policies."""
_GCM: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)
_CBC_SHA2: Final = (
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"
)
_CBC_SHA1: Final = "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA"
_RSA: Final = "AES128-GCM-SHA256:AES128-SHA256:AES256-GCM-SHA384:AES256-SHA256"
_OLD: Final = "@SECLEVEL=0"
"""OpenSSL 3 has TLS 1.0 and 1.1 at this level only."""

TLS_POLICIES: Final[Mapping[str, TlsPolicy]] = {
    "ELBSecurityPolicy-TLS13-1-3-2021-06": TlsPolicy(oldest="TLSv1.3", newest="TLSv1.3"),
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06": TlsPolicy(oldest="TLSv1.2", newest="TLSv1.3", ciphers=_GCM),
    "ELBSecurityPolicy-TLS13-1-2-2021-06": TlsPolicy(
        oldest="TLSv1.2", newest="TLSv1.3", ciphers=f"{_GCM}:{_CBC_SHA2}"
    ),
    "ELBSecurityPolicy-FS-1-2-Res-2020-10": TlsPolicy(oldest="TLSv1.2", newest="TLSv1.2", ciphers=_GCM),
    "ELBSecurityPolicy-TLS-1-2-2017-01": TlsPolicy(
        oldest="TLSv1.2", newest="TLSv1.2", ciphers=f"{_GCM}:{_CBC_SHA2}:{_RSA}"
    ),
    "ELBSecurityPolicy-2016-08": TlsPolicy(
        oldest="TLSv1.0",
        newest="TLSv1.2",
        ciphers=f"{_GCM}:{_CBC_SHA2}:{_CBC_SHA1}:{_RSA}:AES128-SHA:AES256-SHA:{_OLD}",
    ),
}
"""From "Security policies for your Application Load Balancer" in the User Guide."""

PAGES: Final[Mapping[int, str]] = {
    400: "400 Bad Request",
    408: "408 Request Time-out",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    504: "504 Gateway Time-out",
}
UNAVAILABLE: Final = "503 Service Temporarily Unavailable"
_OWN: Final = "x-local-balancer"
"""Marks an answer of the balancer's own on its way out; no client sees it."""


def backend_name(target_group_arn: str) -> str:
    """HAProxy's name of a target group; `target_group_arn` reads it back."""
    return target_group_arn.replace("/", ".")


def target_group_arn(name: str) -> str:
    """The target group of a backend; names of target groups hold no dots."""
    return name.replace(".", "/")


def server_name(instance_id: str, port: int) -> str:
    """HAProxy's name of a target."""
    return f"{instance_id}:{port}"


def files(balancer: LoadBalancer, cloud: Cloud) -> dict[str, str]:
    """What `render` speaks of, by file name; some hold private keys.

    Raises `BalancerError` where the cloud does not have what a listener names.
    """
    found: dict[str, str] = {}
    for listener in balancer.listeners:
        for content in _certificates(listener, cloud):
            found[_name(content, "crt")] = content
        if listener.trust_store_arn is not None:
            store = _trust_store(listener, cloud)
            found[_name(store.certificates, "ca")] = store.certificates
            if store.revocation_lists:
                lists = _joined(store.revocation_lists)
                found[_name(lists, "crl")] = lists
        for action in (listener.default_action, *(rule.action for rule in listener.rules)):
            if action.type == "fixed-response" and action.body:
                found[_name(action.body, "txt")] = action.body
    return found


def render(
    balancer: LoadBalancer, cloud: Cloud, *, bind: str, files: Path, machine: str | None = None
) -> str:
    """Return the configuration without its `global` section, which is `haproxy.Haproxy`'s.

    It listens on the address `bind` of the network namespace `machine` (None: the one that HAProxy runs in)
    and reads its files from the directory `files`. Raises `BalancerError`.
    """
    lines = [*_defaults(balancer), ""]
    for listener in balancer.listeners:
        where = f"{bind}:{listener.port}{f' namespace {machine}' if machine else ''}"
        lines += [*_frontend(listener, cloud, where, files), ""]
        for rule in (None, *listener.rules):
            action = listener.default_action if rule is None else rule.action
            if action.type != "forward":
                lines += [*_answer(_action_name(listener, rule), action, listener, files), ""]
    wanted = {
        arn
        for listener in balancer.listeners
        for action in (listener.default_action, *(rule.action for rule in listener.rules))
        if action.type == "forward"
        for arn in action.target_group_arns
    }
    for arn in sorted(wanted):
        if arn not in cloud.target_groups:
            raise BalancerError(f"load balancer {balancer.name}: there is no target group {arn}")
        lines += [*_backend(cloud.target_groups[arn]), ""]
    return "\n".join(lines)


def _name(content: str, kind: str) -> str:
    return f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.{kind}"


def _joined(texts: tuple[str, ...]) -> str:
    return "".join(text.rstrip("\n") + "\n" for text in texts if text.strip())


def _certificates(listener: Listener, cloud: Cloud) -> Iterator[str]:
    """Certificate, chain and key of each certificate in one text, the default first."""
    if listener.protocol != "HTTPS":
        return
    if not listener.certificate_arns:
        raise BalancerError(f"the listener on port {listener.port} has no certificate")
    for arn in listener.certificate_arns:
        found = cloud.certificates.get(arn)
        if found is None:
            raise BalancerError(f"the listener on port {listener.port}: there is no certificate {arn}")
        yield _joined((found.certificate, found.chain, found.private_key))


def _trust_store(listener: Listener, cloud: Cloud) -> TrustStore:
    found = cloud.trust_stores.get(listener.trust_store_arn or "")
    if found is None:
        raise BalancerError(
            f"the listener on port {listener.port}: there is no trust store {listener.trust_store_arn}"
        )
    return found


def _quoted(text: str) -> str:
    """One argument of a configuration line, whatever is in it."""
    if any(character in text for character in "\r\n\0"):
        raise BalancerError(f"a line break cannot be matched: {text!r}")
    return "'" + text.replace("'", "'\\''") + "'"


def _page(title: str) -> str:
    """The page of an ALB, `title` being its status line."""
    return (
        f"<html>\\r\\n<head><title>{title}</title></head>\\r\\n<body>\\r\\n"
        f"<center><h1>{title}</h1></center>\\r\\n</body>\\r\\n</html>\\r\\n"
    )


def _defaults(balancer: LoadBalancer) -> list[str]:
    idle = balancer.idle_timeout
    return [
        "defaults",
        "    mode http",
        f"    timeout connect {CONNECT_SECONDS}s",
        *(f"    timeout {what} {idle}s" for what in ("client", "server", "tunnel", "http-keep-alive")),
        # An ALB sends a request once, to one target.
        "    retries 0",
        "    http-reuse aggressive",
        "    load-server-state-from-file global",
        *(
            f'    http-error status {status} content-type text/html string "{_page(title)}"'
            for status, title in PAGES.items()
        ),
    ]


def _frontend(listener: Listener, cloud: Cloud, where: str, files: Path) -> list[str]:
    name = f"listener-{listener.port}"
    lines = [f"frontend {name}", f"    bind {where}{_tls(listener, cloud, files)}"]
    lines += [
        # A connection that is kept open is closed with an answer, never under a request on its way.
        "    option idle-close-on-response",
        "    option http-restrict-req-hdr-names delete",
        f"    http-after-response del-header {_OWN}",
        '    http-request set-header X-Forwarded-For "%[req.fhdr(x-forwarded-for)], %[src]" '
        "if { req.fhdr(x-forwarded-for) -m found }",
        '    http-request set-header X-Forwarded-For "%[src]" if !{ req.fhdr(x-forwarded-for) -m found }',
        f"    http-request set-header X-Forwarded-Proto {listener.protocol.lower()}",
        f"    http-request set-header X-Forwarded-Port {listener.port}",
        "    http-request del-header x-amzn-mtls- -m beg",
    ]
    if listener.trust_store_arn is not None:
        lines += _client_certificate_headers()
    for rule in listener.rules:
        conditions = list(_conditions(f"rule-{rule.priority}", rule))
        lines += [f"    acl {acl}" for acl, _ in conditions]
        names = " ".join(dict.fromkeys(name for _, name in conditions))
        lines += _choice(_action_name(listener, rule), rule.action, names)
    default = listener.default_action
    choice = _choice(_action_name(listener, None), default, "")
    return [*lines, *choice]


def _tls(listener: Listener, cloud: Cloud, files: Path) -> str:
    if listener.protocol != "HTTPS":
        return ""
    name = listener.tls_policy or DEFAULT_TLS_POLICY
    policy = TLS_POLICIES.get(name)
    if policy is None:
        raise BalancerError(
            f"the listener on port {listener.port} has the TLS policy {name}, which is not known here; "
            f"known are {', '.join(sorted(TLS_POLICIES))}"
        )
    words = ["ssl", *(f"crt {files / _name(text, 'crt')}" for text in _certificates(listener, cloud))]
    words += ["alpn h2,http/1.1", f"ssl-min-ver {policy.oldest} ssl-max-ver {policy.newest}"]
    if policy.ciphers:
        words.append(f"ciphers {policy.ciphers}")
    words.append(f"ciphersuites {CIPHERSUITES}")
    if listener.trust_store_arn is not None:
        store = _trust_store(listener, cloud)
        words.append(f"verify required ca-file {files / _name(store.certificates, 'ca')}")
        if store.revocation_lists:
            lists = _name(_joined(store.revocation_lists), "crl")
            # OpenSSL then wants a list of each authority. X509_V_ERR_UNABLE_TO_GET_CRL is 3: an authority
            # without one has revoked nothing, as in a trust store.
            words.append(f"crl-file {files / lists} ca-ignore-err 3 crt-ignore-err 3")
    return " " + " ".join(words)


def _client_certificate_headers() -> list[str]:
    """The header fields of an ALB in mode `verify` ("HTTP headers and mutual TLS" in the User Guide)."""
    date = "regsub('^(..)(..)(..)(..)(..)(..)Z$','20\\1-\\2-\\3T\\4:\\5:\\6Z')"
    leaf = "ssl_c_der,base64,regsub('(.{64})','\\1%0A',g)"
    fields = {
        "Serial-Number": "%[ssl_c_serial,hex]",
        "Issuer": "%[ssl_c_i_dn(,0,rfc2253)]",
        "Subject": "%[ssl_c_s_dn(,0,rfc2253)]",
        "Validity": f"NotBefore=%[ssl_c_notbefore,{date}];NotAfter=%[ssl_c_notafter,{date}]",
        "Leaf": f"-----BEGIN%%20CERTIFICATE-----%%0A%[{leaf}]%%0A-----END%%20CERTIFICATE-----%%0A",
    }
    return [
        f'    http-request set-header X-Amzn-Mtls-Clientcert-{name} "{_weak(value)}"'
        for name, value in fields.items()
    ]


def _weak(text: str) -> str:
    """Text between double quotes, in which HAProxy reads backslashes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _pattern(text: str) -> str:
    """A regular expression for a pattern with `*` (any characters) and `?` (one)."""
    return "^" + "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in text) + "$"


def _conditions(name: str, rule: Rule) -> Iterator[tuple[str, str]]:
    """ACLs of a rule: the line and its name; those of one name are alternatives."""
    for path in rule.paths:
        yield f"{name}-path {_path(path)}", f"{name}-path"
    for host in rule.hosts:
        pattern = _quoted(_pattern(host))
        yield f"{name}-host req.hdr(host),host_only -m reg -i -- {pattern}", f"{name}-host"
    for method in rule.methods:
        yield f"{name}-method method -m str -- {_quoted(method)}", f"{name}-method"
    for number, (header, values) in enumerate(rule.headers.items()):
        for value in values:
            acl = f"{name}-header-{number}"
            pattern = _quoted(_pattern(value))
            yield f"{acl} req.fhdr({header}) -m reg -i -- {pattern}", acl


def _path(pattern: str) -> str:
    """The cheapest match of a path."""
    start = pattern.removesuffix("*")
    if "*" in start or "?" in start:
        return f"path -m reg -- {_quoted(_pattern(pattern))}"
    return f"path -m {'str' if start == pattern else 'beg'} -- {_quoted(start)}"


def _action_name(listener: Listener, rule: Rule | None) -> str:
    return f"answer-{listener.port}-{'default' if rule is None else rule.priority}"


def _choice(name: str, action: Action, condition: str) -> list[str]:
    """What sends a request there if `condition` (names of ACLs) holds; the first that fits counts."""
    if action.type != "forward":
        return [f"    use_backend {name}{f' if {condition}' if condition else ''}"]
    groups = [(arn, weight) for arn, weight in sorted(action.target_group_arns.items()) if weight > 0]
    if not groups:
        groups = [(arn, 1) for arn in sorted(action.target_group_arns)][:1]
    if not groups:
        raise BalancerError(f"{name}: a forward without a target group")
    lines = []
    total = sum(weight for _, weight in groups)
    below = 0
    variable = f"txn.{name.replace('-', '_')}"
    if len(groups) > 1:
        lines.append(f"    http-request set-var({variable}) rand({total})")
    for arn, weight in groups:
        below += weight
        tests = [condition] if condition else []
        if below < total:
            tests.append(f"{{ var({variable}) -m int lt {below} }}")
        test = f" if {' '.join(tests)}" if tests else ""
        lines.append(f"    use_backend {backend_name(arn)}{test}")
    return lines


def _answer(name: str, action: Action, listener: Listener, files: Path) -> list[str]:
    """A backend without servers, that answers by itself."""
    if action.type == "fixed-response":
        content = ""
        if action.body:
            content = f" content-type {_quoted(action.content_type)} file {files / _name(action.body, 'txt')}"
        return [f"backend {name}", f"    http-request return status {action.status}{content}"]
    given = action.redirect
    status = given.get("StatusCode", "HTTP_302").removeprefix("HTTP_")
    query = given.get("Query", "#{query}")
    location = (
        f"{given.get('Protocol', '#{protocol}')}://{given.get('Host', '#{host}')}"
        f":{given.get('Port', '#{port}')}{given.get('Path', '/#{path}')}"
    ).replace("#{protocol}", listener.protocol.lower(), 1)
    location = re.sub("^(HTTPS?)", lambda found: found[0].lower(), location)
    lines = [f"backend {name}"]
    if query:
        if query == "#{query}":
            lines.append('    http-request set-var-fmt(txn.query) "?%[query]" if { query,length gt 0 }')
        else:
            lines.append(f'    http-request set-var-fmt(txn.query) "?{_placeholders(query, listener)}"')
    target = _placeholders(location, listener) + ("%[var(txn.query)]" if query else "")
    return [*lines, f'    http-request redirect code {status} location "{target}"']


def _placeholders(text: str, listener: Listener) -> str:
    """A log format for text with `#{host}` and its like."""
    meaning = {
        "#{protocol}": listener.protocol.lower(),
        "#{host}": "%[req.hdr(host),host_only]",
        "#{port}": str(listener.port),
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    parts = re.split(r"(#\{[a-z]+\})", text)
    return "".join(meaning.get(part, _weak(part.replace("%", "%%"))) for part in parts)


def _backend(group: TargetGroup) -> list[str]:
    check = group.health_check
    name = backend_name(group.arn)
    which = f"%[nbsrv({name}),bool,iif({PAGES[502]},{UNAVAILABLE})]"
    lines = [
        f"backend {name}",
        # Changes of health; requests are logged by frontends, which have no log.
        "    log global",
        "    balance roundrobin",
        # HAProxy says 503 where a target did not accept the connection, an ALB 502.
        f'    http-error status 503 content-type text/html lf-string "{_page(which)}" hdr {_OWN} 503',
        f"    http-after-response set-status 502 if {{ res.hdr({_OWN}) -m found }} {{ nbsrv({name}) gt 0 }}",
        "    option httpchk",
        f"    http-check send meth GET uri {_quoted(check.path)} ver HTTP/1.1 hdr Host %si:%sp "
        "hdr User-Agent ELB-HealthChecker/2.0",
        f"    http-check expect status {check.matcher}",
        f"    timeout check {check.timeout}s",
    ]
    if group.sticky_seconds is not None:
        lines.append(
            f"    cookie {COOKIE} insert indirect nocache maxidle {group.sticky_seconds}s "
            f"attr Max-Age={group.sticky_seconds}"
        )
    options = [
        f"check inter {check.interval}s rise {check.healthy_threshold} fall {check.unhealthy_threshold}"
    ]
    if group.slow_start:
        options.append(f"slowstart {group.slow_start}s")
    for target in group.targets:
        words = [server_name(target.instance_id, target.port), f"{target.address}:{target.port}", *options]
        if group.sticky_seconds is not None:
            secret = hashlib.sha256(f"{group.arn} {target.instance_id} {target.port}".encode()).hexdigest()
            words.append(f"cookie {secret[:32]}")
        lines.append("    server " + " ".join(words))
    return lines
