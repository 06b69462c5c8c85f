#!/usr/bin/env python3
"""Every command of the account's side that a page has: tests/pages/check.py [PAGE...]. What the AWS CLI is called with is executed, page by page and
in the page's order, against the account of the rehearsal: moto behind the front. cloudflared, terraform, wrangler and vagrant are held against their own words
(forms.py), and listed. At the end mistakes are planted in copies of pages, each of which has to be found."""

import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/promotion")]
import rehearsal  # first: it sets moto up
import load
import peer
from front import Refused

import book
from program import Program
import forms

TOOLS = "base64 bash cat cp cut date dirname env expr find grep head jq ls mkdir mktemp mv od rm sed sha256sum shred sh sort tail tar tee touch tr true wc".split()
TUNNEL = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
# Pages of which every block is executed: none of their commands is for an instance.
WHOLE = ["docs/operations.md", "docs/trial.md"]
# The order in which an account is loaded, which two pages share: the account's part, an environment, the promotion.
LOADED = [("docs/image.md", "create-component"), ("packaging/aws/README.md", "create-launch-template"), ("docs/image.md", "create-state-machine")]


class Empty(rehearsal.Rehearsal):
    """The account before anything is loaded."""

    def load(self):
        pass


class Services:
    """What these pages ask for and neither moto nor the promotion's world has."""

    def __init__(self, account):
        self.account, self.queries, self.commands = account, {}, {}
        self.ids = itertools.count(1)
        served = {
            "autoscaling": [self.CancelInstanceRefresh],
            "imagebuilder": [self.GetImage, self.ListImagePipelines, self.StartImagePipelineExecution],
            "logs": [self.DescribeQueryDefinitions, self.PutQueryDefinition],
            "secretsmanager": [self.StopReplicationToReplica],
            "ssm": [self.DescribeInstanceInformation, self.GetParameter, self.ListCommandInvocations, self.SendCommand, self.StartSession],
        }
        for service, handlers in served.items():
            account.front.served.update({(service, handler.__name__): handler for handler in handlers})

    # Image Builder

    def ListImagePipelines(self, given, region):
        found = [{"arn": arn, "name": each["name"]} for arn, each in self.account.world.made.items() if ":image-pipeline/" in arn]
        return {"requestId": "r", "imagePipelineList": found}

    def StartImagePipelineExecution(self, given, region):
        self.account.world.known(given["imagePipelineArn"])
        image, _ = self.account.world.build(f"2026.9.{next(self.ids)}")
        return {"requestId": "r", "imageBuildVersionArn": image}

    def GetImage(self, given, region):
        image = self.account.world.images[given["imageBuildVersionArn"]]
        return {"requestId": "r", "image": {**image, "state": {"status": "AVAILABLE"}}}

    # Auto Scaling

    def CancelInstanceRefresh(self, given, region):
        refresh = self.account.world.active(given["AutoScalingGroupName"])
        if not refresh:
            raise Refused("ActiveInstanceRefreshNotFound", "no refresh is in progress")
        refresh.status = "Cancelled"
        return {"InstanceRefreshId": refresh.id}

    # Systems Manager

    def GetParameter(self, given, region):
        if given["Name"].startswith("/aws/service/canonical/ubuntu/server/22.04/"):
            return {"Parameter": {"Name": given["Name"], "Type": "String", "Value": self.account.ubuntu, "Version": 1}}
        return None

    def DescribeInstanceInformation(self, given, region):
        (ids,) = [each["Values"] for each in given["Filters"] if each["Key"] == "InstanceIds"]
        self.account.inner.client("ec2", region=region).describe_instances(InstanceIds=ids)
        return {"InstanceInformationList": [{"InstanceId": each, "PingStatus": "Online"} for each in ids]}

    def StartSession(self, given, region):
        self.account.inner.client("ec2", region=region).describe_instances(InstanceIds=[given["Target"]])
        return {"SessionId": "s", "TokenValue": "t", "StreamUrl": "wss://127.0.0.1/"}

    def SendCommand(self, given, region):
        ec2, parameters = self.account.inner.client("ec2", region=region), given.get("Parameters", {})
        if given["DocumentName"] == "AWS-RunShellScript":
            script = "\n".join(parameters["commands"])
            if subprocess.run(["bash", "-n"], input=script, text=True).returncode != 0:
                raise Refused("InvalidParameters", f"not a script: {script}")
        else:
            self.account.inner.client("ssm", region=region).describe_document(Name=given["DocumentName"])
        targets = {each["Key"]: each["Values"] for each in given.get("Targets", [])}
        if ids := given.get("InstanceIds") or targets.pop("InstanceIds", None):
            ec2.describe_instances(InstanceIds=ids)
        else:
            filters = [{"Name": key, "Values": values} for key, values in targets.items()]
            ids = [each["InstanceId"] for found in ec2.describe_instances(Filters=filters)["Reservations"] for each in found["Instances"]]
        name = f"{next(self.ids):08}-0000-4000-8000-000000000000"
        self.commands[name] = ids
        return {"Command": {"CommandId": name, "Status": "Pending"}}

    def ListCommandInvocations(self, given, region):
        plugin = {"Name": "script", "Status": "Success", "Output": "registered"}
        ids = self.commands[given["CommandId"]]
        return {"CommandInvocations": [{"CommandId": given["CommandId"], "InstanceId": each, "Status": "Success", "CommandPlugins": [plugin]} for each in ids]}

    # Logs

    def PutQueryDefinition(self, given, region):
        self.queries[given["name"]] = given
        return {"queryDefinitionId": str(uuid.uuid4())}

    def DescribeQueryDefinitions(self, given, region):
        found = [each for name, each in self.queries.items() if name.startswith(given.get("queryDefinitionNamePrefix", ""))]
        return {"queryDefinitions": [{"name": each["name"], "queryString": each["queryString"]} for each in found]}

    # Secrets Manager

    def StopReplicationToReplica(self, given, region):
        """moto keeps a replica that is none of its region; a secret of its own takes its place."""
        name = given["SecretId"]
        value = self.account.inner.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        there = self.account.inner.client("secretsmanager", region=region)
        self.account.forget_replica(name, region)
        return {"ARN": there.create_secret(Name=name, SecretString=value)["ARN"]}


class Account(Empty):
    def __init__(self, directory):
        peer.adapt()
        super().__init__(peer.moto(), directory / "documents")
        Services(self)
        self.directory = directory
        self.port = rehearsal.serve(self.front)
        self.given()
        self.workspace()

    def given(self):
        """What is there before: a network, databases, secrets, the bucket, New Relic's Lambda."""
        self.values, secret = {}, {"config_yaml": f"tunnel: {TUNNEL}\ningress:\n  - service: http_status:404\n", "credentials_json": json.dumps({"TunnelID": TUNNEL})}
        for region in ("us-east-1", "us-west-2"):
            ec2 = self.inner.client("ec2", region=region)
            vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
            subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
            databases = {f"database_security_group_id_{n}": ec2.create_security_group(GroupName=f"database-{n}", Description="made up", VpcId=vpc)["GroupId"] for n in (1, 2)}
            self.values[region] = {"vpc_id": vpc, "subnet_ids": ",".join(subnets), "builder_subnet_id": subnets[0], **databases}
        self.ubuntu = self.inner.client("ec2").register_image(Name="ubuntu", RootDeviceName="/dev/sda1", VirtualizationType="hvm")["ImageId"]
        for name in ("dev", "prd"):
            self.inner.client("secretsmanager").create_secret(Name=f"/adventive/cloudflared/{name}", SecretString=json.dumps(secret))
            self.inner.client("secretsmanager").put_secret_value(SecretId=f"/adventive/cloudflared/{name}", SecretString=json.dumps(secret))
        role = self.inner.client("iam").create_role(RoleName="lambda", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))["Role"]["Arn"]
        self.inner.client("lambda").create_function(FunctionName="newrelic-log-ingestion", Role=role, Runtime="python3.12", Handler="f.f", Code={"ZipFile": b"PK\x05\x06" + b"\0" * 18})
        s3 = peer.SESSION.create_client("s3", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}", aws_access_key_id="loader", aws_secret_access_key="made-up")
        s3.create_bucket(Bucket="adventive-platform-artifacts")

    def workspace(self):
        """The root of the repository, as far as the commands look at it, with the values of prd in it; and the programs that there are."""
        self.root = self.directory / "root"
        self.root.mkdir()
        for name in ("packaging", "imagebuilder"):
            shutil.copytree(ROOT / name, self.root / name)
        text = (ROOT / "packaging/aws/values.example").read_text()
        for name, value in self.values["us-east-1"].items():
            text = re.sub(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        (self.root / "prd.values").write_text(text)
        there = self.values["us-west-2"]
        names = [name for name in there if name != "builder_subnet_id"]
        (self.root / "dr.network").write_text("".join(f"{name}={there[name]}\n" for name in names))
        package = self.root / "target/dist/cflared-agent_0.0.0_amd64.deb"
        package.parent.mkdir(parents=True)
        package.write_bytes(b"made up")
        programs = self.directory / "bin"
        programs.mkdir()
        for name in TOOLS:
            (programs / name).symlink_to(shutil.which(name))
        shim = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'tests/pages')!r})\nimport shims\nshims.main()\n"
        for name in ("cloudflared", "terraform", "wrangler", "vagrant", "cflared-agent", "session-manager-plugin"):
            (programs / name).write_text(shim)
        for each in programs.iterdir():
            if not each.is_symlink():
                each.chmod(0o755)
        self.environment = {
            "PATH": str(programs), "HOME": str(self.directory), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "loader", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_CONFIG_FILE": "/dev/null", "AWS_PAGER": "", "NO_PROXY": "*",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", "TUNNEL": TUNNEL,
        }  # fmt: skip
        self.calls = Program(self.directory, programs / "aws", self.environment)

    def forget_replica(self, name, region):
        import moto.backends as backends

        store = backends.get_backend("secretsmanager")[self.inner.number][region].secrets
        for key in [each for each in store if name in str(each)]:
            dict.pop(store, key)

    def before(self, page):
        """What has happened when a reader comes to a page."""
        if page == "docs/runbook.md":
            # "rules that are missing"
            ec2 = self.inner.client("ec2")
            (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["adv-cflared-runtime-prd"]}])["SecurityGroups"]
            gone = [rule for rule in group["IpPermissionsEgress"] if rule.get("FromPort") == 7844]
            ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=gone)
            # "config.yml and UUID.json": what is to be stored.
            (self.root / "config.yml").write_text("ingress:\n  - service: http_status:404\n")
            (self.root / "UUID.json").write_text("{}")

    # Pages

    def placeholders(self):
        """What a page leaves to its reader."""
        ec2 = self.inner.client("ec2")
        group = self.inner.group("adv-cflared-prd")["Instances"] if self.loaded else []
        known = {
            "i-…": group[0]["InstanceId"] if group else "i-…",
            "ami-…": self.ubuntu,
            "subnet-…": self.values["us-east-1"]["subnet_ids"].split(",")[0],
            "SecretVersion=…": f"SecretVersion={uuid.uuid4()}",
            "…/adv-cflared-pipeline": "arn:aws:imagebuilder:us-east-1:123456789012:image-pipeline/adv-cflared-pipeline",
            "…:adv-cflared-rolling-update": "arn:aws:states:us-east-1:123456789012:stateMachine:adv-cflared-rolling-update",
            "NAME": "adv-cflared-prd",
        }
        found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["adv-cflared-runtime-prd"]}])["SecurityGroups"]
        if found:
            known["sg-…"] = found[0]["GroupId"]
        return known

    loaded = False

    def run(self, units):
        """Executes units of a page in one shell; the calls that were made, and how it ended."""
        self.calls.taken()
        script = ["set -euo pipefail", f"cd {shlex.quote(str(self.root))}"]
        known = self.placeholders()
        for unit in units:
            text = unit.text
            for name, value in known.items():
                text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])" if name == "NAME" else re.escape(name), lambda _: value, text)
            script += [f"echo {shlex.quote('@@ ' + unit.where)} >&2", text]
        ended = subprocess.run(["bash"], input="\n".join(script) + "\n", text=True, env=self.environment, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.calls.taken(), ended


def is_mention(unit):
    """A span that only names an operation: its form is checked, it cannot be executed."""
    return not unit.is_block and len(unit.text.split()) == 3


def executed(account, page, units, title=""):
    units = [unit for unit in units if (unit.calls("aws") and not is_mention(unit)) or (unit.is_block and page in WHOLE)]
    if not units:
        return 0
    began = time.monotonic()
    made, ended = account.run(units)
    took = time.monotonic() - began
    listed = sum(1 for unit in units for _ in unit.commands("aws"))
    if ended.returncode != 0:
        at = re.findall(r"^@@ (.*)$", ended.stderr, re.MULTILINE)[-1]
        raise AssertionError(f"{at}: status {ended.returncode} after {made[-1:] or 'no call'}: {ended.stderr.rpartition('@@ ' + at)[2].strip()}")
    if len(made) < listed:
        raise AssertionError(f"{page}: {listed} commands, of which {len(made)} were executed")
    print(f"{page}{title}: {listed} aws commands, {len(made)} calls, {took:.1f} s", flush=True)
    return listed


def mentioned(units):
    """That each operation which a page only names is one."""
    for unit in units:
        if unit.calls("aws") and is_mention(unit):
            _, service, operation = unit.text.split()
            names = peer.SESSION.get_service_model(service).operation_names
            if operation.replace("-", "") not in {name.lower() for name in names}:
                raise AssertionError(f"{unit.where}: there is no aws {service} {operation}")


def by_form(units):
    """Checks the commands of the other programs, and lists them."""
    listed = []
    for unit in units:
        for program in book.PROGRAMS[1:]:
            for command in unit.commands(program):
                # What a span leaves out: the tunnel's own options after `cloudflared`, else a value.
                words = shlex.split(command.replace("cloudflared …", "cloudflared tunnel"))
                if words[:2] == ["cloudflared", "version"]:
                    continue  # what it prints
                wrong = forms.wrong(words, is_mention=not unit.is_block)
                if wrong:
                    raise AssertionError(f"{unit.where}: {wrong}: {command}")
                listed.append(f"{unit.where}: {command}")
    return listed


class Problems:
    """What is wrong, of every page, so that one run shows all of it."""

    def __init__(self):
        self.found = []

    def of(self, check, *given):
        try:
            return check(*given)
        except AssertionError as error:
            self.found.append(str(error))
            return None


def load_account(account, pages):
    """In the order of the text: the account's part with a first image, an environment, the promotion."""
    done = []
    for page, word in LOADED:
        (unit,) = [each for each in pages[page] if each.is_block and word in each.text]
        executed(account, page, [unit], f" (line {unit.line})")
        done.append(unit)
    account.loaded = True
    account.world.settle({"prd": ("adv-cflared-prd", TUNNEL, 2)})
    documents = load.Documents(account.directory / "dev", "dev", ())
    documents.render(image_id=account.ubuntu, **account.values["us-east-1"])
    load.load_environment(account.account, documents, "dev", rehearsal.PREFIX)
    for name in ("dev", "stg", "prd"):
        for image in (account.ubuntu, account.inner.parameter("ami-id-latest")):
            account.inner.put_parameter(f"ami-id-passed-{name}", image)
    return done


# Mistakes in units that need nothing of the units before them: a page, what is replaced, by what, and what has to be said of it.
PLANTED = [
    ("docs/lifecycle.md", "--heartbeat-timeout", "--heartbeat-timeouts", "Unknown options"),
    ("docs/lifecycle.md", "put-lifecycle-hook", "put-lifecycle-hooks", "nvalid choice"),
    ("docs/lifecycle.md", "--heartbeat-timeout 300", "--heartbeat-timeout soon", "invalid literal"),
    ("docs/operations.md", "get-parameter --name /adventive/cloudflared/ami-id-passed-$", "get-parameter --name /adventive/cloudflared/ami-passed-$", "ParameterNotFound"),
    ("docs/trial.md", "tunnel create --credentials-file", "tunnel create --credential-file", "no option --credential-file"),
    ("docs/trial.md", "cloudflared tunnel cleanup", "cloudflared tunnel clean", "has no tunnel clean"),
    ("docs/terraform.md", "terraform destroy", "terraform destroy --all", "no option --all"),
    ("docs/terraform.md", "terraform state rm module", "terraform state remove module", "has no state remove"),
]


def planted(account, pages):
    """Each mistake is found, and for what it is."""
    for page, before, after, says in PLANTED:
        changed = [book.Unit(unit.page, unit.line, unit.text.replace(before, after), unit.is_block) for unit in pages[page] if before in unit.text]
        if not changed:
            raise AssertionError(f"{page} has no {before}")
        try:
            by_form(changed)
            executed(account, page, changed[:1])
        except AssertionError as error:
            if says not in str(error):
                raise
            print(f"found: {page}: {after}: {says}", flush=True)
            continue
        raise AssertionError(f"not found: {page}: {after}")


def fields_of_the_queries():
    """Saved queries name events and fields that the agent has."""
    events = (ROOT / "docs/events.md").read_text()
    texts = [path.read_text() for path in [*(ROOT / "packaging/aws/queries").iterdir(), ROOT / "packaging/newrelic/queries.nrql"]]
    for text in texts:
        for event in re.findall(r"CFLARED_EVENT (?:=|in|IN) ([^|]*?)(?:\]|\)|$| SINCE| FACET| AND)", text, re.MULTILINE):
            for name in re.findall(r"['\"](\w+)['\"]", event):
                if f"`{name}`" not in events:
                    raise AssertionError(f"a saved query asks for the event {name}, which docs/events.md does not have")
    return len(texts)


def orders_of_the_verdict():
    """The table of docs/architecture.md has each of them."""
    orders = re.search(r"^pub enum Order \{\n(.*?)^\}", (ROOT / "agent/verdict/src/orders.rs").read_text(), re.MULTILINE | re.DOTALL)[1]
    table = (ROOT / "docs/architecture.md").read_text().split("\n## Orders\n")[1].split("\n## ")[0]
    missing = [name for name in re.findall(r"^    ([A-Z]\w+)", orders, re.MULTILINE) if f"`{name}`" not in table]
    if missing:
        raise AssertionError(f"docs/architecture.md has no row for the orders {missing}")


def fetched_over_https():
    """Every curl takes nothing but HTTPS, or nothing but HTTP from this host and the metadata service."""
    listed = subprocess.run(["git", "ls-files", "*.md", "*.sh", "*.yml", "*.py", "Makefile", "packaging"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.split()
    for name in set(listed) - {"tests/pages/check.py"}:
        for line in re.sub(r"\\\n\s*", " ", (ROOT / name).read_text()).splitlines():
            if re.search(r"(?:^|[`|;&(\"]|\bdo\b)\s*curl\s+(-|\$|http|\d)", line) and "--proto" not in line and not re.search(r"curl [^|]*(127\.|\$IMDS|\$AWS|\$EDGE|\$CLOUDFLARED|\$ADDR)", line):
                raise AssertionError(f"{name}: a curl without --proto: {line.strip()[:120]}")


def main(wanted):
    pages = {str(path.relative_to(ROOT)): book.units(path) for path in book.pages()}
    count, listed, problems = 0, [], Problems()
    with tempfile.TemporaryDirectory() as directory:
        account = Account(pathlib.Path(directory))
        try:
            done = load_account(account, pages)
            count += sum(1 for unit in done for _ in unit.commands("aws"))
            for page, units in pages.items():
                if wanted and page not in wanted:
                    continue
                rest = [unit for unit in units if not any(unit is each for each in done)]
                problems.of(mentioned, rest)
                account.before(page)
                count += problems.of(executed, account, page, rest) or 0
                for unit in units:
                    listed += problems.of(by_form, [unit]) or []
            if not problems.found:
                planted(account, pages)
            for check in (fields_of_the_queries, orders_of_the_verdict, fetched_over_https):
                problems.of(check)
        finally:
            account.calls.end()
    if problems.found:
        sys.exit("\n".join(["", *problems.found]))
    print("by form:", *listed, sep="\n  ")
    print(f"{count} aws commands executed, {len(listed)} commands of other programs held against their form, {len(PLANTED)} mistakes found")


if __name__ == "__main__":
    main(sys.argv[1:])
