"""Reads and evaluates the part of Terraform's language that the modules of this repository keep to, and refuses the rest: what this
does not know is an error that names it, and never passed over. python-hcl2 parses; the meaning is that of Terraform's documentation."""

import base64
import fnmatch
import json
import pathlib
import re

import hcl2
from lark import Token, Tree


class Refused(Exception):
    """It is no Terraform, or more of it than the modules keep to."""


class Failed(Exception):
    """An expression that has no value, which `try` and `can` take."""


class Unknown(str):
    """What only an apply makes known. Its text says of what, and stays visible in whatever it is put into."""

    def __new__(cls, of):
        made = super().__new__(cls, f"(known after apply: {of})")
        return made

    def __deepcopy__(self, _):
        return self


class Body:
    """The attributes and blocks between braces, unevaluated."""

    def __init__(self, tree, source):
        self.source, self.attributes, self.blocks = source, {}, []
        for child in tree.children:
            if child.data == "new_line_or_comment":
                continue
            if child.data == "attribute":
                name, _, value = child.children
                self.attributes[name_of(name)] = value
            elif child.data == "block":
                parts = [part for part in child.children if isinstance(part, Tree)]
                body = parts.pop()
                labels = [constant(part) for part in parts if part.data != "new_line_or_comment"]
                self.blocks.append((labels[0], labels[1:], Body(body, source)))
            else:
                raise Refused(f"{source}: {child.data}")

    def named(self, name):
        return [body for kind, _, body in self.blocks if kind == name]

    def only(self, attributes, blocks, what):
        extra = set(self.attributes) - set(attributes) | {kind for kind, _, _ in self.blocks} - set(blocks)
        if extra:
            raise Refused(f"{self.source}: {what} has {', '.join(sorted(extra))}, which is not of the subset")


class Values:
    """The same, evaluated: arguments that are null are left out."""

    def __init__(self):
        self.attributes, self.blocks = {}, {}

    def plain(self):
        """As one value, blocks as lists of objects."""
        blocks = {name: [each.plain() for each in blocks] for name, blocks in self.blocks.items()}
        return {**self.attributes, **blocks}


def read(path):
    text = path.read_text()
    try:
        tree = hcl2.parses_to_tree(text)
    except Exception as error:  # lark has many
        raise Refused(f"{path}: {error}") from error
    return Body(tree.children[0], path)


def name_of(tree):
    return str(tree.children[0] if isinstance(tree, Tree) else tree)


def constant(tree):
    """A label: an identifier, or a string without anything to evaluate."""
    if tree.data == "string":
        return "".join(str(part.children[0]) for part in tree.children if isinstance(part, Tree))
    return name_of(tree)


def meaningful(tree):
    return [each for each in tree.children if isinstance(each, Tree) and each.data != "new_line_or_comment"]


class Scope:
    """Where names have their values: what `resolve` finds, and the variables of the loops around."""

    def __init__(self, resolve, directory, local=None):
        self.resolve, self.directory, self.local = resolve, directory, local or {}

    def with_local(self, **names):
        return Scope(self.resolve, self.directory, {**self.local, **names})

    def name(self, name):
        if name in self.local:
            return self.local[name]
        return self.resolve(name)


def evaluate(tree, scope):
    method = NODES.get(tree.data)
    if method is None:
        raise Refused(f"`{text_of(tree)}`: {tree.data} is not of the subset")
    return method(tree, scope)


def text_of(tree):
    return "".join(str(token) for token in tree.scan_values(lambda each: isinstance(each, Token))).strip()


def expr_term(tree, scope):
    (inner,) = meaningful(tree)
    return evaluate(inner, scope)


def literal(tree, scope):
    return {"true": True, "false": False, "null": None}[name_of(tree)]


def number(tree, scope):
    text = name_of(tree)
    return float(text) if "." in text else int(text)


ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def string(tree, scope):
    parts = []
    for part in tree.children:
        if isinstance(part, Token):
            continue
        (inner,) = part.children
        if isinstance(inner, Token):
            if inner.type == "STRING_CHARS":
                parts.append(re.sub(r"\\(.)", lambda found: escape(found[1]), str(inner)))
            elif inner.type == "ESCAPED_INTERPOLATION":
                parts.append(str(inner)[1:])
            else:
                raise Refused(f"{inner}: {inner.type} is not of the subset")
        elif inner.data == "interpolation":
            (expression,) = meaningful(inner)
            value = evaluate(expression, scope)
            if len([each for each in tree.children if isinstance(each, Tree)]) == 1:
                return value  # "${x}" is x
            parts.append(as_string(value))
        else:
            raise Refused(f"`{text_of(inner)}`: {inner.data} is not of the subset")
    return "".join(parts)


def escape(letter):
    if letter not in ESCAPES:
        raise Refused(f"the escape \\{letter} is not of the subset")
    return ESCAPES[letter]


def as_string(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Failed(f"{value!r} is no string")


def list_of(tree, scope):
    return [evaluate(each, scope) for each in meaningful(tree)]


def object_of(tree, scope):
    made = {}
    for each in meaningful(tree):
        key, value = meaningful(each)
        made[object_key(key, scope)] = evaluate(value, scope)
    return made


def object_key(tree, scope):
    (inner,) = tree.children
    if isinstance(inner, Token) or inner.data == "keyword":
        return name_of(inner)
    (leaf,) = meaningful(inner) if inner.data == "expr_term" and meaningful(inner) else (inner,)
    if leaf.data == "identifier":
        return name_of(leaf)
    return as_string(evaluate(inner, scope))


def identifier(tree, scope):
    return scope.name(name_of(tree))


def attribute_of(tree, scope):
    of, get = meaningful(tree)
    return attribute(evaluate(of, scope), name_of(meaningful(get)[0]))


def attribute(value, name):
    if hasattr(value, "attribute"):
        return value.attribute(name)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        raise Failed(f"there is no {name}")
    raise Failed(f"{value!r} has no attribute {name}")


def index_of(tree, scope):
    of, index = meaningful(tree)
    if index.data != "braces_index":
        raise Refused(f"`{text_of(tree)}`: {index.data} is not of the subset")
    value, key = evaluate(of, scope), evaluate(meaningful(index)[0], scope)
    if hasattr(value, "index"):
        if not isinstance(value, list | str):
            return value.index(key)
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return value[key]
    if isinstance(value, dict) and key in value:
        return value[key]
    raise Failed(f"there is no {key!r}")


def intro(tree, scope):
    names = [name_of(each) for each in tree.children if isinstance(each, Tree) and each.data == "identifier"]
    over = evaluate(meaningful(tree)[-1], scope)
    return list(looped(names, over))


def looped(names, over):
    for key, value in pairs(over):
        yield dict(zip(names, (key, value))) if len(names) == 2 else {names[0]: value}


def pairs(over):
    if hasattr(over, "instances"):
        return list(over.instances().items())
    if isinstance(over, dict):
        return [(key, over[key]) for key in sorted(over)]
    if isinstance(over, set):
        return [(each, each) for each in sorted(over)]
    if isinstance(over, list):
        return list(enumerate(over))
    raise Failed(f"{over!r} cannot be iterated over")


def kept(tree, scope):
    return evaluate(meaningful(tree)[-1], scope) is True


def for_list(tree, scope):
    parts = meaningful(tree)
    condition = [each for each in parts if each.data == "for_cond"]
    value, made = parts[1], []
    for names in intro(parts[0], scope):
        inner = scope.with_local(**names)
        if all(kept(each, inner) for each in condition):
            made.append(evaluate(value, inner))
    return made


def for_object(tree, scope):
    if any(isinstance(each, Token) and each.type == "ELLIPSIS" for each in tree.children):
        raise Refused(f"`{text_of(tree)}`: grouping is not of the subset")
    parts = meaningful(tree)
    condition = [each for each in parts if each.data == "for_cond"]
    made = {}
    for names in intro(parts[0], scope):
        inner = scope.with_local(**names)
        if all(kept(each, inner) for each in condition):
            key = as_string(evaluate(parts[1], inner))
            if key in made:
                raise Refused(f"`{text_of(tree)}`: two values for the key {key}")
            made[key] = evaluate(parts[2], inner)
    return made


def conditional(tree, scope):
    test, yes, no = meaningful(tree)
    chosen = evaluate(test, scope)
    if not isinstance(chosen, bool):
        raise Failed(f"`{text_of(test)}` is neither true nor false")
    return evaluate(yes if chosen else no, scope)


OPERATORS = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "&&": lambda left, right: left and right,
    "||": lambda left, right: left or right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def binary(tree, scope):
    left, term = meaningful(tree)
    operator, right = meaningful(term)
    sign = text_of(operator)
    if sign not in OPERATORS:
        raise Refused(f"the operator {sign} is not of the subset")
    return OPERATORS[sign](evaluate(left, scope), evaluate(right, scope))


def unary(tree, scope):
    sign, of = tree.children
    if str(sign) != "!":
        raise Refused(f"the operator {sign} is not of the subset")
    return not evaluate(of, scope)


def call(tree, scope):
    name, *rest = meaningful(tree)
    name, given = name_of(name), meaningful(rest[0]) if rest else []
    if rest and any(isinstance(each, Token) and each.type == "ELLIPSIS" for each in rest[0].children):
        raise Refused(f"`{text_of(tree)}`: expanded arguments are not of the subset")
    if name == "try":
        for each in given:
            try:
                return evaluate(each, scope)
            except Failed:
                continue
        raise Failed(f"`{text_of(tree)}`: nothing of it has a value")
    if name == "can":
        try:
            evaluate(given[0], scope)
            return True
        except Failed:
            return False
    if name not in FUNCTIONS:
        raise Refused(f"the function {name} is not of the subset")
    return FUNCTIONS[name](scope, *[evaluate(each, scope) for each in given])


NODES = {
    "expr_term": expr_term,
    "literal_value": literal,
    "int_lit": number,
    "float_lit": number,
    "string": string,
    "tuple": list_of,
    "object": object_of,
    "identifier": identifier,
    "get_attr_expr_term": attribute_of,
    "index_expr_term": index_of,
    "for_tuple_expr": for_list,
    "for_object_expr": for_object,
    "conditional": conditional,
    "binary_op": binary,
    "unary_op": unary,
    "function_call": call,
}


def file(scope, path):
    return (pathlib.Path(scope.directory) / path).read_text()


PLACEHOLDER = re.compile(r"(\$?)\$\{([^}]*)\}")


def templatefile(scope, path, values):
    text = file(scope, path)
    if "%{" in text:
        raise Refused(f"{path}: directives are not of the subset")

    def fill(found):
        if found[1]:
            return found[0][1:]
        if found[2] not in values:
            raise Refused(f"{path}: there is no value for ${{{found[2]}}}")
        return as_string(values[found[2]])

    return PLACEHOLDER.sub(fill, text)


def jsondecode(scope, text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failed(f"no JSON: {error}") from error


def jsonencode(scope, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def fileset(scope, directory, pattern):
    if "**" in pattern:
        raise Refused("** in fileset is not of the subset")
    root = pathlib.Path(scope.directory) / directory
    return {path.name for path in root.iterdir() if fnmatch.fnmatchcase(path.name, pattern)}


def merge(scope, *maps):
    made = {}
    for each in maps:
        made.update(each)
    return made


def flatten(scope, value):
    made = []
    for each in value:
        made += flatten(scope, each) if isinstance(each, list) else [each]
    return made


def tonumber(scope, value):
    if isinstance(value, int | float):
        return value
    if re.fullmatch(r"\d+", value):
        return int(value)
    raise Failed(f"{value!r} is no number")


def regex(scope, pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise Failed(f"{text!r} is not like {pattern}")
    return found[0]


def contains(scope, where, what):
    return what in where


FUNCTIONS = {
    "alltrue": lambda scope, values: all(values),
    "base64encode": lambda scope, text: base64.b64encode(text.encode()).decode(),
    "concat": lambda scope, *lists: [each for one in lists for each in one],
    "contains": contains,
    "distinct": lambda scope, values: list(dict.fromkeys(values)),
    "file": file,
    "fileset": fileset,
    "flatten": flatten,
    "join": lambda scope, between, parts: between.join(as_string(each) for each in parts),
    "jsondecode": jsondecode,
    "jsonencode": jsonencode,
    "length": lambda scope, value: len(value),
    "merge": merge,
    "regex": regex,
    "split": lambda scope, at, text: text.split(at),
    "templatefile": templatefile,
    "tonumber": tonumber,
    "toset": lambda scope, values: set(values),
    "trimsuffix": lambda scope, text, end: text.removesuffix(end),
}
