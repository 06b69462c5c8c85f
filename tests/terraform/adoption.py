"""docs/terraform.md, "Adoption", followed word by word on a model of dev's state: each command of its blocks is carried out, and one that
this does not know is an error. What an import reads is what AWS has; what an apply writes, AWS has then."""

import copy
import pathlib
import re
import shlex
import shutil
import tempfile

import plan
from fixtures import ENVIRONMENT, ROOT, evaluated, world
from model import Module

PAGE = ROOT / "docs/terraform.md"
OLD, NEW = "infra/cflared-asg", "infra/cflared-asg/dev"
RUNTIME = "adv-cflared-runtime-dev"
SSM = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


def today():
    """What dev is before: in AWS by type and id, and in the old root's state by address."""
    rules = {
        f"sgr-0123456789abcdef{number}": {"security_group_id": "sg-0123456789abcdef0", "description": "", **rule}
        for number, rule in enumerate(
            [
                {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "0.0.0.0/0"},
                {"ip_protocol": "tcp", "from_port": 7844, "to_port": 7844, "cidr_ipv4": "0.0.0.0/0"},
                {"ip_protocol": "udp", "from_port": 7844, "to_port": 7844, "cidr_ipv4": "0.0.0.0/0"},
                {"ip_protocol": "tcp", "from_port": 3306, "to_port": 3306, "referenced_security_group_id": "sg-0123456789abcdef1"},
                {"ip_protocol": "tcp", "from_port": 3306, "to_port": 3306, "referenced_security_group_id": "sg-0123456789abcdef3"},
            ]
        )
    }
    trust = (ROOT / "packaging/aws/iam/trust.json").read_text()
    aws = {
        "aws_iam_role": {RUNTIME: {"name": RUNTIME, "assume_role_policy": trust, "tags": {"adv:env": "dev"}}},
        "aws_iam_role_policy_attachment": {f"{RUNTIME}/{SSM}": {"role": RUNTIME, "policy_arn": SSM}},
        "aws_iam_instance_profile": {RUNTIME: {"name": RUNTIME, "role": RUNTIME}},
        "aws_security_group": {
            "sg-0123456789abcdef0": {"name": RUNTIME, "description": "cloudflared dev", "vpc_id": "vpc-0123456789abcdef0", "tags": {"adv:env": "dev"}}
        },
        "aws_vpc_security_group_egress_rule": rules,
        "aws_launch_template": {
            "lt-0123456789abcdef0": {
                "name": "adv-cflared-dev",
                "image_id": "ami-0aaaaaaaaaaaaaaaa",
                "instance_type": "t3.micro",
                "vpc_security_group_ids": ["sg-0123456789abcdef0"],
                "iam_instance_profile": [{"name": RUNTIME}],
                "metadata_options": [{"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1, "instance_metadata_tags": "enabled"}],
                "default_version": 1,
                "latest_version": 7,
            }
        },
        "aws_autoscaling_group": {
            "adv-cflared-dev": {
                "name": "adv-cflared-dev",
                "min_size": 1,
                "max_size": 2,
                "desired_capacity": 1,
                "vpc_zone_identifier": ["subnet-0123456789abcdef0"],
                "health_check_type": "EC2",
                "health_check_grace_period": 180,
                "launch_template": [{"id": "lt-0123456789abcdef0", "version": "$Latest"}],
                "tag": [{"key": "adv:env", "value": "dev", "propagate_at_launch": True}],
            }
        },
        "aws_cloudwatch_metric_alarm": {"adv-cflared-dev-ha-connections": {"alarm_name": "adv-cflared-dev-ha-connections"}},
    }
    names = {
        'aws_iam_role.runtime["dev"]': RUNTIME,
        'aws_iam_role_policy_attachment.ssm["dev"]': f"{RUNTIME}/{SSM}",
        'aws_iam_instance_profile.runtime["dev"]': RUNTIME,
        'aws_security_group.runtime["dev"]': "sg-0123456789abcdef0",
        'aws_launch_template.runtime["dev"]': "lt-0123456789abcdef0",
        'aws_autoscaling_group.runtime["dev"]': "adv-cflared-dev",
        'aws_cloudwatch_metric_alarm.ha_connections["dev"]': "adv-cflared-dev-ha-connections",
    }
    return aws, names


def type_of(address):
    return next(part for part in re.split(r"[.\[]", address) if part.startswith("aws_"))


class Account:
    """AWS, and two roots with their states: addresses with ids."""

    def __init__(self):
        self.aws, old = today()
        # Its configuration is what it made; who manages the rules is the group's own argument.
        self.configured = {address: (type_of(address), id, copy.deepcopy(self.aws[type_of(address)][id])) for address, id in old.items()}
        self.states, self.here, self.plans, self.serial = {OLD: dict(old), NEW: {}}, None, [], 0
        self.replaced = []
        self.root = None

    # Commands

    def run(self, line):
        words = shlex.split(line)
        match words:
            case ["cd", where] if where in self.states:
                self.here = where
            case ["aws", "autoscaling", "update-auto-scaling-group", "--auto-scaling-group-name", name, "--launch-template", chosen]:
                of, version = re.fullmatch(r"LaunchTemplateName=([\w-]+),Version=(\d+)", chosen).groups()
                assert of == name
                self.aws["aws_autoscaling_group"][name]["launch_template"][0]["version"] = version
            case ["terraform", "state", "rm", *addresses]:
                for address in addresses:
                    self.forget(address)
            case ["terraform", "import", address, id]:
                self.take(address, id)
            case ["terraform", "plan"]:
                self.plans.append((self.here, self.planned()))
            case ["terraform", "apply"]:
                self.apply(self.planned())
            case ["terraform", "destroy"]:
                for address, id in list(self.states[self.here].items()):
                    del self.aws[type_of(address)][id]
                self.states[self.here] = {}
            case _:
                raise AssertionError(f"the page has a command that is not known here: {line}")

    def forget(self, address):
        state = self.states[self.here]
        found = [each for each in state if each == address or each.startswith(f"{address}[")]
        assert found, f"{self.here} has no {address}"
        for each in found:
            del state[each]

    def take(self, address, id):
        assert id in self.aws[type_of(address)], f"AWS has no {type_of(address)} {id}"
        assert address not in self.states[self.here], f"{address} is in the state already"
        owners = [where for where, state in self.states.items() if id in [each for name, each in state.items() if type_of(name) == type_of(address)]]
        assert not owners, f"{id} is still in the state of {owners}"
        self.states[self.here][address] = id

    # Terraform

    def resources(self):
        made = {f"{address}.id": id for address, id in self.states[NEW].items()}
        return [each for each in evaluated(self.root, made=made).resources if each.kind == "resource"]

    def state(self):
        """The state after a refresh: what AWS has."""
        return {address: self.aws[type_of(address)][id] for address, id in self.states[self.here].items()}

    def planned(self):
        if self.here == NEW:
            module = {each.address: each for each in self.resources()}
            # Blocks that import are part of the plan.
            for address, id in self.imports():
                assert address in module, f"the page imports {address}, which the root does not have"
                if address not in self.states[NEW]:
                    self.take(address, id)
            return plan.plan(self.state(), self.resources())
        found = {}
        for address, there in self.state().items():
            wanted = self.configured[address][2]
            changed = sorted(name for name in wanted if plan.as_text(wanted[name]) != plan.as_text(there.get(name)))
            if changed:
                found[address] = ("update", changed)
        return found | {address: ("create", []) for address in self.configured if address not in self.states[OLD]}

    def imports(self):
        return Module(self.root, world()).moved_in()

    def apply(self, planned):
        resources = {each.address: each for each in self.resources()}
        for address, (kind, _) in planned.items():
            if kind in ("replace", "delete"):
                self.replaced.append(address)
                continue
            wanted, of = copy.deepcopy(resources[address].values.plain()), type_of(address)
            for path in self.ignored(resources[address]) if kind == "update" else []:
                plan.take(wanted, path)
            if kind == "create":
                self.serial += 1
                self.states[NEW][address] = f"{of}-{self.serial}"
                self.aws.setdefault(of, {})[f"{of}-{self.serial}"] = wanted
            else:
                there = self.aws[of][self.states[NEW][address]]
                self.put(there, wanted)
                if of == "aws_launch_template":
                    there["latest_version"] += 1

    def ignored(self, resource):
        return resource.lifecycle.get("ignore_changes", [])

    def put(self, there, wanted):
        for name, value in wanted.items():
            if name == "launch_template":  # its version is ignored
                there[name][0] |= {key: each for key, each in value[0].items() if key != "version"}
            else:
                there[name] = value


def blocks(heading, language):
    """The fenced blocks under a heading of the page."""
    text = PAGE.read_text()
    section = text.split(f"\n### {heading}\n", 1)[1]
    section = re.split(r"\n##+ ", section, maxsplit=1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def commands(heading):
    return [line for block in blocks(heading, "sh") for line in block.splitlines() if line.strip()]


class Adopted:
    """The page, from its first step to its last."""

    def __init__(self, **planted):
        self.account = Account()
        for (of, id), change in planted.get("aws", {}).items():
            self.account.aws[of][id].update(change)
        self.directory = tempfile.TemporaryDirectory()
        for folder in ("packaging/aws", "imagebuilder"):
            shutil.copytree(ROOT / folder, pathlib.Path(self.directory.name) / folder)
        root = pathlib.Path(self.directory.name) / (ENVIRONMENT / "examples/dev").relative_to(ROOT)
        main = root / "main.tf"
        # "with your values, `hooks = false`, and this, as `import.tf`"
        main.write_text(main.read_text().replace("  commands = true\n", "  commands = true\n  hooks    = false\n"))
        (root / "import.tf").write_text("".join(blocks("3. Into the new one", "hcl")))
        self.account.root = root

    def there(self):
        for heading in ("1. Pin what the group runs", "2. Out of the old root", "3. Into the new one"):
            for line in commands(heading):
                self.account.run(line)
        return self.account

    def back(self):
        # The blocks that import belong to the way there.
        (self.account.root / "import.tf").unlink()
        for line in commands("Back"):
            self.account.run(line)
        return self.account
