#!/usr/bin/env python3
"""The Terraform modules: evaluated by a reader of the subset that they keep to, held against the provider's own schema, and against what
`render` makes of the same documents. Offline, in seconds. What only `terraform plan` would show is in docs/terraform.md."""

import base64
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import yaml

import plan
import views
from adoption import Adopted
from fixtures import ENVIRONMENT, IMAGE, ROOT, ROOTS, SCHEMA, SIZES, environment_of, environment_variables, evaluated, example, image_variables, rendered, values_of
from hcl import Failed, Refused, read

class Same(unittest.TestCase):
    """The modules give what `render` gives."""

    maxDiff = None

    def same(self, made, wanted):
        self.assertEqual(sorted(made), sorted(wanted))
        for name in made:
            self.assertEqual(views.normal(made[name]), views.normal(wanted[name]), name)

    def test_an_environment(self):
        for name in SIZES:
            self.same(*environment_of(ENVIRONMENT, values_of(name)))

    def test_the_image(self):
        values = example()
        made = {"aws_security_group.builder.id": values["builder_security_group_id"]}
        seen = evaluated(IMAGE, image_variables(values), made=made)
        found = views.image(seen.resources)
        wanted = {name.removeprefix("imagebuilder/"): each for name, each in rendered(values).items() if name.startswith("imagebuilder/")}
        trusts = {name.removeprefix("iam/trust-"): wanted.pop(name) for name in list(wanted) if name.startswith("iam/trust-")}
        for role, service in [("builder", "ec2"), ("pipeline", "imagebuilder"), ("lifecycle", "imagebuilder"), ("event", "events"), ("schedule", "scheduler"), ("machine", "states")]:
            wanted[f"trusted by {role}"] = trusts[service]
        del wanted["network/default-egress"]  # as above
        del wanted["cloudwatch-agent"]  # it goes into the bucket
        self.same(found, wanted)

    def test_what_one_environment_has_for_itself_is_in_its_user_data(self):
        settings = {"mode": "dry_run", "verdict": {"condemn_after": "5m"}}
        seen = evaluated(ENVIRONMENT, environment_variables(values_of("prd"), settings=settings))
        text = base64.b64decode(views.Found(seen.resources).one("aws_launch_template")["user_data"]).decode()
        self.assertTrue(text.startswith("#cloud-config\n"))
        (file,) = yaml.safe_load(text)["write_files"]
        self.assertEqual((file["path"], file["permissions"]), ("/etc/cflared-agent/agent.d/50-environment.yml", "0644"))
        self.assertEqual(yaml.safe_load(file["content"]), settings)

    def test_what_is_optional(self):
        given = environment_variables(values_of("dev"), hooks=False, log_destination_arn="arn:aws:lambda:us-east-1:123456789012:function:ship")
        found = views.Found(evaluated(ENVIRONMENT, given).resources)
        self.assertEqual(found.all("aws_autoscaling_lifecycle_hook"), {})
        self.assertEqual(found.all("aws_ssm_document"), {})
        subscription = found.one("aws_cloudwatch_log_subscription_filter")
        self.assertEqual((subscription["log_group_name"], subscription.get("role_arn")), ("/adventive/cloudflared/dev/agent", None))

    def test_aws_by_endpoints_is_a_variant(self):
        services = ["secretsmanager", "monitoring", "logs", "autoscaling"]
        seen = evaluated(ENVIRONMENT, environment_variables(values_of("prd"), vpc_endpoints=services))
        self.assertEqual([wrong for each in seen.resources for wrong in SCHEMA.wrongs(each)], [])
        endpoints = views.Found(seen.resources).all("aws_vpc_endpoint")
        names = [f"com.amazonaws.us-east-1.{service}" for service in services]
        self.assertEqual(sorted(each["service_name"] for each in endpoints.values()), sorted(names))
        # Nothing gets into the instances all the same: 443 is let in from them, to the endpoints.
        (rule,) = views.Found(seen.resources).all("aws_vpc_security_group_ingress_rule").values()
        self.assertIn("aws_security_group.endpoints", rule["security_group_id"])
        self.assertIn("aws_security_group.runtime.id", rule["referenced_security_group_id"])

    def test_nothing_is_let_in(self):
        for name in SIZES:
            seen = evaluated(ENVIRONMENT, environment_variables(values_of(name)))
            self.assertEqual(views.Found(seen.resources).all("aws_vpc_security_group_ingress_rule"), {})
            rules = views.Found(seen.resources).all("aws_vpc_security_group_egress_rule").values()
            ports = sorted({(each["ip_protocol"], each["from_port"], each["to_port"]) for each in rules})
            self.assertEqual(ports, [("tcp", 443, 443), ("tcp", 3306, 3306), ("tcp", 7844, 7844), ("udp", 7844, 7844)])
            database = [each for each in rules if each["from_port"] == 3306]
            self.assertEqual(len({each["referenced_security_group_id"] for each in database}), 2)
            self.assertTrue(all("cidr_ipv4" not in each and "cidr_ipv6" not in each for each in database))

    def test_recipes_that_images_refer_to_stay(self):
        seen = evaluated(IMAGE, image_variables(example(), image_version="1.0.4", kept_recipe_versions=["1.0.3"]))
        recipes = [each for each in seen.resources if each.type == "aws_imagebuilder_image_recipe"]
        self.assertEqual([each.key for each in recipes], ["1.0.3", "1.0.4"])
        self.assertTrue(all(each.lifecycle["ignore_changes"] == "all" for each in recipes))
        pipeline = views.Found(seen.resources).one("aws_imagebuilder_image_pipeline")
        self.assertTrue(pipeline["image_recipe_arn"].endswith("/1.0.4"))


class Roots(unittest.TestCase):
    """The examples, and what they call."""

    def test_every_resource_is_as_the_provider_wants_it(self):
        for root in ROOTS:
            seen = evaluated(root)
            wrongs = [wrong for each in seen.resources for wrong in SCHEMA.wrongs(each)]
            self.assertEqual(wrongs, [], root)
            self.assertGreater(len(seen.references), 10)

    def test_every_variable_and_output_is_described_and_typed(self):
        for directory in (ENVIRONMENT, IMAGE):
            for kind, labels, body in [block for file in directory.glob("*.tf") for block in read(file).blocks]:
                if kind in ("variable", "output"):
                    self.assertIn("description", body.attributes, labels)
                if kind == "variable":
                    self.assertIn("type", body.attributes, labels)

    def test_versions_are_those_that_the_modules_need(self):
        for directory in (ENVIRONMENT, IMAGE, *ROOTS):
            text = "".join(file.read_text() for file in directory.glob("*.tf"))
            self.assertIn('required_version = ">= 1.6"', text)
            self.assertIn('">= 5.98, < 6"', text)

    def test_a_value_that_cannot_be_is_refused_by_its_variable(self):
        for name, value in [
            ("environment", "Dev"),
            ("tunnel_id", "tunnel"),
            ("image_id", "latest"),
            ("database_security_group_ids", ["sg-1", "sg-1"]),
            ("subnet_ids", []),
            ("min_size", 0),
            ("account", "12"),
            ("min_size", "one"),
            ("subnet_ids", "subnet-1"),
        ]:
            with self.assertRaisesRegex(Failed, name):
                evaluated(ENVIRONMENT, environment_variables(values_of("dev")) | {name: value})
        for name, value in [("image_version", "1.0"), ("cloudflared_key_fingerprint", "abc"), ("agent_package_sha256", "0")]:
            with self.assertRaisesRegex(Failed, name):
                evaluated(IMAGE, image_variables(example()) | {name: value})


class Copied(unittest.TestCase):
    """Copies of the modules with a mistake in them."""

    def copy(self, module, file, before, after):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for folder in ("packaging/aws", "imagebuilder"):
            shutil.copytree(ROOT / folder, pathlib.Path(directory.name) / folder)
        root = pathlib.Path(directory.name) / module.relative_to(ROOT)
        text = (root / file).read_text()
        self.assertEqual(text.count(before), 1, before)
        (root / file).write_text(text.replace(before, after))
        return root


class Gate(Copied):
    """No apply promotes past a gate."""

    PROMOTED, NEXT = "ami-0123456789abcdef1", "ami-0123456789abcdef2"

    def applied(self, root):
        """What an apply does after promotions, with yet another AMI in the parameter that the roots read."""
        state = plan.state_of(evaluated(root).resources)
        # The promotion has derived version 2, which waits for its gate: the group still runs 1.
        template, group = state["module.tunnel.aws_launch_template.runtime"], state["module.tunnel.aws_autoscaling_group.runtime"]
        template |= {"image_id": self.PROMOTED, "description": "cloudflared 2026.9.0", "default_version": 1, "latest_version": 2}
        group["launch_template"][0]["version"] = "1"
        seen = evaluated(root, ami=self.NEXT, made={"module.tunnel.aws_launch_template.runtime.latest_version": "2"})
        return plan.plan(state, seen.resources), seen

    def test_another_ami_in_the_parameter_changes_nothing(self):
        for root in ROOTS[1:]:
            done, seen = self.applied(root)
            self.assertEqual(done, {})
            groups = [each for each in seen.resources if each.type == "aws_autoscaling_group"]
            self.assertEqual([each.values.blocks.get("instance_refresh") for each in groups], [None])

    def test_the_image_s_root_writes_no_parameter_of_the_promotion_after_the_first_time(self):
        state = plan.state_of(evaluated(ROOTS[0]).resources)
        for address, values in state.items():
            if ".aws_ssm_parameter." in address:
                values["value"] = "ami-0123456789abcdef1"
        seen = evaluated(ROOTS[0])
        self.assertEqual(plan.plan(state, seen.resources), {})
        # What Image Builder and the machine alone write is no resource at all.
        names = [each["name"] for each in views.Found(seen.resources).all("aws_ssm_parameter").values()]
        self.assertNotIn("/adventive/cloudflared/ami-id-latest", names)

    def test_what_would_promote_is_seen(self):
        for file, before, after, address in [
            ("group.tf", "[launch_template[0].version]", "[]", "module.tunnel.aws_autoscaling_group.runtime"),
            ("group.tf", "[image_id, description, default_version]", "[description, default_version]", "module.tunnel.aws_launch_template.runtime"),
        ]:
            root = self.copy(ENVIRONMENT, file, before, after) / "examples/dev"
            done, _ = self.applied(root)
            self.assertEqual({name: kind for name, (kind, _) in done.items()}, {address: "update"})
        refresh = "  instance_refresh {\n    strategy = \"Rolling\"\n  }\n\n  instance_maintenance_policy {"
        root = self.copy(ENVIRONMENT, "group.tf", "  instance_maintenance_policy {", refresh) / "examples/dev"
        groups = [each for each in evaluated(root).resources if each.type == "aws_autoscaling_group"]
        self.assertEqual([len(each.values.blocks.get("instance_refresh", [])) for each in groups], [1])


class Adoption(unittest.TestCase):
    """The page of docs/terraform.md, there and back."""

    def adopted(self, **planted):
        made = Adopted(**planted)
        self.addCleanup(made.directory.cleanup)
        return made

    def test_there_nothing_is_replaced_or_destroyed(self):
        account = self.adopted().there()
        self.assertEqual(account.replaced, [])
        (planned,) = [planned for root, planned in account.plans if root == "infra/cflared-asg/dev"]
        kinds = {kind for kind, _ in planned.values()}
        self.assertEqual(kinds, {"create", "update"})
        # What instances run is what they ran, by a number.
        group = account.aws["aws_autoscaling_group"]["adv-cflared-dev"]
        self.assertEqual(group["launch_template"], [{"id": "lt-0123456789abcdef0", "version": "7"}])
        template = account.aws["aws_launch_template"]["lt-0123456789abcdef0"]
        self.assertEqual((template["image_id"], template["default_version"]), ("ami-0aaaaaaaaaaaaaaaa", 1))
        self.assertGreater(template["latest_version"], 7)
        self.assertNotIn("aws_autoscaling_lifecycle_hook", account.aws)
        # All of it is in one state, and the old root has what it is to keep.
        self.assertEqual(list(account.states["infra/cflared-asg"]), ['aws_cloudwatch_metric_alarm.ha_connections["dev"]'])
        account.here = "infra/cflared-asg/dev"
        self.assertEqual(account.planned(), {}, "and then there is nothing more to do")

    def test_and_back_everything_is_as_it_was(self):
        adopted = self.adopted()
        ids = {(of, id) for of, found in adopted.account.aws.items() for id in found}
        before = dict(adopted.account.states["infra/cflared-asg"])
        adopted.there()
        account = adopted.back()
        self.assertEqual(account.states["infra/cflared-asg"], before)
        self.assertEqual(account.states["infra/cflared-asg/dev"], {})
        left = {(of, id) for of, found in account.aws.items() for id in found}
        self.assertEqual({of for of, _ in left - ids}, {"aws_cloudwatch_log_group"}, "what was made is gone, but for the logs")
        self.assertEqual(ids - left, set(), "nothing that was there is gone")
        root, planned = account.plans[-1]
        self.assertEqual((root, {kind for kind, _ in planned.values()}), ("infra/cflared-asg", {"update"}))

    def test_what_would_be_replaced_is_seen(self):
        for change in [{("aws_autoscaling_group", "adv-cflared-dev"): {"name": "cflared-dev"}}, {("aws_security_group", "sg-0123456789abcdef0"): {"vpc_id": "vpc-1"}}]:
            account = self.adopted(aws=change).there()
            self.assertEqual(len(account.replaced), 1, change)

    def test_a_step_that_is_left_out_is_seen(self):
        adopted = self.adopted()
        with self.assertRaisesRegex(AssertionError, "still in the state of"):
            for line in ["cd infra/cflared-asg/dev", "terraform plan"]:
                adopted.account.run(line)


class Planted(Copied):
    """What must be found, is: each mistake in a copy of a module."""

    def wrongs(self, module, file, before, after):
        given = environment_variables(values_of("dev")) if module == ENVIRONMENT else image_variables(example())
        seen = evaluated(self.copy(module, file, before, after), given)
        return [wrong for each in seen.resources for wrong in SCHEMA.wrongs(each)]

    def test_by_the_schema(self):
        hop = "    http_put_response_hop_limit = local.template.LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit\n"
        for module, file, before, after, said in [
            (ENVIRONMENT, "group.tf", "  health_check_type  ", "  health_check_kind  ", "has no argument health_check_kind"),
            (ENVIRONMENT, "group.tf", "  metadata_options {", "  metadata_option {", "has no block metadata_option"),
            (ENVIRONMENT, "group.tf", hop, hop.replace("http_put_response_hop_limit", "hop_limit"), "has no argument hop_limit"),
            (ENVIRONMENT, "group.tf", "  max_size                  = tonumber(local.group.MaxSize)\n", "", "lacks max_size, which is required"),
            (ENVIRONMENT, "alarms.tf", "  comparison_operator = each.value.ComparisonOperator\n", "", "lacks comparison_operator"),
            (IMAGE, "promotion.tf", "  flexible_time_window {\n    mode = each.value.FlexibleTimeWindow.Mode\n  }\n", "", "lacks flexible_time_window"),
            (IMAGE, "pipeline.tf", "          parameter_name = ssm_parameter_configuration.value.parameterName\n", "", "lacks parameter_name"),
            (ENVIRONMENT, "group.tf", "tonumber(local.group.MinSize)", '"two"', "min_size is a number, not 'two'"),
            (ENVIRONMENT, "group.tf", "[aws_security_group.runtime.id]", "aws_security_group.runtime.name", "vpc_security_group_ids is a list"),
            (ENVIRONMENT, "iam.tf", "  role = aws_iam_role.runtime.name\n  tags = local.tags", '  role = aws_iam_role.runtime.name\n  tags = "x"', "tags is a map"),
            (IMAGE, "pipeline.tf", "    image_tests_enabled = local.pipeline.imageTestsConfiguration.imageTestsEnabled", '    image_tests_enabled = "yes"', "is a boolean"),
            (ENVIRONMENT, "group.tf", "resource \"aws_launch_template\" \"runtime\" {\n", "resource \"aws_launch_template\" \"runtime\" {\n  metadata_options = {}\n", "is a block, and is given as an argument"),
            (IMAGE, "pipeline.tf", "  schedule {\n", "  schedule {\n    schedule_expression = \"x\"\n  }\n  schedule {\n", "has 2 blocks schedule, and may have one"),
        ]:
            found = self.wrongs(module, file, before, after)
            self.assertTrue(any(said in wrong for wrong in found), f"{said}: {found}")

    def test_references_and_names_that_lead_nowhere(self):
        for file, before, after, said in [
            ("group.tf", "[aws_security_group.runtime.id]", "[aws_security_group.runtime.identity]", "has no attribute identity"),
            ("group.tf", "[aws_security_group.runtime.id]", "[aws_security_group.other.id]", "no aws_security_group.other"),
            ("group.tf", "local.group.MaxSize", "local.groups.MaxSize", "no local.groups"),
            ("alarms.tf", "local.alarms", "var.alarms", "no var.alarms"),
            ("group.tf", "local.group.MaxSize", "local.group.Largest", "there is no Largest"),
            ("logs.tf", "local.retention[each.key]", 'local.retention["other"]', "there is no 'other'"),
            ("iam.tf", 'file("${local.documents}/iam/trust.json")', 'file("${local.documents}/iam/trust-me.json")', "trust-me.json"),
            ("locals.tf", "    vpc_id                       = var.vpc_id\n", "", "no value for ${vpc_id}"),
            ("group.tf", "aws_cloudwatch_log_group.this,", "aws_cloudwatch_log_group.other,", "no aws_cloudwatch_log_group.other"),
        ]:
            with self.assertRaisesRegex((Refused, Failed, OSError), re.escape(said)):
                self.wrongs(ENVIRONMENT, file, before, after)

    def test_what_is_outside_of_the_subset(self):
        owner = "local.template.LaunchTemplateData.InstanceType"
        for expression, said in [
            ("timestamp()", "the function timestamp"),
            ('"%{ if true }x%{ endif }"', "not of the subset"),
            ("aws_iam_role.runtime[*].name", "full_splat"),
            ("merge([{}]...)", "expanded arguments"),
            ("1 + 1", "the operator +"),
            ("terraform.workspace", "terraform is not of the subset"),
            ("aws_iam_role.runtime", "whole resource"),
            ('"\\u0041"', "the escape"),
        ]:
            with self.assertRaisesRegex(Refused, re.escape(said)):
                self.wrongs(ENVIRONMENT, "group.tf", owner, expression)
        for file, before, after in [
            ("logs.tf", "  for_each = local.log_groups\n", "  count = 2\n"),
            ("group.tf", "ignore_changes = [launch_template[0].version]", "replace_triggered_by = [aws_iam_role.runtime]"),
            ("outputs.tf", 'output "role_arn" {\n', 'check "x" {}\noutput "role_arn" {\n'),
            ("alarms.tf", "    for_each = try(each.value.Metrics, [])\n", "    for_each = try(each.value.Metrics, [])\n    iterator = each\n"),
        ]:
            with self.assertRaisesRegex((Refused, Failed), "subset|no argument|has no|each"):
                wrongs = self.wrongs(ENVIRONMENT, file, before, after)
                if wrongs:
                    raise Refused(wrongs[0])

    def test_a_document_that_is_dropped_or_changed_on_the_way(self):
        for document, file, before, after in [
            ("alarms", "alarms.tf", "  datapoints_to_alarm = each.value.DatapointsToAlarm\n", ""),
            ("group", "group.tf", "health_check_grace_period = local.group.HealthCheckGracePeriod", "health_check_grace_period = 300"),
            ("network", "network.tf", "try(permission.Ipv6Ranges, [])", "[]"),
            ("hooks", "locals.tf", 'fileset("${local.documents}/hooks", "*.json")', 'fileset("${local.documents}/hooks", "l*.json")'),
        ]:
            found, wanted = environment_of(self.copy(ENVIRONMENT, file, before, after), values_of("dev"))
            different = {name.split("/")[0] for name in wanted if views.normal(found.get(name)) != views.normal(wanted[name])}
            self.assertEqual(different, {document}, file)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
