"""Loads what `render` makes of the documents, in the order of docs/image.md and packaging/aws/README.md, as a person would: an id that
the account makes on the way goes into the values, and the documents that need it are rendered again."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENTS = {"dev": (1, 2, 1), "stg": (1, 2, 1), "prd": (2, 4, 2)}
TUNNELS = {name: f"6ff42ae2-765d-4adf-8112-31c55c1551e{n}" for n, name in enumerate(ENVIRONMENTS)}
COMPONENTS = ["base", "cloudflared", "cloudwatch-agent", "ssm-agent", "agent"]


class Documents:
    """The rendered documents of one environment, with changes that plant a mistake."""

    def __init__(self, directory, environment, changes):
        self.directory, self.changes = pathlib.Path(directory) / environment, dict(changes)
        self.values = dict(
            line.split("=", 1) for line in (ROOT / "packaging/aws/values.example").read_text().splitlines() if "=" in line and line[0] != "#"
        )
        small, large, wanted = ENVIRONMENTS[environment]
        self.values.update(environment=environment, tunnel_id=TUNNELS[environment], min_size=small, max_size=large)
        self.values.update(desired_capacity=wanted, instance_type="t3.micro" if wanted == 1 else "t3.small")
        del self.values["prefix"]  # the default

    def render(self, **known):
        self.values.update(known)
        self.directory.mkdir(parents=True, exist_ok=True)
        values = self.directory / "values"
        values.write_text("".join(f"{name}={value}\n" for name, value in self.values.items()))
        subprocess.run([ROOT / "packaging/aws/render", values, self.directory], check=True)

    def text(self, path):
        return self.changes.get(path, str)((self.directory / path).read_text())

    def json(self, path):
        return json.loads(self.text(f"{path}.json"))

    def names(self, folder):
        return sorted(path.stem for path in (self.directory / folder).glob("*.json"))


def role(account, name, trust, policies, managed=()):
    iam = account.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    for policy, document in policies.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    for policy in managed:
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")


def profile(account, name):
    account.client("iam").create_instance_profile(InstanceProfileName=name)
    account.client("iam").add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def closed_security_group(account, documents, folder, name):
    """A group that nothing gets into, with its own rules out; `name` is what the values call it."""
    ec2 = account.client("ec2")
    made = ec2.create_security_group(**documents.json(f"{folder}/security-group"))["GroupId"]
    documents.render(**{name: made})
    ec2.authorize_security_group_egress(**documents.json(f"{folder}/egress"))
    ec2.revoke_security_group_egress(**documents.json(f"{folder}/default-egress"))
    return made


def load_image(account, documents, prefix):
    """docs/image.md, "Load it"."""
    here, builder = "imagebuilder", account.client("imagebuilder")
    closed_security_group(account, documents, f"{here}/network", "builder_security_group_id")
    for topic in ("page", "warn"):
        account.client("sns").create_topic(Name=f"{prefix}-{topic}")
    managed = ["AmazonSSMManagedInstanceCore"]
    for name, service in [("builder", "ec2"), ("pipeline", "imagebuilder"), ("lifecycle", "imagebuilder"), ("event", "events"), ("schedule", "scheduler"), ("machine", "states")]:
        trust, policy = documents.json(f"{here}/iam/trust-{service}"), documents.json(f"{here}/iam/{name}")
        role(account, f"{prefix}-{name}", trust, {name: policy}, managed if name == "builder" else ())
    profile(account, f"{prefix}-builder")
    for name in documents.names(f"{here}/parameters"):
        account.client("ssm").put_parameter(**documents.json(f"{here}/parameters/{name}"))
    inputs = f"{here}/inputs"
    for name in COMPONENTS:
        data = documents.text(f"{here}/components/{name}.yml")
        builder.create_component(**documents.json(f"{inputs}/component-{name}"), data=data)
    builder.create_image_recipe(**documents.json(f"{inputs}/recipe"))
    builder.create_infrastructure_configuration(**documents.json(f"{inputs}/infrastructure"))
    builder.create_distribution_configuration(**documents.json(f"{inputs}/distribution"))
    builder.create_image_pipeline(**documents.json(f"{inputs}/pipeline"))
    builder.create_lifecycle_policy(**documents.json(f"{inputs}/lifecycle-policy"))


def load_environment(account, documents, environment, prefix):
    """packaging/aws/README.md, "Load it"."""
    ec2, scaling = account.client("ec2"), account.client("autoscaling")
    runtime = f"{prefix}-runtime-{environment}"
    policies = {name: documents.json(f"iam/{name}") for name in ("agent", "host", "report")}
    role(account, runtime, documents.json("iam/trust"), policies, ["AmazonSSMManagedInstanceCore"])
    profile(account, runtime)
    closed_security_group(account, documents, "network", "security_group_id")
    for name in documents.names("logs/groups"):
        account.client("logs").create_log_group(**documents.json(f"logs/groups/{name}"))
        account.client("logs").put_retention_policy(**documents.json(f"logs/retention/{name}"))
    ec2.create_launch_template(**documents.json("group/launch-template"))
    scaling.create_auto_scaling_group(**documents.json("group/group"))
    scaling.enable_metrics_collection(**documents.json("group/metrics"))
    for name in documents.names("alarms"):
        account.client("cloudwatch").put_metric_alarm(**documents.json(f"alarms/{name}"))
    dashboard = documents.text("dashboard.json")
    account.client("cloudwatch").put_dashboard(DashboardName=f"{prefix}-{environment}", DashboardBody=dashboard)
    for name in documents.names("hooks"):
        scaling.put_lifecycle_hook(**documents.json(f"hooks/{name}"))


def load_machine(account, documents):
    """docs/image.md, "Load it", once the environments are there."""
    inputs = "imagebuilder/inputs"
    machine = account.client("stepfunctions").create_state_machine(
        **documents.json(f"{inputs}/machine"), definition=documents.text(f"{inputs}/rolling-update.asl.json")
    )["stateMachineArn"]
    account.client("events").put_rule(**documents.json(f"{inputs}/event-rule"))
    account.client("events").put_targets(**documents.json(f"{inputs}/event-targets"))
    for environment in ENVIRONMENTS:
        account.client("scheduler").create_schedule(**documents.json(f"{inputs}/schedule-{environment}"))
    return machine


def load_commands(account, documents, prefix):
    for name in ("doctor", "fleet", "report"):
        account.client("ssm").create_document(
            Name=f"{prefix}-{name}", Content=documents.text(f"ssm/{name}.yml"), DocumentType="Command", DocumentFormat="YAML"
        )


def load_again(account, documents, machine, prefix):
    """What can be loaded once more, for the changes of documents that are there; whether that is all of them."""
    inputs, done = "imagebuilder/inputs", set()
    for path in documents.changes:
        name = pathlib.Path(path).stem
        if path == f"{inputs}/rolling-update.asl.json":
            account.client("stepfunctions").update_state_machine(stateMachineArn=machine, definition=documents.text(path))
        elif path == f"{inputs}/event-rule.json" and documents.json(f"{inputs}/event-rule")["Name"].startswith(prefix):
            account.client("events").put_rule(**documents.json(f"{inputs}/event-rule"))
        elif path == f"{inputs}/event-targets.json":
            account.client("events").put_targets(**documents.json(f"{inputs}/event-targets"))
        elif path in (f"imagebuilder/iam/{role}.json" for role in ("event", "machine", "schedule")):
            policy = documents.text(path)
            account.client("iam").put_role_policy(RoleName=f"{prefix}-{name}", PolicyName=name, PolicyDocument=policy)
        else:
            continue
        done.add(path)
    return done == set(documents.changes)
