"""The component documents: reading them, and putting parameters in."""

import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = ROOT / "imagebuilder"
# A reference to a parameter, and none to what the service itself puts in (`imagebuilder:buildDate`).
REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9]+)\s*\}\}")


def component(name):
    return yaml.safe_load((IMAGE / "components" / f"{name}.yml").read_text())


def components():
    return {path.stem: component(path.stem) for path in sorted((IMAGE / "components").glob("*.yml"))}


def inputs():
    return {path.stem: json.loads(path.read_text()) for path in sorted((IMAGE / "inputs").glob("*.json"))}


def parameters(document):
    """What the document declares, by name."""
    return {name: value for entry in document.get("parameters", []) for name, value in entry.items()}


def steps(document, phase):
    return [step for each in document["phases"] if each["name"] == phase for step in each["steps"]]


def filled(text, values):
    """The text with every parameter's value in its place."""
    return REFERENCE.sub(lambda match: values[match.group(1)], text)
