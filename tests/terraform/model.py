"""A root module evaluated as a plan would: every resource with its arguments, every variable checked, every reference followed. What an
apply would make known comes from `after_apply`, a table of what AWS answers; the rest is `Unknown`."""

import dataclasses
import pathlib

from hcl import Failed, Refused, Scope, Unknown, Values, evaluate, meaningful, pairs, read, text_of


@dataclasses.dataclass
class Resource:
    """One instance of a resource."""

    address: str
    type: str
    key: str | None
    values: Values
    lifecycle: dict
    kind: str = "resource"


class Many:
    """The instances of a resource with for_each, by key."""

    def __init__(self, found):
        self.found = found

    def instances(self):
        return self.found

    def index(self, key):
        if key not in self.found:
            raise Failed(f"there is no instance {key!r}")
        return self.found[key]

    def attribute(self, name):
        raise Failed(f"it has for_each: name the instance before .{name}")


class One:
    """A resource as others refer to it: its arguments, and what an apply makes known."""

    def __init__(self, resource, world):
        self.resource, self.world = resource, world

    def attribute(self, name):
        return self.world.attribute(self.resource, name)


class World:
    """What is behind the evaluation: the provider's schema, what AWS answers, and the resources that were evaluated."""

    def __init__(self, schema, after_apply):
        self.schema, self.after_apply, self.resources, self.references = schema, after_apply, [], []

    def attribute(self, resource, name):
        of = self.schema.of(resource.kind, resource.type)
        if of is None:
            raise Refused(f"{resource.address}: the provider has no {resource.type}")
        if name not in of["exports"]:
            raise Refused(f"{resource.address} has no attribute {name}")
        self.references.append(f"{resource.address}.{name}")
        given = resource.values.attributes.get(name)
        if given is not None:
            return given
        known = self.after_apply(resource, name)
        return Unknown(f"{resource.address}.{name}") if known is None else known


class Module:
    """A directory of .tf files, with the values that its caller gives."""

    def __init__(self, directory, world, given=None, path=""):
        self.directory, self.world, self.path = pathlib.Path(directory), world, path
        self.blocks = []
        for file in sorted(self.directory.glob("*.tf")):
            body = read(file)
            body.only([], TOP, file.name)
            self.blocks += [(kind, labels, each) for kind, labels, each in body.blocks]
        self.scope = Scope(self.resolve, self.directory)
        self.locals = {name: tree for kind, _, body in self.blocks if kind == "locals" for name, tree in body.attributes.items()}
        self.known, self.busy = {}, []
        self.variables = self.take(given or {})
        self.children = {}
        self.imports = [body for kind, _, body in self.blocks if kind == "import"]

    def of(self, wanted):
        return [(labels, body) for kind, labels, body in self.blocks if kind == wanted]

    # Variables

    def take(self, given):
        taken, declared = {}, {labels[0]: body for labels, body in self.of("variable")}
        unknown = set(given) - set(declared)
        if unknown:
            raise Refused(f"{self.directory}: there is no variable {', '.join(sorted(unknown))}")
        for name, body in declared.items():
            body.only(["description", "type", "default", "nullable", "sensitive"], ["validation"], f"variable {name}")
            if given.get(name) is not None:
                value = given[name]
            elif "default" in body.attributes:
                value = evaluate(body.attributes["default"], self.scope)
            else:
                raise Failed(f"{self.directory}: the variable {name} has no value")
            taken[name] = converted(body.attributes["type"], value, name)
        self.variables = taken
        for name, body in declared.items():
            for each in body.named("validation"):
                each.only(["condition", "error_message"], [], "validation")
                if evaluate(each.attributes["condition"], self.scope) is not True:
                    raise Failed(f"variable {name}: {evaluate(each.attributes['error_message'], self.scope)}")
        return taken

    # Names

    def resolve(self, name):
        if name == "var":
            return Names(self.variable)
        if name == "local":
            return Names(self.local)
        if name == "path":
            return {"module": "."}
        if name == "module":
            return Names(self.child)
        if name == "data":
            return Names(lambda of: Names(lambda which: self.resource("data", of, which)))
        if name.startswith("aws_"):
            return Names(lambda which: self.resource("resource", name, which))
        raise Refused(f"{self.directory}: {name} is not of the subset")

    def variable(self, name):
        if name not in self.variables:
            raise Refused(f"{self.directory}: there is no var.{name}")
        return self.variables[name]

    def local(self, name):
        if name not in self.locals:
            raise Refused(f"{self.directory}: there is no local.{name}")
        return self.once(f"local.{name}", lambda: evaluate(self.locals[name], self.scope))

    def once(self, name, value):
        if name in self.busy:
            raise Refused(f"{self.directory}: a cycle: {' -> '.join([*self.busy, name])}")
        if name not in self.known:
            self.busy.append(name)
            try:
                self.known[name] = value()
            finally:
                self.busy.pop()
        return self.known[name]

    def child(self, name):
        found = [body for labels, body in self.of("module") if labels == [name]]
        if not found:
            raise Refused(f"{self.directory}: there is no module.{name}")

        def make():
            (body,) = found
            if body.blocks:
                raise Refused(f"module {name}: blocks are not of the subset")
            given = {key: evaluate(tree, self.scope) for key, tree in body.attributes.items() if key != "source"}
            source = evaluate(body.attributes["source"], self.scope)
            return Module(self.directory / source, self.world, given, f"{self.path}module.{name}.")

        module = self.once(f"module.{name}", make)
        return Names(module.output)

    def output(self, name):
        for labels, body in self.of("output"):
            if labels == [name]:
                body.only(["description", "value", "sensitive"], [], f"output {name}")
                return self.once(f"output.{name}", lambda: evaluate(body.attributes["value"], self.scope))
        raise Refused(f"{self.directory}: there is no output {name}")

    # Resources

    def resource(self, kind, of, name):
        found = [body for labels, body in self.of(kind) if labels == [of, name]]
        if not found:
            raise Refused(f"{self.directory}: there is no {of}.{name}")
        (body,) = found
        prefix = "data." if kind == "data" else ""
        return self.once(f"{prefix}{of}.{name}", lambda: self.made(kind, of, name, body, f"{self.path}{prefix}{of}.{name}"))

    def made(self, kind, of, name, body, address):
        if "for_each" not in body.attributes:
            return One(self.instance(kind, of, None, body, address, self.scope), self.world)
        over = evaluate(body.attributes["for_each"], self.scope)
        if not isinstance(over, dict | set | Many):
            raise Refused(f"{address}: for_each takes a map or a set, not {over!r}")
        found = {}
        for key, value in pairs(over):
            if isinstance(key, Unknown):
                raise Refused(f"{address}: a key that only an apply makes known: {key}")
            scope = self.scope.with_local(each={"key": key, "value": value})
            found[key] = One(self.instance(kind, of, key, body, f'{address}["{key}"]', scope), self.world)
        return Many(found)

    def instance(self, kind, of, key, body, address, scope):
        made = Resource(address, of, key, Values(), {}, kind)
        made.values = evaluated(body, scope, META, ["lifecycle"])
        made.lifecycle = lifecycle(body)
        for each in meaningful_list(body.attributes.get("depends_on")):
            named = text_of(each).split(".")
            if named[0] == "module":
                self.child(named[1])
            else:
                self.resource("resource", *named)
        self.world.resources.append(made)
        return made

    def everything(self):
        """Evaluates all of it, in modules below too."""
        for kind in ("resource", "data"):
            for (of, name), _ in self.of(kind):
                self.resource(kind, of, name)
        for labels, _ in self.of("module"):
            self.child(labels[0])
            self.known[f"module.{labels[0]}"].everything()
        for labels, _ in self.of("output"):
            self.output(labels[0])
        for name in self.locals:
            self.local(name)
        return self

    def moved_in(self):
        """The import blocks: the address and the id of each."""
        found = []
        for body in self.imports:
            body.only(["to", "id"], [], "import")
            found.append((text_of(body.attributes["to"]), evaluate(body.attributes["id"], self.scope)))
        return found


TOP = ["terraform", "provider", "variable", "locals", "resource", "data", "module", "output", "import"]
META = ["for_each", "depends_on"]


class Names:
    """What comes after `var.`, `local.` and the like."""

    def __init__(self, find):
        self.find = find

    def attribute(self, name):
        return self.find(name)


def meaningful_list(tree):
    if tree is None:
        return []
    (listed,) = meaningful(tree)
    return meaningful(listed)


def lifecycle(body):
    found = {}
    for each in body.named("lifecycle"):
        each.only(["create_before_destroy", "ignore_changes", "prevent_destroy"], [], "lifecycle")
        for name, tree in each.attributes.items():
            if name == "ignore_changes":
                found[name] = "all" if text_of(tree) == "all" else [text_of(one) for one in meaningful_list(tree)]
            else:
                found[name] = evaluate(tree, Scope(refuse, "."))
    return found


def refuse(name):
    raise Refused(f"{name}: lifecycle takes constants")


def evaluated(body, scope, meta=(), skipped=()):
    values = Values()
    for name, tree in body.attributes.items():
        if name in meta:
            continue
        value = evaluate(tree, scope)
        if hasattr(value, "attribute"):
            raise Refused(f"`{text_of(tree)}` is a whole resource, and no value")
        if value is not None:
            values.attributes[name] = value
    for kind, labels, inner in body.blocks:
        if kind in skipped:
            continue
        if kind != "dynamic":
            values.blocks.setdefault(kind, []).append(evaluated(inner, scope))
            continue
        (name,) = labels
        inner.only(["for_each"], ["content"], f'dynamic "{name}"')
        over = evaluate(inner.attributes["for_each"], scope)
        (content,) = inner.named("content")
        for key, value in pairs(over):
            made = evaluated(content, scope.with_local(**{name: {"key": key, "value": value}}))
            values.blocks.setdefault(name, []).append(made)
    return values


def converted(tree, value, what):
    """The value as its type constraint makes it."""
    text = text_of(tree).replace(" ", "").replace("\n", "")
    try:
        return by_type(text, value)
    except (Failed, ValueError) as error:
        raise Failed(f"the variable {what} is {value!r}, and is to be {text}") from error


def by_type(text, value):
    if isinstance(value, Unknown) or text == "any" or value is None:
        return value
    if text == "string" and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if text == "number" and not isinstance(value, bool) and isinstance(value, int | float):
        return value
    if text == "number" and isinstance(value, str):
        return int(value)
    if text == "bool" and isinstance(value, bool):
        return value
    for outer, kinds in (("list", list), ("set", (list, set)), ("map", dict)):
        if text.startswith(f"{outer}(") and isinstance(value, kinds):
            inner = text[len(outer) + 1 : -1]
            if outer == "map":
                return {key: by_type(inner, each) for key, each in value.items()}
            made = [by_type(inner, each) for each in value]
            return set(made) if outer == "set" else made
    raise Failed(f"{value!r} is not {text}")
