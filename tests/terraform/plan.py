"""What an apply would do: the evaluated arguments against a state, as Terraform compares them. Which arguments make a new resource of a
changed one is not in the schema; FORCES has it from the provider's documentation ("Forces new resource"), for what adoption touches."""

import copy
import re

FORCES = {
    "aws_autoscaling_group": {"name"},
    "aws_cloudwatch_log_group": {"name"},
    "aws_iam_instance_profile": {"name", "path"},
    "aws_iam_role": {"name", "path"},
    "aws_iam_role_policy": {"name", "role"},
    "aws_iam_role_policy_attachment": {"role", "policy_arn"},
    "aws_launch_template": {"name"},
    "aws_security_group": {"name", "description", "vpc_id"},
}


def state_of(resources):
    """The state that an apply of them leaves behind."""
    return {each.address: copy.deepcopy(each.values.plain()) for each in resources if each.kind == "resource"}


def plan(state, resources):
    """For each address what is done, with the arguments that it is done for."""
    found, wanted = {}, {each.address: each for each in resources if each.kind == "resource"}
    for address in state:
        if address not in wanted:
            found[address] = ("delete", [])
    for address, each in wanted.items():
        if address not in state:
            found[address] = ("create", [])
            continue
        changed = differences(state[address], each)
        if changed:
            replaces = set(changed) & FORCES.get(each.type, set())
            found[address] = ("replace" if replaces else "update", changed)
    return found


def differences(there, resource):
    """The arguments that differ and are not ignored. Those that the configuration leaves out are AWS's to fill in."""
    ignored = resource.lifecycle.get("ignore_changes", [])
    if ignored == "all":
        return []
    wanted = copy.deepcopy(resource.values.plain())
    there = copy.deepcopy(there)
    for path in ignored:
        take(wanted, path)
        take(there, path)
    return sorted(name for name in wanted if as_text(wanted[name]) != as_text(there.get(name)))


def take(values, path):
    """Removes `name` or `block[0].name`."""
    *blocks, name = re.split(r"\.", path)
    for each in blocks:
        block, index = re.fullmatch(r"(\w+)\[(\d+)\]", each).groups()
        values = values.get(block, [])
        values = values[int(index)] if int(index) < len(values) else {}
    values.pop(name, None)


def as_text(value):
    """Terraform's state has strings where numbers were given for them."""
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list | set):
        return [as_text(each) for each in value]
    return str(value)
