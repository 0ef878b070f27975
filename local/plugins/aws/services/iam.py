"""IAM: roles and their policies, instance profiles, managed policies."""

from __future__ import annotations

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging


def _set_inline_policies(context: Context) -> None:
    wanted = {policy["name"]: policy["policy"] for policy in context.inputs.get("inlinePolicies") or []}
    for policy in context.state.get("inlinePolicies") or []:
        if policy["name"] not in wanted:
            context.call("DeleteRolePolicy", RoleName=context.id, PolicyName=policy["name"])
    for name, policy in wanted.items():
        context.call("PutRolePolicy", RoleName=context.id, PolicyName=name, PolicyDocument=policy)


def _set_managed_policies(context: Context) -> None:
    wanted = context.inputs.get("managedPolicyArns") or []
    for arn in context.state.get("managedPolicyArns") or []:
        if arn not in wanted:
            context.call("DetachRolePolicy", RoleName=context.id, PolicyArn=arn)
    for arn in wanted:
        context.call("AttachRolePolicy", RoleName=context.id, PolicyArn=arn)


def _empty_role(context: Context) -> None:
    """Takes off what the role carries of its own; with forceDetachPolicies, what others gave it as well."""
    role = context.id
    for profile in context.call("ListInstanceProfilesForRole", RoleName=role)["InstanceProfiles"]:
        context.call(
            "RemoveRoleFromInstanceProfile", InstanceProfileName=profile["InstanceProfileName"], RoleName=role
        )
    force = context.state.get("forceDetachPolicies")
    if force or context.state.get("inlinePolicies"):
        for name in context.call("ListRolePolicies", RoleName=role)["PolicyNames"]:
            context.call("DeleteRolePolicy", RoleName=role, PolicyName=name)
    if force or context.state.get("managedPolicyArns"):
        for policy in context.call("ListAttachedRolePolicies", RoleName=role)["AttachedPolicies"]:
            context.call("DetachRolePolicy", RoleName=role, PolicyArn=policy["PolicyArn"])


ROLE = Row(
    type="aws:iam/role:Role",
    service="iam",
    regional=False,
    inputs="name assumeRolePolicy description maxSessionDuration path permissionsBoundary inlinePolicies "
    "managedPolicyArns",
    local="namePrefix forceDetachPolicies",
    defaults={"forceDetachPolicies": False, "maxSessionDuration": 3600, "path": "/"},
    name=Name(longest=64),
    rename={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
    create=Call("CreateRole", result="Role"),
    id="RoleName",
    read=Call("GetRole", {"RoleName": "{id}"}, "Role", inputs=""),
    update=Call("UpdateRole", {"RoleName": "{id}"}, inputs="description maxSessionDuration", changed=True),
    unset={"description": ""},
    steps=(
        Step(
            "assumeRolePolicy",
            Call(
                "UpdateAssumeRolePolicy",
                {"RoleName": "{id}", "PolicyDocument": "{assumeRolePolicy}"},
                inputs="",
            ),
            create=False,
        ),
        Step(
            "permissionsBoundary",
            Call("PutRolePermissionsBoundary", {"RoleName": "{id}"}, inputs="permissionsBoundary"),
            Call("DeleteRolePermissionsBoundary", {"RoleName": "{id}"}, inputs=""),
            create=False,
        ),
        Step("inlinePolicies", _set_inline_policies),
        Step("managedPolicyArns", _set_managed_policies),
    ),
    delete=(_empty_role, Call("DeleteRole", {"RoleName": "{id}"}, inputs="")),
    outputs={"arn": "Arn", "uniqueId": "RoleId", "createDate": "CreateDate"},
    computed="inlinePolicies managedPolicyArns",
    reads={
        "assumeRolePolicy": "AssumeRolePolicyDocument",
        "permissionsBoundary": "PermissionsBoundary.PermissionsBoundaryArn",
        "inlinePolicies": "",
        "managedPolicyArns": "",
    },
    replace="name namePrefix path",
    tags=tagging.iam("Role", "RoleName"),
)


ROLE_POLICY = Row(
    type="aws:iam/rolePolicy:RolePolicy",
    service="iam",
    regional=False,
    inputs="name role policy",
    local="namePrefix",
    name=Name(longest=128),
    rename={"name": "PolicyName", "role": "RoleName", "policy": "PolicyDocument"},
    create=Call("PutRolePolicy"),
    id="{role}:{name}",
    read=Call("GetRolePolicy", {"RoleName": "{role}", "PolicyName": "{name}"}, inputs=""),
    update=Call("PutRolePolicy", {"PolicyName": "{name}"}),
    delete=(Call("DeleteRolePolicy", {"RoleName": "{role}", "PolicyName": "{name}"}, inputs=""),),
    replace="name namePrefix role",
)

ROLE_POLICY_ATTACHMENT = Row(
    type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    service="iam",
    regional=False,
    inputs="role policyArn",
    rename={"role": "RoleName"},
    create=Call("AttachRolePolicy"),
    id="{role}/{policyArn}",
    read=Call(
        "ListAttachedRolePolicies",
        {"RoleName": "{role}"},
        "AttachedPolicies[?PolicyArn=='{policyArn}'] | [0]",
        inputs="",
    ),
    delete=(Call("DetachRolePolicy", {"RoleName": "{role}", "PolicyArn": "{policyArn}"}, inputs=""),),
    replace="role policyArn",
    slot="role policyArn",
)


def _set_profile_role(context: Context) -> None:
    old, new = context.state.get("role"), context.inputs.get("role")
    if old and old != new:
        context.call("RemoveRoleFromInstanceProfile", InstanceProfileName=context.id, RoleName=old)
    if new and old != new:
        context.call("AddRoleToInstanceProfile", InstanceProfileName=context.id, RoleName=new)


def _remove_profile_roles(context: Context) -> None:
    profile = context.call("GetInstanceProfile", InstanceProfileName=context.id)["InstanceProfile"]
    for role in profile["Roles"]:
        context.call(
            "RemoveRoleFromInstanceProfile", InstanceProfileName=context.id, RoleName=role["RoleName"]
        )


INSTANCE_PROFILE = Row(
    type="aws:iam/instanceProfile:InstanceProfile",
    service="iam",
    regional=False,
    inputs="name path role",
    local="namePrefix",
    defaults={"path": "/"},
    name=Name(longest=128),
    rename={"name": "InstanceProfileName"},
    create=Call("CreateInstanceProfile", result="InstanceProfile"),
    id="InstanceProfileName",
    read=Call("GetInstanceProfile", {"InstanceProfileName": "{id}"}, "InstanceProfile", inputs=""),
    steps=(Step("role", _set_profile_role),),
    delete=(
        _remove_profile_roles,
        Call("DeleteInstanceProfile", {"InstanceProfileName": "{id}"}, inputs=""),
    ),
    outputs={"arn": "Arn", "uniqueId": "InstanceProfileId", "createDate": "CreateDate"},
    reads={"role": "Roles[0].RoleName"},
    replace="name namePrefix path",
    tags=tagging.iam("InstanceProfile", "InstanceProfileName"),
)


def _find_policy(context: Context) -> dict[str, object]:
    policy = context.call("GetPolicy", PolicyArn=context.id)["Policy"]
    version = context.call("GetPolicyVersion", PolicyArn=context.id, VersionId=policy["DefaultVersionId"])
    return {**policy, "Document": version["PolicyVersion"]["Document"]}


def _new_policy_version(context: Context) -> None:
    """A new default version; IAM keeps five, so the oldest goes."""
    versions = context.call("ListPolicyVersions", PolicyArn=context.id)["Versions"]
    spare = [version["VersionId"] for version in versions if not version["IsDefaultVersion"]]
    if len(versions) >= 5:
        context.call("DeletePolicyVersion", PolicyArn=context.id, VersionId=spare[-1])
    context.call(
        "CreatePolicyVersion",
        PolicyArn=context.id,
        PolicyDocument=context.inputs["policy"],
        SetAsDefault=True,
    )


def _delete_policy_versions(context: Context) -> None:
    for version in context.call("ListPolicyVersions", PolicyArn=context.id)["Versions"]:
        if not version["IsDefaultVersion"]:
            context.call("DeletePolicyVersion", PolicyArn=context.id, VersionId=version["VersionId"])


POLICY = Row(
    type="aws:iam/policy:Policy",
    service="iam",
    regional=False,
    inputs="name path description policy",
    local="namePrefix delayAfterPolicyCreationInMs",
    defaults={"path": "/"},
    name=Name(longest=128),
    rename={"name": "PolicyName", "policy": "PolicyDocument"},
    create=Call("CreatePolicy", result="Policy"),
    id="Arn",
    read=_find_policy,
    update=_new_policy_version,
    delete=(_delete_policy_versions, Call("DeletePolicy", {"PolicyArn": "{id}"}, inputs="")),
    outputs={"arn": "Arn", "policyId": "PolicyId", "attachmentCount": "AttachmentCount"},
    reads={"policy": "Document"},
    replace="name namePrefix path description",
    tags=tagging.iam("Policy", "PolicyArn"),
)

ROWS = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT, INSTANCE_PROFILE, POLICY)
