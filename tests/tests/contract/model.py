"""Prints what botocore's API model says of an action, as JSON. Arguments: service, action."""

import json
import sys

import botocore.session


def members(shape, path=""):
    """Every leaf of a shape, by its path, with its type."""
    if shape.type_name == "structure":
        leaves = {}
        for name, member in shape.members.items():
            leaves.update(members(member, f"{path}.{name}" if path else name))
        return leaves
    if shape.type_name == "list":
        return members(shape.member, f"{path}[]")
    return {path: shape.type_name}


service, action = sys.argv[1:]
model = botocore.session.get_session().get_service_model(service)
operation = model.operation_model(action)
errors = {shape.error_code: shape.metadata.get("error", {}).get("httpStatusCode") for shape in operation.error_shapes}
print(
    json.dumps(
        {
            "protocol": model.metadata["protocol"],
            "target_prefix": model.metadata.get("targetPrefix"),
            "query_compatible": "awsQueryCompatible" in model.metadata,
            "input": members(operation.input_shape),
            "errors": errors,
        }
    )
)
