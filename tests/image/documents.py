"""The documents of the image as `render` fills them in, and the components' parameters."""

import atexit
import functools
import json
import pathlib
import re
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = ROOT / "imagebuilder"
# A reference to a parameter, and none to what the service itself puts in (`imagebuilder:buildDate`).
REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9]+)\s*\}\}")


@functools.cache
def rendered():
    """The directory that stands for imagebuilder/, with the example's values."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    aws = ROOT / "packaging" / "aws"
    subprocess.run([aws / "render", aws / "values.example", directory.name], check=True)
    return pathlib.Path(directory.name) / "imagebuilder"


def component(name):
    return yaml.safe_load((rendered() / "components" / f"{name}.yml").read_text())


def components():
    return {path.stem: component(path.stem) for path in sorted((rendered() / "components").glob("*.yml"))}


def inputs(folder="inputs"):
    return {path.stem: json.loads(path.read_text()) for path in sorted((rendered() / folder).glob("*.json"))}


def parameters(document):
    """What the document declares, by name."""
    return {name: value for entry in document.get("parameters", []) for name, value in entry.items()}


def steps(document, phase):
    return [step for each in document["phases"] if each["name"] == phase for step in each["steps"]]


def filled(text, values):
    """The text with every parameter's value in its place."""
    return REFERENCE.sub(lambda match: values[match.group(1)], text)
