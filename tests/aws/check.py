#!/usr/bin/env python3
"""Holds packaging/aws/ against what it is for: botocore's models of the services, a linter of policies, and moto, which loads
every document in the order of the README. Offline, in seconds."""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import boto3
import yaml
from moto import mock_aws
from parliament import analyze_policy_string

ROOT = pathlib.Path(__file__).resolve().parents[2]
AWS = ROOT / "packaging" / "aws"
sys.path.append(str(ROOT / "tests"))
from alarms import changes, judge
from models import wrongs

CALLS = {
    "alarms/": ("cloudwatch", "PutMetricAlarm"),
    "hooks/": ("autoscaling", "PutLifecycleHook"),
    "network/security-group": ("ec2", "CreateSecurityGroup"),
    "network/egress": ("ec2", "AuthorizeSecurityGroupEgress"),
    "network/default-egress": ("ec2", "RevokeSecurityGroupEgress"),
    "group/group": ("autoscaling", "CreateAutoScalingGroup"),
    "group/metrics": ("autoscaling", "EnableMetricsCollection"),
    "group/launch-template": ("ec2", "CreateLaunchTemplate"),
    "logs/groups/": ("logs", "CreateLogGroup"),
    "logs/retention/": ("logs", "PutRetentionPolicy"),
}
ALARMS = ["cpu", "held", "hold-forgotten", "http2", "image-age", "refused", "replicas", "restarts", "silent"]
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
os.environ.update(
    AWS_ACCESS_KEY_ID="made-up", AWS_SECRET_ACCESS_KEY="made-up", AWS_DEFAULT_REGION="us-east-1", AWS_CONFIG_FILE="/dev/null"
)


def render(values, directory):
    return subprocess.run([AWS / "render", values, directory], capture_output=True, text=True)


def example():
    lines = (AWS / "values.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def call_of(name):
    return next((call for start, call in CALLS.items() if name.startswith(start)), None)


def findings(policy):
    return [(each.issue, each.detail) for each in analyze_policy_string(json.dumps(policy)).findings]


class Rendered(unittest.TestCase):
    """Every document as `render` fills it in with the example's values, by its name."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        done = render(AWS / "values.example", cls.directory.name)
        assert done.returncode == 0, done.stderr
        # What is of the image is looked at in tests/image.
        paths = [path for path in sorted(pathlib.Path(cls.directory.name).rglob("*.json")) if "imagebuilder" not in path.parts]
        cls.documents = {
            str(path.relative_to(cls.directory.name).with_suffix("")): json.loads(path.read_text()) for path in paths
        }
        cls.ssm = {path.stem: path.read_text() for path in (pathlib.Path(cls.directory.name) / "ssm").glob("*.yml")}

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()


class Forms(Rendered):
    def test_each_is_json_before_its_placeholders_are_filled_in_too(self):
        names = {str(path.relative_to(AWS).with_suffix("")) for path in AWS.rglob("*.json")}
        self.assertEqual(names, set(self.documents))
        for name in names:
            json.loads((AWS / f"{name}.json").read_text())

    def test_each_is_what_the_service_takes(self):
        checked = {name for name in self.documents if call_of(name)}
        others = {"dashboard", "iam/agent", "iam/agent-kms", "iam/host", "iam/report", "iam/trust"}
        self.assertEqual(set(self.documents) - checked, others)
        for name in checked:
            self.assertEqual(wrongs(*call_of(name), self.documents[name]), [], name)

    def test_what_the_service_would_refuse_is_found(self):
        for name, change in [
            ("alarms/cpu", lambda given: given.update(TreatMissingData=1)),
            ("alarms/cpu", lambda given: given.update(ComparisonOperator="Above")),
            ("alarms/replicas", lambda given: given["Metrics"][0].update(id="x")),
            ("hooks/launch", lambda given: given.pop("LifecycleHookName")),
            ("group/group", lambda given: given.update(MinSize="1")),
            ("network/egress", lambda given: given["IpPermissions"][0].update(FromPort="443")),
        ]:
            given = copy.deepcopy(self.documents[name])
            change(given)
            self.assertNotEqual(wrongs(*call_of(name), given), [], name)

    def test_placeholders_are_those_of_the_example_for_sed_and_for_templatefile(self):
        known = set(example())
        used = set()
        image = ROOT / "imagebuilder"
        components = (image / "components").glob("*.yml")
        for path in [*AWS.rglob("*.json"), *(AWS / "ssm").glob("*.yml"), *image.rglob("*.json"), *components]:
            text = path.read_text().replace("${aws:", "")
            found = set(PLACEHOLDER.findall(text))
            self.assertLessEqual(found, known, path)
            self.assertNotIn("%{", text, f"{path}: templatefile takes it for a directive")
            used |= found
        self.assertEqual(used, known)

    def test_no_name_is_written_out(self):
        """The prefix is one value: nothing but a placeholder carries it."""
        for path in [*AWS.rglob("*.json"), *(AWS / "ssm").glob("*.yml")]:
            for line in path.read_text().splitlines():
                line = line.replace("adv:cflared-hold", "")
                self.assertNotRegex(line, r"adv-cflared|[\"/: ]cflared-(?!agent)", f"{path.name}: {line}")

    def test_the_prefix_has_a_default_and_is_one_value(self):
        lines = (AWS / "values.example").read_text()
        with tempfile.TemporaryDirectory() as directory:
            values = pathlib.Path(directory) / "values"
            for text, prefix in [(lines.replace("prefix=adv-cflared\n", ""), "adv-cflared"), (lines.replace("prefix=adv-cflared", "prefix=other"), "other")]:
                values.write_text(text)
                self.assertEqual(render(values, f"{directory}/{prefix}").returncode, 0)
                group = json.loads((pathlib.Path(directory) / prefix / "group/group.json").read_text())
                self.assertEqual((group["AutoScalingGroupName"], group["MinSize"]), (f"{prefix}-prd", 2))
            for path in (pathlib.Path(directory) / "other").rglob("*"):
                self.assertNotIn("adv-cflared", path.read_text() if path.is_file() else "", path)

    def test_render_says_what_it_lacks(self):
        lines = (AWS / "values.example").read_text()
        with tempfile.TemporaryDirectory() as directory:
            for text, said in [
                (lines.replace("vpc_id=", "another="), "vpc_id"),
                (lines + "image_id=ami|1\n", "ami|1"),
                (lines + "no value\n", "no value"),
            ]:
                values = pathlib.Path(directory) / "values"
                values.write_text(text)
                done = render(values, f"{directory}/out")
                self.assertEqual(done.returncode, 1, text)
                self.assertIn(said, done.stderr)

    def test_descriptions_of_rules_have_the_characters_that_ec2_takes(self):
        """EC2's reference, IpRange and UserIdGroupPair; no model has it, and an apostrophe is refused."""
        for path in [*AWS.glob("network/*.json"), *(ROOT / "imagebuilder" / "network").glob("*.json")]:
            for description in re.findall(r'"Description": "([^"]*)"', path.read_text()):
                self.assertRegex(PLACEHOLDER.sub("x", description), r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$", path.name)


class Policies(Rendered):
    def test_the_linter_finds_nothing(self):
        for name in ("iam/agent", "iam/agent-kms", "iam/host", "iam/report"):
            self.assertEqual(findings(self.documents[name]), [], name)

    def test_what_the_linter_should_find_is_found(self):
        """Above all: a resource or a condition that the service does not know for an action, which never matches."""
        for sid, change, issue in [
            ("Mark", {"Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*"}, "RESOURCE_MISMATCH"),
            ("Guard", {"Resource": "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*"}, "RESOURCE_MISMATCH"),
            ("Guard", {"Condition": {"StringEquals": {"cloudwatch:namespace": "x"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
            ("Bundle", {"Action": "secretsmanager:GetSecret"}, "UNKNOWN_ACTION"),
            ("Bundle", {"Resource": "arn:aws:secretsmanager:secret:/adventive"}, "INVALID_ARN"),
        ]:
            policy = copy.deepcopy(self.documents["iam/agent"])
            next(each for each in policy["Statement"] if each["Sid"] == sid).update(change)
            self.assertIn(issue, [found for found, _ in findings(policy)], (sid, change))

    def test_only_what_services_cannot_narrow_is_allowed_on_everything(self):
        wide = set()
        for name in ("iam/agent", "iam/agent-kms", "iam/host", "iam/report"):
            for statement in self.documents[name]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                self.assertTrue(all("*" not in action for action in actions))
                if statement["Resource"] == "*" and "Condition" not in statement:
                    wide |= set(actions)
        # Each of these has no resource type and no condition key of its own in the service authorization reference.
        reads = ["AutoScalingGroups", "AutoScalingInstances", "InstanceRefreshes", "LifecycleHooks", "ScalingActivities"]
        expected = {f"autoscaling:Describe{each}" for each in reads} | {"cloudwatch:GetMetricData", "ec2:DescribeTags"}
        self.assertEqual(wide, expected)


class Alarms(Rendered):
    def test_every_alarm_that_is_wanted_is_there_and_on_the_dashboard(self):
        names = sorted(name.removeprefix("alarms/") for name in self.documents if name.startswith("alarms/"))
        self.assertEqual(names, ALARMS)
        for name in names:
            alarm = self.documents[f"alarms/{name}"]
            self.assertEqual(alarm["AlarmName"], f"adv-cflared-prd-{name}")
            self.assertEqual(alarm["AlarmActions"], alarm["OKActions"])
            self.assertIn(" Next: ", alarm["AlarmDescription"])
        widget = self.documents["dashboard"]["widgets"][0]["properties"]
        shown = sorted(arn.split(":alarm:adv-cflared-prd-")[1] for arn in widget["alarms"])
        self.assertEqual(shown, ALARMS)

    def test_who_is_woken_by_what(self):
        pages = [name for name in ALARMS if self.documents[f"alarms/{name}"]["AlarmActions"][0].endswith(":adv-cflared-page")]
        self.assertEqual(pages, ["held", "refused", "replicas", "restarts", "silent"])

    def test_widgets_lie_side_by_side(self):
        taken = set()
        for widget in self.documents["dashboard"]["widgets"]:
            columns = range(widget["x"], widget["x"] + widget["width"])
            cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
            self.assertLessEqual(columns.stop, 24)
            self.assertFalse(cells & taken)
            taken |= cells

    def test_metrics_are_those_that_the_agent_sends(self):
        """By name and dimensions, which the evaluation of the agent's own datapoints shows for the alarms."""
        source = (ROOT / "agent" / "aws" / "src" / "cloudwatch" / "metrics.rs").read_text()
        names = set(re.findall(r"\b(?:cflared|imagebuilder)_[a-z0-9_]+", json.dumps(self.documents)))
        self.assertEqual({name for name in names if f'"{name}"' not in source}, set())


class Evaluation(Rendered):
    """The evaluator of alarms.py."""

    def test_it_judges_as_the_tables_of_the_user_guide(self):
        """"Configuring how CloudWatch alarms treat missing data": 3 periods to be evaluated, 5 looked at."""
        for of, row, breaching, not_breaching in [
            (3, "0-X-X", "OK", "OK"),
            (3, "0----", "OK", "OK"),
            (3, "-----", "ALARM", "OK"),
            (3, "0XX-X", "ALARM", "ALARM"),
            (3, "--X--", "ALARM", "OK"),
            (2, "0-X-X", "ALARM", "ALARM"),
            (2, "00X0X", "ALARM", "ALARM"),
            (2, "0-X--", "ALARM", "OK"),
            (2, "----0", "ALARM", "OK"),
            (2, "---X-", "ALARM", "OK"),
        ]:
            for treatment, expected in [("breaching", breaching), ("notBreaching", not_breaching)]:
                alarm = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 0, "TreatMissingData": treatment}
                alarm.update(EvaluationPeriods=3, DatapointsToAlarm=of)
                values = [{"0": 0, "X": 1, "-": None}[each] for each in row]
                self.assertEqual(judge(values, alarm), expected, (of, row, treatment))

    def told(self, name, points, last):
        return changes(self.documents[f"alarms/{name}"], points, 10, last)

    def point(self, minute, name, value, namespace="Cflared/prd", **dimensions):
        at = {"namespace": namespace, "metric": name, "dimensions": dimensions, "timestamp": minute * 60}
        return {**at, "value": value}

    def test_what_no_agent_sends_in_a_short_run(self):
        """The processor, which EC2 reports, and a hold of hours."""
        busy = lambda minute: 80 if 30 <= minute < 60 else 10
        group = {"AutoScalingGroupName": "adv-cflared-prd"}
        points = [self.point(n, "CPUUtilization", busy(n), "AWS/EC2", **group) for n in range(0, 120, 5)]
        # By the stamps, of the beginnings of five minutes; a value comes at their end, so that the page comes four minutes later.
        self.assertEqual(self.told("cpu", points, 110), [[10, "OK"], [41, "ALARM"], [61, "OK"]])

        of = {"Environment": "prd", "TunnelId": example()["tunnel_id"], "Blame": "operator"}
        points = [self.point(n, "cflared_held", 1, **of) for n in range(20, 320)]
        # A period with one minute of it counts; three periods without are a quarter of an hour.
        self.assertEqual(self.told("hold-forgotten", points, 400), [[10, "OK"], [20 + 236, "ALARM"], [320 + 15, "OK"]])

    def test_a_restart_on_another_instance_is_not_added(self):
        def restarts(instance, minutes):
            of = {"Environment": "prd", "InstanceId": instance, "TunnelId": "t"}
            return [self.point(n, "cflared_systemd_restart_count", int(n in minutes), **of) for n in range(200)]

        apart = restarts("i-1", {20, 30}) + restarts("i-2", {25, 35})
        self.assertEqual(self.told("restarts", apart, 150), [[10, "OK"]])
        self.assertEqual(self.told("restarts", restarts("i-1", {20, 25, 30}), 150), [[10, "OK"]])
        one = restarts("i-1", {20, 25, 30, 35}) + restarts("i-2", set())
        self.assertEqual(self.told("restarts", one, 150), [[10, "OK"], [36, "ALARM"], [81, "OK"]])


class Commands(Rendered):
    def test_each_document_is_of_the_format(self):
        for name, text in self.ssm.items():
            document = yaml.safe_load(text)
            self.assertEqual(document["schemaVersion"], "2.2", name)
            self.assertLessEqual(set(document), {"schemaVersion", "description", "parameters", "mainSteps"})
            for step in document["mainSteps"]:
                self.assertEqual((step["action"], step["precondition"]["StringEquals"][0]), ("aws:runShellScript", "platformType"))
                used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(step["inputs"])))
                self.assertEqual(used, set(document["parameters"]), name)
            for parameter in document["parameters"].values():
                # What is put into a shell script has to be of a form.
                self.assertTrue("allowedValues" in parameter or "allowedPattern" in parameter)
                fits = parameter.get("allowedPattern")
                for text in ["$(id)", "a'b", 'a"b', "a;b", "a\nb"]:
                    self.assertFalse(fits and re.fullmatch(fits, text))
            given = {"Name": f"adv-cflared-{name}", "Content": self.ssm[name], "DocumentType": "Command", "DocumentFormat": "YAML"}
            self.assertEqual(wrongs("ssm", "CreateDocument", given), [])


@mock_aws
class Loaded(Rendered):
    def test_moto_takes_all_of_it_in_the_order_of_the_readme(self):
        documents = copy.deepcopy(self.documents)
        ec2, scaling = boto3.client("ec2"), boto3.client("autoscaling")
        iam, cloudwatch, ssm = boto3.client("iam"), boto3.client("cloudwatch"), boto3.client("ssm")

        role, name_of = "adv-cflared-runtime-prd", "adv-cflared-prd"
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(documents["iam/trust"]))
        for name in ("agent", "agent-kms", "host", "report"):
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(documents[f"iam/{name}"]))
        iam.create_instance_profile(InstanceProfileName=role)
        iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
        self.assertEqual(iam.get_role_policy(RoleName=role, PolicyName="agent")["PolicyDocument"], documents["iam/agent"])

        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
        databases = [ec2.create_security_group(GroupName=f"database-{n}", Description="made up", VpcId=vpc)["GroupId"] for n in (1, 2)]
        group = ec2.create_security_group(**{**documents["network/security-group"], "VpcId": vpc})["GroupId"]
        egress = {**documents["network/egress"], "GroupId": group}
        for pair, database in zip(egress["IpPermissions"][-1]["UserIdGroupPairs"], databases, strict=True):
            pair["GroupId"] = database
        ec2.authorize_security_group_egress(**egress)
        ec2.revoke_security_group_egress(**{**documents["network/default-egress"], "GroupId": group})
        described = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        self.assertEqual(described["IpPermissions"], [])
        out = sorted((each["IpProtocol"], each["FromPort"]) for each in described["IpPermissionsEgress"])
        self.assertEqual(out, [("tcp", 443), ("tcp", 3306), ("tcp", 7844), ("udp", 7844)])
        (to,) = [each["UserIdGroupPairs"] for each in described["IpPermissionsEgress"] if each["FromPort"] == 3306]
        self.assertEqual(sorted(each["GroupId"] for each in to), sorted(databases))

        logs = boto3.client("logs")
        for name in ("agent", "cloudflared"):
            logs.create_log_group(**documents[f"logs/groups/{name}"])
            logs.put_retention_policy(**documents[f"logs/retention/{name}"])
        kept = {each["logGroupName"]: each["retentionInDays"] for each in logs.describe_log_groups()["logGroups"]}
        self.assertEqual(kept, {"/adventive/cloudflared/prd/agent": 90, "/adventive/cloudflared/prd/cloudflared": 30})

        template = documents["group/launch-template"]
        template["LaunchTemplateData"].update(SecurityGroupIds=[group], ImageId=ec2.describe_images()["Images"][0]["ImageId"])
        made = ec2.create_launch_template(**template)["LaunchTemplate"]
        self.assertEqual(str(made["LatestVersionNumber"]), documents["group/group"]["LaunchTemplate"]["Version"])
        scaling.create_auto_scaling_group(**{**documents["group/group"], "VPCZoneIdentifier": ",".join(subnets)})
        scaling.enable_metrics_collection(**documents["group/metrics"])
        for hook in ("launch", "terminate"):
            scaling.put_lifecycle_hook(**documents[f"hooks/{hook}"])
        there = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name_of])["AutoScalingGroups"][0]
        self.assertEqual((len(there["Instances"]), there["HealthCheckGracePeriod"]), (2, 180))
        hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=name_of)["LifecycleHooks"]
        self.assertEqual({hook["LifecycleHookName"] for hook in hooks}, {"adv-cflared-launch", "adv-cflared-terminate"})
        tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [there["Instances"][0]["InstanceId"]]}])["Tags"]
        self.assertIn(("adv:env", "prd"), [(tag["Key"], tag["Value"]) for tag in tags])

        for name in ALARMS:
            cloudwatch.put_metric_alarm(**documents[f"alarms/{name}"])
        alarms = {each["AlarmName"]: each for each in cloudwatch.describe_alarms()["MetricAlarms"]}
        self.assertEqual(sorted(alarms), [f"adv-cflared-prd-{name}" for name in ALARMS])
        self.assertEqual(alarms["adv-cflared-prd-restarts"]["Metrics"], documents["alarms/restarts"]["Metrics"])
        cloudwatch.put_dashboard(DashboardName=name_of, DashboardBody=json.dumps(documents["dashboard"]))
        for name, text in self.ssm.items():
            ssm.create_document(Name=f"adv-cflared-{name}", Content=text, DocumentType="Command", DocumentFormat="YAML")
            description = ssm.describe_document(Name=f"adv-cflared-{name}")["Document"]
            self.assertEqual(description["Status"], "Active")


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
