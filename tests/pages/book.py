"""The commands of the pages: fenced blocks of the shell, and spans of code in the text that call a program of the account's side."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("aws", "terraform", "wrangler", "cloudflared", "vagrant")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`((?:%s) [^`]*)`" % "|".join(PROGRAMS))
CALL = re.compile(r"(?:^|[|;&(]|\bdo\b|\bthen\b|\$\()\s*(?:\w+=\S*\s+)*(%s)(?=\s)" % "|".join(PROGRAMS), re.MULTILINE)


@dataclasses.dataclass
class Unit:
    page: str
    line: int
    text: str
    is_block: bool

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    def calls(self, program):
        return any(found[1] == program for found in CALL.finditer(self.text))

    def commands(self, program):
        """Each call of the program, up to the end of the command, with lines that go on joined."""
        text = re.sub(r"\\\n\s*", " ", self.text).replace(" /usr/bin/cloudflared ", "\ncloudflared ")
        for found in CALL.finditer(text):
            if found[1] == program:
                yield ended(text[found.start(1):])


def ended(text):
    """A command up to what ends it, outside quotes."""
    quote, depth = "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif char in "\n;|&>#)" and not (char == "#" and text[at - 1] not in " \t"):
            return text[:at].strip()
    return text.strip()


def pages():
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "packaging/aws/README.md"])


def units(path):
    """In the page's order. What a list indents is taken back."""
    text = path.read_text()
    name = str(path.relative_to(ROOT))
    found, bare = [], text
    for fence in FENCE.finditer(text):
        bare = bare[: fence.start()] + re.sub(r"[^\n]", " ", fence[0]) + bare[fence.end() :]
        if fence[2] == "sh":
            body = re.sub(rf"^{fence[1]}", "", fence[3], flags=re.MULTILINE)
            found.append((fence.start(), Unit(name, text.count("\n", 0, fence.start()) + 2, body, True)))
    for span in SPAN.finditer(bare):
        found.append((span.start(), Unit(name, text.count("\n", 0, span.start()) + 1, " ".join(span[1].split()), False)))
    return [unit for _, unit in sorted(found, key=lambda each: each[0])]
