"""The modules with values for each environment, evaluated; and what `render` makes of the same values."""

import base64
import json
import pathlib
import subprocess
import tempfile

import views
from answers import Answers
from model import Module, World
from schema import Schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = Schema(ROOT / "target/schema-venv/aws-5.99.1.json.gz")
ENVIRONMENT, IMAGE = ROOT / "packaging/aws/terraform", ROOT / "imagebuilder/terraform"
ROOTS = [IMAGE / "example", ENVIRONMENT / "examples/dev", ENVIRONMENT / "examples/prd"]
SIZES = {"dev": ("t3.micro", 1, 2, 1), "stg": ("t3.micro", 1, 2, 1), "prd": ("t3.small", 2, 4, 2)}
FIRST_AMI = "ami-0123456789abcdef0"


def world(made=None, ami=FIRST_AMI):
    known = {"data.aws_ssm_parameter.image.insecure_value": ami, **(made or {})}
    return World(SCHEMA, Answers("us-east-1", "123456789012", known))


def evaluated(root, given=None, **of):
    seen = world(**of)
    Module(root, seen, given).everything()
    return seen


def example():
    lines = (ROOT / "packaging/aws/values.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def values_of(environment):
    kind, least, most, wanted = SIZES[environment]
    sizes = {"instance_type": kind, "min_size": least, "max_size": most, "desired_capacity": wanted}
    number = list(SIZES).index(environment)
    return example() | {"environment": environment, "tunnel_id": f"6ff42ae2-765d-4adf-8112-31c55c1551e{number}"} | sizes


def environment_variables(values, **more):
    names = ["prefix", "environment", "region", "account", "owner", "owned_by", "tunnel_id", "image_id", "instance_type"]
    given = {name: values[name] for name in [*names, "min_size", "max_size", "desired_capacity", "vpc_id"]}
    given["subnet_ids"] = values["subnet_ids"].split(",")
    given["database_security_group_ids"] = [values[f"database_security_group_id_{number}"] for number in (1, 2)]
    return given | more


def image_variables(values, **more):
    names = ["prefix", "region", "dr_region", "account", "owner", "owned_by", "vpc_id", "builder_subnet_id", "agent_package"]
    names += ["agent_package_sha256", "cloudwatch_package_sha256", "cloudwatch_settings_sha256", "cloudflared_key_fingerprint"]
    settings = json.loads(base64.b64decode(values["agent_settings"]))
    return {name: values[name] for name in names} | {"image_version": values["recipe_version"], "agent_settings": settings} | more


def rendered(values):
    """What `render` makes of these values, by the documents' names."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "values"
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        subprocess.run([ROOT / "packaging/aws/render", file, f"{directory}/out"], check=True)
        out = pathlib.Path(directory) / "out"
        read = {".json": lambda text: json.loads(text), ".yml": str}
        paths = [path for path in sorted(out.rglob("*")) if path.suffix in read]
        return {str(path.relative_to(out).with_suffix("")): read[path.suffix](path.read_text()) for path in paths}


def environment_of(root, values, **more):
    """What the module makes of an environment's documents, and what `render` does."""
    made = {"aws_security_group.runtime.id": values["security_group_id"], "aws_launch_template.runtime.id": f"{values['prefix']}-{values['environment']}"}
    seen = evaluated(root, environment_variables(values, commands=True, own_secret_key=True, **more), made=made)
    found = views.environment(seen.resources)
    # Of a template Terraform names the id, and the document the name.
    template = found["group/group"]["LaunchTemplate"]
    template["LaunchTemplateName"] = template.pop("LaunchTemplateId")
    values["user_data"] = found["group/launch-template"]["LaunchTemplateData"]["UserData"]
    wanted = {name: each for name, each in rendered(values).items() if not name.startswith("imagebuilder/")}
    # Terraform's own: it takes the rule that lets everything out away from each group that it makes.
    del wanted["network/default-egress"]
    return found, wanted
