"""What a request is held against: botocore's models of the services."""

import copy
import re

import botocore.session
from botocore.validate import ParamValidator

SESSION = botocore.session.get_session()


def shape_of(service, operation):
    return SESSION.get_service_model(service).operation_model(operation).input_shape


def wrongs(service, operation, given):
    """What botocore would refuse, and what only the service would: enumerations and patterns."""
    given = copy.deepcopy(given)
    shape = shape_of(service, operation)
    for name, member in shape.members.items():
        if member.metadata.get("idempotencyToken"):
            given.setdefault(name, "token")  # as the CLI does
    report = ParamValidator().validate(given, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(unlike(shape, given, operation))


def unlike(shape, value, path):
    if shape.type_name == "structure":
        for name, part in value.items():
            if name in shape.members:
                yield from unlike(shape.members[name], part, f"{path}.{name}")
            else:
                yield f"{path} has no member {name}"
    elif shape.type_name == "list":
        for part in value:
            yield from unlike(shape.member, part, f"{path}[]")
    elif shape.type_name == "string":
        allowed, pattern = getattr(shape, "enum", None), shape.metadata.get("pattern")
        if allowed and value not in allowed:
            yield f"{path}: {value!r} is not one of {allowed}"
        if pattern and not re.search(in_python(pattern), value):
            yield f"{path}: {value!r} is not like {pattern}"


# Java's classes of characters, as the models use them; an unknown one is an error.
CLASSES = {"L": "a-zA-Z\\u00c0-\\uffff", "Z": r"\s", "N": r"\d", "Alnum": "a-zA-Z0-9", "Graph": "!-~", "Print": " -~", "M": "\\u0300-\\u036f"}


def in_python(pattern):
    """Java counts in UTF-16, and so do patterns of the models for what XML may hold."""
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return re.sub(r"\\p\{(\w+)\}", lambda found: CLASSES[found[1]], pattern)
