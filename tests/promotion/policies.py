"""Whether policies allow a call, by the rules of "Policy evaluation logic" in the IAM user guide, for one account and without
boundaries: an explicit deny, else an allow whose action, resource and conditions all match. What no policy here uses is refused."""

import re


def as_list(value):
    return value if isinstance(value, list) else [value]


def like(pattern, text, ignore_case=False):
    """`*` and `?` as IAM takes them: over all characters, and nothing else is special."""
    expression = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


OPERATORS = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": like,
    "ArnLike": like,
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
}


def holds(condition, context):
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            given = context.get(key)
            if operator.startswith("ForAllValues:"):
                test = OPERATORS[operator.removeprefix("ForAllValues:")]
                if not all(any(test(str(one), each) for one in as_list(wanted)) for each in as_list(given or [])):
                    return False
            elif given is None or not any(OPERATORS[operator](str(one), given) for one in as_list(wanted)):
                return False
    return True


def covers(statement, action, resource, context):
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise ValueError(f"an element of a statement that this does not know: {unknown}")
    return (
        any(like(each, action, ignore_case=True) for each in as_list(statement["Action"]))
        and any(like(each, resource) for each in as_list(statement["Resource"]))
        and holds(statement.get("Condition", {}), context)
    )


def allows(policies, action, resource, context):
    statements = [statement for policy in policies for statement in as_list(policy["Statement"])]
    found = {statement["Effect"] for statement in statements if covers(statement, action, resource, context)}
    return "Deny" not in found and "Allow" in found


def trusts(trust, service, account):
    """Whether a service may take on the role, for something of the account."""
    return any(
        statement["Effect"] == "Allow"
        and service in as_list(statement["Principal"].get("Service", []))
        and "sts:AssumeRole" in as_list(statement["Action"])
        and holds(statement.get("Condition", {}), {"aws:SourceAccount": account})
        for statement in as_list(trust["Statement"])
    )


def without(policy, action):
    """The policy less one action."""
    statements = []
    for statement in policy["Statement"]:
        left = [each for each in as_list(statement["Action"]) if each != action]
        if left:
            statements.append({**statement, "Action": left})
    return {**policy, "Statement": statements}


def actions(policy):
    return {action for statement in policy["Statement"] for action in as_list(statement["Action"])}
