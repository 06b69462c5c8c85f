"""What the AWS provider itself says of its resources: arguments, their types, which are required, and blocks. The source is the jsii
description in the PyPI package cdktf-cdktf-provider-aws, which is generated from `terraform providers schema` of one provider version.

Not in it: which arguments exclude each other, enumerations, patterns and ranges, how many blocks there may be beyond one or many, and
what the provider checks in its own code. Only `terraform plan` shows those.

schema.py PACKAGE FILE (tests/setup.sh): distils the installed package into the file that the tests read."""

import gzip
import json
import pathlib
import re
import sys
import tarfile

from hcl import Unknown, Values

LINK = re.compile(r"/docs/(?P<kind>resources|data-sources)/\w+#(?P<name>\w+) ")
OF = re.compile(r"/docs/(?P<kind>resources|data-sources)/\w+ (?P<type>aws_\w+)\}")


class Reader:
    """One pass over the jsii description."""

    def __init__(self, package):
        (packed,) = pathlib.Path(package).glob("_jsii/*.jsii.tgz")
        with tarfile.open(packed) as archive:
            self.types = json.load(archive.extractfile("package/.jsii"))["types"]
        self.structs = {}

    def all(self):
        found = {"resource": {}, "data": {}, "structs": self.structs}
        for name, described in self.types.items():
            of = OF.search(described.get("docs", {}).get("summary", ""))
            if of and described.get("base") in ("cdktf.TerraformResource", "cdktf.TerraformDataSource"):
                kind = "resource" if of["kind"] == "resources" else "data"
                config = self.types.get(f"{name}Config")
                if config:
                    schema = self.body(config, top=True)
                    # The generator has a `…Input` beside each argument.
                    exported = [snake(each["name"]) for each in described.get("properties", []) if not each["name"].endswith("Input")]
                    schema["exports"] = sorted(set(exported) | {"id", *schema["attributes"], *schema["blocks"]})
                    found[kind][of["type"]] = schema
        return found

    def body(self, described, top=False):
        attributes, blocks = {}, {}
        for each in described.get("properties", []):
            docs = each.get("docs", {})
            link = LINK.search(docs.get("summary", "") + docs.get("remarks", "") + " ")
            name = link["name"] if link else snake(each["name"])
            required = not each.get("optional", False)
            # The generator's own words: an argument links to its documentation at once, a block says that it is one.
            if docs.get("summary", "").endswith(" block."):
                of, many = self.struct(each["type"])
                blocks[name] = {"required": required, "many": many, "of": of}
            elif name != "id" or not top:
                attributes[name] = {"required": required, "type": self.type(each["type"])}
        return {"attributes": attributes, "blocks": blocks}

    def struct(self, given):
        """The name of the structure behind a block, and whether there may be several. Structures are kept by name: some hold themselves."""
        parts = [part for part in given.get("union", {"types": [given]})["types"] if not resolvable(part)]
        if not parts:
            return None, False
        (part,) = parts
        if "collection" in part:
            return self.struct(part["collection"]["elementtype"])[0], True
        return self.named(part.get("fqn")), False

    def named(self, fqn):
        if fqn is not None and fqn not in self.structs:
            self.structs[fqn] = None  # it may be in itself
            self.structs[fqn] = self.body(self.types[fqn])
        return fqn

    def type(self, given):
        if "primitive" in given:
            return given["primitive"]
        if "collection" in given:
            kind = {"array": "list", "map": "map"}[given["collection"]["kind"]]
            return [kind, self.type(given["collection"]["elementtype"])]
        if "union" in given:
            parts = [part for part in given["union"]["types"] if not resolvable(part)]
            return self.type(parts[0]) if parts else "any"
        return ["object", self.named(given["fqn"])]


def resolvable(part):
    """cdktf's own wrapper around values that are not known yet."""
    if "collection" in part:
        return resolvable(part["collection"]["elementtype"])
    return part.get("fqn") == "cdktf.IResolvable"


def snake(name):
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def write(package, to):
    reader = Reader(package)
    with gzip.GzipFile(to, "wb", compresslevel=6, mtime=0) as file:
        file.write(json.dumps(reader.all()).encode())


class Schema:
    """The distilled description: what may stand in a resource, and whether given arguments do."""

    def __init__(self, path):
        with gzip.open(path) as file:
            self.found = json.load(file)

    def of(self, kind, type):
        return self.found[kind].get(type)

    def wrongs(self, resource):
        """What is wrong with a resource's evaluated arguments."""
        schema = self.of(resource.kind, resource.type)
        if schema is None:
            yield f"{resource.address}: the provider has no {resource.type}"
        else:
            yield from self.in_body(schema, resource.values, resource.address)

    def in_body(self, schema, values, path):
        arguments, blocks = schema["attributes"], schema["blocks"]
        for name, value in values.attributes.items():
            if name in arguments:
                yield from self.unlike(arguments[name]["type"], value, f"{path}.{name}")
            elif name in blocks:
                yield f"{path}.{name} is a block, and is given as an argument"
            else:
                yield f"{path} has no argument {name}"
        for name, given in values.blocks.items():
            if name not in blocks:
                yield f"{path} has no block {name}"
                continue
            if len(given) > 1 and not blocks[name]["many"]:
                yield f"{path} has {len(given)} blocks {name}, and may have one"
            for number, each in enumerate(given):
                # Of a structure that is in itself the generator tells nothing.
                if blocks[name]["of"] is not None:
                    yield from self.in_body(self.found["structs"][blocks[name]["of"]], each, f"{path}.{name}[{number}]")
        for name, of in {**arguments, **blocks}.items():
            if of["required"] and values.attributes.get(name) is None and not values.blocks.get(name):
                yield f"{path} lacks {name}, which is required"

    def unlike(self, wanted, value, path):
        """Whether Terraform would take the value for that type, with its conversions between strings, numbers and booleans."""
        if value is None or isinstance(value, Unknown) or wanted == "any":
            return
        if isinstance(wanted, str):
            if not converts(wanted, value):
                yield f"{path} is a {wanted}, not {value!r}"
            return
        kind, of = wanted
        if not isinstance(value, {"list": list | set, "map": dict, "object": dict}[kind]):
            yield f"{path} is a {kind}, not {value!r}"
        elif kind == "list":
            for number, each in enumerate(value):
                yield from self.unlike(of, each, f"{path}[{number}]")
        elif kind == "map":
            for key, each in value.items():
                yield from self.unlike(of, each, f"{path}[{key!r}]")
        else:
            values = Values()
            values.attributes = value
            yield from self.in_body(self.found["structs"][of], values, path)


def converts(wanted, value):
    if wanted == "string":
        return isinstance(value, str | int | float | bool)
    if wanted == "number":
        return (isinstance(value, int | float) and not isinstance(value, bool)) or (isinstance(value, str) and is_number(value))
    return isinstance(value, bool) or value in ("true", "false")


def is_number(text):
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


if __name__ == "__main__":
    write(*sys.argv[1:])
