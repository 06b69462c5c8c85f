"""The account: clients of it, and what is in moto, for the front and for the tests."""

import functools
import io
import json
import time
import uuid
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from werkzeug.test import create_environ, run_wsgi_app

from front import LOADER, role_key
from peer import MACHINE_KEY, SESSION

DEADLINE = 60  # seconds, for what happens at once when the machine is not loaded


class Account:
    number = "123456789012"
    region = "us-east-1"

    def __init__(self, endpoint, application=None):
        """At an endpoint; or of a WSGI application in this process."""
        self.endpoint, self.application, self.clients = endpoint, application, {}

    def client(self, service, key=LOADER, region=None):
        region = region or self.region
        wanted = (service, key, region)
        if wanted not in self.clients:
            self.clients[wanted] = SESSION.create_client(
                service, region_name=region, endpoint_url=self.endpoint, aws_access_key_id=key, aws_secret_access_key="made-up",
                config=Config(retries={"total_max_attempts": 1}),
            )  # fmt: skip
            if self.application:
                self.clients[wanted].meta.events.register("before-send", self.ask)
        return self.clients[wanted]

    def ask(self, request, **_):
        headers = {name: as_text(value) for name, value in request.headers.items()}
        body = as_text(request.body or b"").encode()
        url = urlsplit(request.url)
        environ = create_environ(
            url.path, self.endpoint, query_string=url.query, method=request.method, headers=headers, input_stream=io.BytesIO(body)
        )
        environ["CONTENT_LENGTH"] = str(len(body))
        parts, status, answered = run_wsgi_app(self.application, environ, buffered=True)
        return AWSResponse(request.url, int(status.split()[0]), HeadersDict(answered), Raw(b"".join(parts)))

    def as_role(self, role, service, region=None):
        return self.client(service, role_key(role), region)

    @functools.cache
    def role_of_key(self, key):
        """moto's machine calls with one key; the role is that of the account's one state machine."""
        if key != MACHINE_KEY:
            return key.removeprefix("role.")
        machines = self.client("stepfunctions").list_state_machines()["stateMachines"]
        (machine,) = machines
        return self.client("stepfunctions").describe_state_machine(stateMachineArn=machine["stateMachineArn"])["roleArn"].split("/")[1]

    @functools.cache
    def policies(self, role):
        """They do not change any more once something acts as the role."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            found.append(iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
        return found

    def forget(self):
        Account.policies.cache_clear()

    def trust(self, role):
        return self.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]

    def role_of_profile(self, name):
        return self.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"][0]

    def tags(self, resource, region=None):
        given = [{"Name": "resource-id", "Values": [resource]}]
        return {each["Key"]: each["Value"] for each in self.client("ec2", region=region).describe_tags(Filters=given)["Tags"]}

    def group(self, name, region=None):
        found = self.client("autoscaling", region=region).describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return found["AutoScalingGroups"][0]

    def launch_template_data(self, template, version, region=None):
        return self.launch_template_version(template, version, region)["LaunchTemplateData"]

    def launch_template_version(self, template, version, region=None):
        ec2 = self.client("ec2", region=region)
        found = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])["LaunchTemplateVersions"]
        return found[0]

    def instances(self, ids):
        if not ids:
            return []
        found = self.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        return [instance for reservation in found for instance in reservation["Instances"]]

    def parameter(self, name, region=None):
        return self.client("ssm", region=region).get_parameter(Name=f"/adventive/cloudflared/{name}")["Parameter"]["Value"]

    def put_parameter(self, name, value):
        self.client("ssm").put_parameter(Name=f"/adventive/cloudflared/{name}", Value=value, Type="String", Overwrite=True)

    def execution(self, arn):
        return self.client("stepfunctions").describe_execution(executionArn=arn)

    def start(self, machine, given, key=LOADER):
        # AWS names an execution by itself; moto does not.
        named = {"stateMachineArn": machine, "name": str(uuid.uuid4()), "input": json.dumps(given)}
        return self.client("stepfunctions", key).start_execution(**named)["executionArn"]

    def ended(self, arn):
        """The execution's last status, when it has come to one."""
        until(lambda: self.execution(arn)["status"] != "RUNNING", f"{arn} to end")
        return self.execution(arn)["status"]


def as_text(value):
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


class Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_):
        yield self.read()


def until(holds, what):
    deadline = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"in {DEADLINE} s it was waited in vain for {what}")
        time.sleep(0.05)
