#!/usr/bin/env python3
"""Holds imagebuilder/ against what it is for: the format of component documents, shellcheck, botocore's models of the
services, the events that EventBridge delivers, and the schema of the CloudWatch agent's settings. Offline, in seconds."""

import copy
import json
import re
import subprocess
import sys
import unittest

import jsonschema
from parliament import analyze_policy_string

from documents import IMAGE, REFERENCE, ROOT, components, filled, inputs, parameters, rendered
from events import matches

sys.path.append(str(ROOT / "tests"))
from models import shape_of, wrongs

HERE = IMAGE.parent / "tests" / "image"
SERVICES = {
    "component-": ("imagebuilder", "CreateComponent"),
    "recipe": ("imagebuilder", "CreateImageRecipe"),
    "infrastructure": ("imagebuilder", "CreateInfrastructureConfiguration"),
    "distribution": ("imagebuilder", "CreateDistributionConfiguration"),
    "pipeline": ("imagebuilder", "CreateImagePipeline"),
    "lifecycle-policy": ("imagebuilder", "CreateLifecyclePolicy"),
    "event-rule": ("events", "PutRule"),
    "event-targets": ("events", "PutTargets"),
    "schedule-": ("scheduler", "CreateSchedule"),
}
NETWORK = {
    "security-group": ("ec2", "CreateSecurityGroup"),
    "egress": ("ec2", "AuthorizeSecurityGroupEgress"),
    "default-egress": ("ec2", "RevokeSecurityGroupEgress"),
}


class Documents(unittest.TestCase):
    def setUp(self):
        self.components = components()
        self.assertEqual(
            sorted(self.components), ["agent", "base", "cloudflared", "cloudwatch-agent", "ssm-agent"]
        )

    def test_each_is_of_the_format(self):
        schema = json.loads((HERE / "component.schema.json").read_text())
        validator = jsonschema.Draft202012Validator(schema)
        for name, document in self.components.items():
            self.assertEqual([error.message for error in validator.iter_errors(document)], [], name)
            text = (rendered() / "components" / f"{name}.yml").read_text()
            self.assertLessEqual(len(text), 16_000, f"{name}: CreateComponent takes no longer data")
            self.assertIn("schemaVersion: 1.0\n", text)

    def test_the_format_refuses_what_is_wrong(self):
        validator = jsonschema.Draft202012Validator(json.loads((HERE / "component.schema.json").read_text()))

        def broken(change):
            document = copy.deepcopy(self.components["cloudflared"])
            change(document)
            return list(validator.iter_errors(document))

        first = lambda document: document["phases"][0]["steps"][0]
        self.assertEqual(broken(lambda document: None), [])
        for change in [
            lambda document: document.update(schemaVersion=2.0),
            lambda document: document.pop("phases"),
            lambda document: document["phases"][0].update(name="deploy"),
            lambda document: first(document).update(action="ExecuteBas"),
            lambda document: first(document).update(timeout=5),
            lambda document: first(document)["inputs"].update(command="true"),
            lambda document: first(document)["inputs"].update(commands="true"),
            lambda document: first(document).update(action="S3Download"),
            lambda document: document["parameters"][0]["Repository"].update(type="String"),
        ]:
            self.assertNotEqual(broken(change), [])

    def test_steps_have_names_of_their_own_and_phases_stand_in_order(self):
        for name, document in self.components.items():
            phases = [phase["name"] for phase in document["phases"]]
            self.assertEqual(phases, [phase for phase in ("build", "validate", "test") if phase in phases], name)
            for phase in document["phases"]:
                names = [step["name"] for step in phase["steps"]]
                self.assertEqual(len(names), len(set(names)), f"{name}: {names}")

    def test_parameters_are_declared_used_and_given(self):
        recipe = {each["componentArn"].split("/")[1]: each for each in inputs()["recipe"]["components"]}
        for name, document in self.components.items():
            declared = parameters(document)
            used = set(REFERENCE.findall(json.dumps(document["phases"])))
            self.assertEqual(used, set(declared), name)
            given = {each["name"] for each in recipe[document["name"]].get("parameters", [])}
            self.assertLessEqual(given, set(declared), name)
            required = {parameter for parameter, value in declared.items() if "default" not in value}
            self.assertLessEqual(required, given, f"{name}: the recipe gives no value")

    def test_shellcheck_accepts_every_command(self):
        for name, document in self.components.items():
            values = {parameter: value.get("default", "0" * 64) for parameter, value in parameters(document).items()}
            for phase in document["phases"]:
                for step in phase["steps"]:
                    if step["action"] != "ExecuteBash":
                        continue
                    for command in step["inputs"]["commands"]:
                        script = filled(command, values)
                        done = subprocess.run(
                            ["shellcheck", "--shell=bash", "--enable=all", "--exclude=SC2250,SC2312,SC2292", "-"],
                            input=script,
                            text=True,
                            capture_output=True,
                        )
                        self.assertEqual(done.returncode, 0, f"{name}, {step['name']}:\n{done.stdout}{done.stderr}")
                        if "\n" in command.strip():
                            self.assertTrue(script.startswith("set -eu\n"), f"{name}, {step['name']}: set -eu first")


class Inputs(unittest.TestCase):
    def test_each_is_what_the_service_takes(self):
        for name, given in inputs().items():
            if name in ("machine", "rolling-update.asl"):
                continue
            service, operation = next(value for key, value in SERVICES.items() if name.startswith(key))
            self.assertEqual(wrongs(service, operation, given), [], name)
        machine = {**inputs()["machine"], "definition": json.dumps(inputs()["rolling-update.asl"])}
        self.assertEqual(wrongs("stepfunctions", "CreateStateMachine", machine), [])
        for name, given in inputs("parameters").items():
            self.assertEqual(wrongs("ssm", "PutParameter", given), [], name)
        for name, given in inputs("network").items():
            self.assertEqual(wrongs(*NETWORK[name], given), [], name)

    def test_what_the_service_would_refuse_is_found(self):
        good = inputs()
        for name, change in [
            ("recipe", lambda given: given.update(semanticVersion="1.0")),
            ("recipe", lambda given: given["components"][0].update(componentArn="cflared")),
            ("distribution", lambda given: given["distributions"][0].update(regions="us-east-1")),
            ("distribution", lambda given: given["distributions"][0]["ssmParameterConfigurations"][0].update(dataType="ami")),
            ("lifecycle-policy", lambda given: given["policyDetails"][0]["filter"].update(type="NUMBER")),
            ("lifecycle-policy", lambda given: given.pop("executionRole")),
            ("event-targets", lambda given: given["Targets"][0].pop("Arn")),
        ]:
            given = copy.deepcopy(good[name])
            change(given)
            self.assertNotEqual(wrongs(*SERVICES[name], given), [], name)

    def test_they_belong_together(self):
        given = inputs()
        names = {name: document["name"] for name, document in components().items()}
        for name in names:
            self.assertEqual(given[f"component-{name}"]["name"], names[name])
        in_recipe = [each["componentArn"].split("/")[1] for each in given["recipe"]["components"]]
        self.assertEqual(sorted(in_recipe), sorted(names.values()))
        self.assertEqual(in_recipe[-1], "adv-cflared-agent", "the check of the image is the last word")
        self.assertEqual(given["event-targets"]["Rule"], given["event-rule"]["Name"])
        self.assertEqual([each["region"] for each in given["distribution"]["distributions"]], ["us-east-1", "us-west-2"])
        for each in given["distribution"]["distributions"]:
            wanted = [{"parameterName": "/adventive/cloudflared/ami-id-latest", "dataType": "aws:ec2:image"}]
            self.assertEqual(each["ssmParameterConfigurations"], wanted)
        self.assertEqual(given["lifecycle-policy"]["policyDetails"][0]["filter"], {"type": "COUNT", "value": 4})
        self.assertEqual(given["infrastructure"]["instanceMetadataOptions"]["httpTokens"], "required")
        schedules = {name: json.loads(each["Target"]["Input"])["only"] for name, each in given.items() if name.startswith("schedule-")}
        self.assertEqual(schedules, {f"schedule-{environment}": environment for environment in ("dev", "stg", "prd")})

    def test_every_resource_has_the_company_s_tags(self):
        wanted = {"adv:env", "adv:owner", "adv:project", "adv:image", "OwnedBy"}
        for folder in ("inputs", "parameters"):
            for name, given in inputs(folder).items():
                tags = given.get("tags", given.get("Tags"))
                if name == "event-targets" or name.startswith("schedule-") or tags is None:
                    self.assertTrue(name in ("event-targets", "rolling-update.asl") or name.startswith("schedule-"), name)
                    continue
                keys = set(tags) if isinstance(tags, dict) else {tag.get("Key", tag.get("key")) for tag in tags}
                self.assertEqual(keys, wanted, name)
        for each in inputs()["distribution"]["distributions"]:
            self.assertEqual(set(each["amiDistributionConfiguration"]["amiTags"]), wanted)
        # The agent on a test instance has to find no environment.
        self.assertEqual(set(inputs()["infrastructure"]["resourceTags"]), wanted - {"adv:env"})

    def test_no_name_is_written_out(self):
        """The prefix is one value: nothing but a placeholder carries it."""
        for folder in ("inputs", "iam", "network", "parameters", "components"):
            for path in sorted((IMAGE / folder).iterdir()):
                for line in path.read_text().splitlines():
                    self.assertNotRegex(line, r"adv-cflared|[\"/:]cflared-(?!agent)", f"{path.name}: {line}")


class Events(unittest.TestCase):
    # As documented (Image Builder user guide, 'EventBridge integration'): only the states, and the image in `resources`.
    EVENT = {
        "version": "0",
        "id": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
        "detail-type": "EC2 Image Builder Image State Change",
        "source": "aws.imagebuilder",
        "account": "123456789012",
        "time": "2026-01-06T06:12:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:imagebuilder:us-east-1:123456789012:image/adv-cflared-recipe/1.0.3/1"],
        "detail": {"previous-state": {"status": "DISTRIBUTING"}, "state": {"status": "AVAILABLE"}},
    }

    def event(self, **changes):
        event = copy.deepcopy(self.EVENT)
        event.update(changes)
        return event

    def test_the_rule_matches_the_image_that_became_available_and_nothing_else(self):
        pattern = json.loads(inputs()["event-rule"]["EventPattern"])
        self.assertTrue(matches(pattern, self.event()))
        for changes in [
            {"detail": {"previous-state": {"status": "BUILDING"}, "state": {"status": "TESTING"}}},
            {"detail": {"previous-state": {"status": "TESTING"}, "state": {"status": "FAILED"}}},
            {"resources": ["arn:aws:imagebuilder:us-east-1:123456789012:image/another/1.0.0/1"]},
            {"detail-type": "EC2 Image Builder Workflow Step Waiting"},
            {"source": "aws.ec2"},
        ]:
            self.assertFalse(matches(pattern, self.event(**changes)), changes)

    def test_the_rules_that_never_fired_do_not_match(self):
        base = {"source": ["aws.imagebuilder"], "detail-type": ["EC2 Image Builder Image State Change"]}
        for detail in [
            {"state": {"status": ["AVAILABLE"]}, "image-pipeline-name": ["adv-cflared-pipeline"]},
            {"state": {"status": ["AVAILABLE"]}, "output-resources": {"amis": {"region": ["us-east-1"]}}},
            {"status": ["AVAILABLE"]},
        ]:
            self.assertFalse(matches({**base, "detail": detail}, self.event()), detail)


class Machine(unittest.TestCase):
    """What can be said of the state machine without executing it; tests/promotion executes it."""

    def setUp(self):
        self.machine = inputs()["rolling-update.asl"]

    def scopes(self, states):
        yield states
        for state in states["States"].values():
            if "ItemProcessor" in state:
                yield from self.scopes(state["ItemProcessor"])

    def test_every_state_is_reached(self):
        for scope in self.scopes(self.machine):
            states, reached, todo = scope["States"], set(), [scope["StartAt"]]
            while todo:
                state = states[todo.pop()]
                nexts = [state.get("Next"), state.get("Default")]
                nexts += [each["Next"] for each in state.get("Choices", []) + state.get("Catch", [])]
                new = {each for each in nexts if each} - reached
                reached |= new
                todo += new
            self.assertEqual(reached | {scope["StartAt"]}, set(states))

    def test_its_calls_are_what_the_services_take(self):
        for scope in self.scopes(self.machine):
            for name, state in scope["States"].items():
                if state["Type"] == "Task":
                    self.assertEqual(list(self.call(state)), [], name)

    def call(self, state):
        service, operation = state["Resource"].removeprefix("arn:aws:states:::aws-sdk:").split(":")
        service = {"sfn": "stepfunctions"}.get(service, service)
        shape = shape_of(service, operation[0].upper() + operation[1:])
        # The integration writes every service's members with a capital.
        members = {member[0].upper() + member[1:]: member for member in shape.members}
        given = {key.removesuffix(".$"): value for key, value in state["Parameters"].items()}
        yield from sorted(set(given) - set(members))
        yield from sorted(set(shape.required_members) - {members[key] for key in given if key in members})

    def test_waits_and_refreshes_are_as_agreed(self):
        settings = self.machine["States"]["Settings"]["Parameters"]
        self.assertEqual((settings["weekly"]["between"], settings["urgent"]), (2 * 3600, {"between": 15 * 60}))
        # The gate has judged before the bake time is over.
        weekly = settings["weekly"]
        self.assertLess(weekly["watch"] + weekly["settle"] + 10 * weekly["poll"], weekly["bake"])
        stages = self.machine["States"]["Stages"]["ItemProcessor"]["States"]
        for name in ("Refresh", "RefreshBack"):
            preferences = stages[name]["Parameters"]["Preferences"]
            wanted = {"MinHealthyPercentage": 100, "InstanceWarmup": 120, "SkipMatching": True, "AutoRollback": True}
            self.assertEqual({key: preferences[key] for key in wanted}, wanted)

    def test_nothing_fails_unseen(self):
        """In the part that changes something, whatever fails ends in a page."""
        stages = self.machine["States"]["Stages"]["ItemProcessor"]["States"]
        for name, state in stages.items():
            if state["Type"] == "Task" and name != "Page":
                self.assertEqual(state["Catch"][0]["ErrorEquals"], ["States.ALL"], name)

    def test_the_alarms_that_page_are_those_of_the_gate(self):
        stages = self.machine["States"]["Stages"]["ItemProcessor"]["States"]
        named = re.findall(r"\{\}-([a-z-]+)", stages["Pages"]["Parameters"]["AlarmNames.$"])
        alarms = rendered().parent / "alarms"
        pages = [path.stem for path in alarms.glob("*.json") if ":adv-cflared-page" in path.read_text()]
        self.assertEqual(named, sorted(pages))
        count = stages["AnyPage"]["Choices"][0]["And"][0]["NumericEquals"]
        self.assertEqual(count, len(pages))


def merged(policy):
    """The policy by actions: the linter wants every kind of resource of an action in each statement, and conditions that only some of
    them know split an action over several."""
    resources = {}
    for statement in policy["Statement"]:
        for action in as_list(statement["Action"]):
            resources.setdefault(action, []).extend(as_list(statement["Resource"]))
    statements = [{"Effect": "Allow", "Action": action, "Resource": named} for action, named in resources.items()]
    return {"Version": policy["Version"], "Statement": statements}


def as_list(value):
    return value if isinstance(value, list) else [value]


def lint(policy):
    return [(each.issue, str(each.detail)) for each in analyze_policy_string(json.dumps(policy)).findings]


def findings(policy):
    single = [(issue, detail) for issue, detail in lint(policy) if issue != "RESOURCE_MISMATCH"]
    # Of the kinds of resource, the linter takes what a call may name for what it must.
    mismatches = [each for each in lint(merged(policy)) if each[0] == "RESOURCE_MISMATCH" and not OPTIONAL.search(each[1])]
    return single + mismatches


OPTIONAL = re.compile(r":mapRun:|:(capacity-reservation|dedicated-host|elastic-gpu|elastic-inference|group|key-pair|launch-template|license-configuration|managed-instance|placement-group|ipam-pool|bucket)[:/]")


class Policies(unittest.TestCase):
    def test_the_linter_finds_nothing(self):
        for name, policy in inputs("iam").items():
            if not name.startswith("trust-"):
                self.assertEqual(findings(policy), [], name)

    def test_what_the_linter_should_find_is_found(self):
        for sid, change, issue in [
            ("Refresh", {"Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*"}, "RESOURCE_MISMATCH"),
            ("Page", {"Action": "sns:PublishIt"}, "UNKNOWN_ACTION"),
            ("Template", {"Condition": {"StringEquals": {"sns:Endpoint": "x"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
        ]:
            policy = copy.deepcopy(inputs("iam")["machine"])
            next(each for each in policy["Statement"] if each["Sid"] == sid).update(change)
            self.assertIn(issue, [found for found, _ in findings(policy)], sid)

    def test_only_reads_that_services_cannot_narrow_are_allowed_on_everything(self):
        for name, policy in inputs("iam").items():
            for statement in policy["Statement"]:
                if statement.get("Resource") == "*":
                    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    for action in actions:
                        self.assertRegex(action, ":(Describe|Get|List)", name)


class Settings(unittest.TestCase):
    def test_the_cloudwatch_agent_ships_both_identifiers_of_the_journal(self):
        given = json.loads((IMAGE / "cloudwatch-agent.json").read_text())
        entries = given["logs"]["logs_collected"]["journald"]["collect_list"]
        found = [match["SYSLOG_IDENTIFIER"] for entry in entries for match in entry["matches"]]
        self.assertEqual(found, ["cflared-agent", "cloudflared"])
        # What the agent's own schema knows of an entry (translator/config/schema.json, of May 2026 on).
        known = {"units", "priority", "matches", "filters", "log_group_name", "log_stream_name", "log_group_class", "retention_in_days"}
        for entry in entries:
            self.assertLessEqual(set(entry), known)
        # The agent's own metrics have a namespace of their own: theirs must not be summed with these.
        self.assertEqual(given["metrics"]["namespace"], "CflaredHost/{env}")
        names = [entry["log_group_name"] for entry in entries]
        self.assertEqual(names, ["/adventive/cloudflared/{env}/agent", "/adventive/cloudflared/{env}/cloudflared"])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
