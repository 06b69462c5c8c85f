"""Makes calls with botocore and holds the answers against its models."""

import xml.etree.ElementTree as tree

import botocore.session
from botocore.parsers import RpcV2CBORParser
from botocore.validate import ParamValidator

session = botocore.session.get_session()
loader = session.get_component("data_loader")
load_service_model = loader.load_service_model


def load_with_cbor_only(*args, **kwargs):
    """CloudWatch in the protocol that the SDK of the agent takes."""
    model = load_service_model(*args, **kwargs)
    if "protocols" in model.get("metadata", {}) and model["metadata"].get("endpointPrefix") == "monitoring":
        model["metadata"]["protocols"] = ["smithy-rpc-v2-cbor"]
    return model


loader.load_service_model = load_with_cbor_only


def unknown_in_xml(node, shape, path):
    """The elements that the model does not have."""
    children = [(child.tag.split("}")[-1], child) for child in node]
    if shape.type_name == "structure":
        for name, child in children:
            if name in shape.members:
                yield from unknown_in_xml(child, shape.members[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif shape.type_name == "list":
        for name, child in children:
            if name == "member":
                yield from unknown_in_xml(child, shape.member, f"{path}[]")
            else:
                yield f"{path}: {name} is no member of a list"
    elif children:
        yield f"{path} has children"


def unknown_in_value(value, shape, path):
    """The members that the model does not have, or has as something else."""
    if shape.type_name == "structure":
        for name, child in value.items():
            if name in shape.members:
                yield from unknown_in_value(child, shape.members[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif shape.type_name == "list":
        for child in value:
            yield from unknown_in_value(child, shape.member, f"{path}[]")
    elif shape.type_name == "double" and not isinstance(value, float):
        yield f"{path} is no double"


def unknown(model, protocol, body):
    shape = model.output_shape
    if protocol == "query":
        result = next(child for child in tree.fromstring(body) if child.tag.endswith("Result"))
        return list(unknown_in_xml(result, shape, model.name))
    parser = RpcV2CBORParser()
    return list(unknown_in_value(parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)), shape, model.name))


def ask(endpoint, service, action, method, **arguments):
    """Makes a call; what botocore parsed, and what in the answer its model does not know or misses."""
    client = session.create_client(service, endpoint_url=endpoint)
    bodies = []
    client.meta.events.register("response-received", lambda response_dict, **_: bodies.append(response_dict["body"]))
    answer = getattr(client, method)(**arguments)
    del answer["ResponseMetadata"]
    model = client.meta.service_model.operation_model(action)
    protocol = client.meta.service_model.metadata["protocol"]
    wrong = unknown(model, "query" if protocol == "query" else "cbor", bodies[0])
    report = ParamValidator().validate(answer, model.output_shape)
    if report.has_errors():
        wrong.append(report.generate_report())
    return {"answer": answer, "wrong": wrong}
