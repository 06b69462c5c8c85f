"""What moto lacks, as far as a promotion meets it: Image Builder, instance refreshes and what they do to a group, the metrics and
alarms that come of it, Run Command, and how events and schedules get to the state machine.

Time is counted in minutes. A minute passes with each look at a refresh, so that nothing here waits and nothing depends on speed."""

import dataclasses
import datetime
import itertools
import json
import pathlib
import re
import sys
import time

import yaml

import policies
from front import Refused, role_key

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "aws"), str(TESTS / "image")]
import alarms as cloudwatch
from events import matches

SHORT = re.compile(r"RUNNING_SUM\(IF\(FILL\((\w+), 0\) < FILL\((\w+), REPEAT\), 1, 0\)\)")
ACTIVE = {"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"}
MINUTE = 60
HISTORY = 15  # minutes without trouble before anything begins


@dataclasses.dataclass
class Traits:
    """What an image does that it should not."""

    registers: bool = True
    missing_minutes: int = 0  # after its instances have replaced the others, in all
    rings: str = ""  # the alarm that is on while the gate looks, and no longer
    answers: bool = True  # whether the document says that its instances have come to it


@dataclasses.dataclass
class Refresh:
    group: str
    id: str
    wanted: dict
    preferences: dict
    before: str
    status: str = "Pending"
    step: int = 0
    baked: int = 0
    replaced: list = dataclasses.field(default_factory=list)


class World:
    def __init__(self, inner, front):
        self.inner, self.front = inner, front
        self.minute = HISTORY
        self.images, self.traits, self.packages = {}, {}, {}
        self.made, self.refreshes, self.commands, self.history = {}, [], {}, []
        self.tunnels, self.points, self.rosters = {}, [], {}
        self.alarm_states, self.rung = {}, []
        self.ids = itertools.count(1)
        serve = {
            "autoscaling": [self.StartInstanceRefresh, self.DescribeInstanceRefreshes, self.RollbackInstanceRefresh],
            "cloudwatch": [self.GetMetricData],
            "ec2": [self.CreateLaunchTemplateVersion],
            "ssm": [self.SendCommand, self.ListCommands],
            "imagebuilder": [self.GetImage, self.ListImagePackages, self.GetComponent, self.GetImageRecipe, self.GetImagePipeline, self.UpdateImagePipeline],
        }
        for service, handlers in serve.items():
            front.served.update({(service, handler.__name__): handler for handler in handlers})
        kinds = ["Component", "ImageRecipe", "InfrastructureConfiguration", "DistributionConfiguration", "ImagePipeline"]
        for kind in [*kinds, "LifecyclePolicy"]:
            front.served[("imagebuilder", f"Create{kind}")] = lambda given, region, kind=kind: self.create(kind, given, region)

    # Image Builder

    def create(self, kind, given, region):
        path = re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower()
        version = f"/{given['semanticVersion']}" if "semanticVersion" in given else ""
        arn = f"arn:aws:imagebuilder:{region}:{self.inner.number}:{path}/{given['name'].lower()}{version}"
        if arn in self.made:
            raise Refused("ResourceAlreadyExistsException", arn)
        self.need(arn, [each["componentArn"] for each in given.get("components", [])])
        self.need(arn, [given[name] for name in given if name.endswith("Arn") and kind == "ImagePipeline"])
        role = given.get("executionRole")
        if role:
            self.assume(role, "imagebuilder.amazonaws.com")
        if kind == "InfrastructureConfiguration":
            self.inner.role_of_profile(given["instanceProfileName"])
            self.inner.client("ec2").describe_security_groups(GroupIds=given["securityGroupIds"])
        self.made[arn] = given
        return {"requestId": "r", f"{kind[0].lower()}{kind[1:]}Arn": arn}

    def need(self, arn, needed):
        for each in needed:
            if each not in self.made:
                raise Refused("InvalidParameterValueException", f"{arn} needs {each}, which is not there")

    def known(self, arn):
        if arn not in self.made:
            raise Refused("ResourceNotFoundException", arn)
        return self.made[arn]

    def GetComponent(self, given, region):
        name, build = given["componentBuildVersionArn"].rsplit("/", 1)
        if build != "1":
            raise Refused("ResourceNotFoundException", given["componentBuildVersionArn"])
        return {"requestId": "r", "component": {"arn": f"{name}/1", "data": self.known(name)["data"]}}

    def GetImageRecipe(self, given, region):
        arn = given["imageRecipeArn"]
        return {"requestId": "r", "imageRecipe": {"arn": arn, **self.known(arn)}}

    def GetImagePipeline(self, given, region):
        arn = given["imagePipelineArn"]
        return {"requestId": "r", "imagePipeline": {"arn": arn, **self.known(arn)}}

    def UpdateImagePipeline(self, given, region):
        arn = given.pop("imagePipelineArn")
        self.need(arn, [given[name] for name in given if name.endswith("Arn")])
        # What an update leaves out is not kept.
        kept = {name: each for name, each in self.known(arn).items() if name in ("name", "tags")}
        given.pop("clientToken", None)  # another one with each call
        self.made[arn] = {**kept, **given}
        return {"requestId": "r", "imagePipelineArn": arn}

    def assume(self, role, service):
        """The name of a role that a service takes on, by its ARN."""
        name = role.split("/")[1]
        if not policies.trusts(self.inner.trust(name), service, self.inner.number):
            raise Refused("InvalidParameterValueException", f"{role} does not trust {service}")
        return name

    def one(self, path):
        (found,) = [given for arn, given in self.made.items() if f":{path}/" in arn]
        return found

    def build(self, release, **traits):
        """A run of the pipeline, as its roles: the AMI in both regions, Parameter Store, and the event."""
        pipeline = self.one("image-pipeline")
        recipe = self.made[pipeline["imageRecipeArn"]]
        place = self.made[pipeline["infrastructureConfigurationArn"]]
        distribution = self.made[pipeline["distributionConfigurationArn"]]
        role = self.assume(pipeline["executionRole"], "imagebuilder.amazonaws.com")
        builder = self.inner.role_of_profile(place["instanceProfileName"])
        number = len(self.images) + 1
        arn = f"arn:aws:imagebuilder:{self.inner.region}:{self.inner.number}:image/{recipe['name'].lower()}/{recipe['semanticVersion']}/{number}"
        self.front.demand(role, as_pipeline(self.inner, place, distribution, builder["Arn"]))
        self.front.demand(builder["RoleName"], as_builder(self.inner, place, recipe))
        amis = []
        for each in distribution["distributions"]:
            ami = self.inner.client("ec2", region=each["region"]).register_image(
                Name=f"{recipe['name']}-{number}", RootDeviceName="/dev/sda1", VirtualizationType="hvm"
            )["ImageId"]
            tags = {**each["amiDistributionConfiguration"]["amiTags"], "CreatedBy": "EC2 Image Builder", "Ec2ImageBuilderArn": arn}
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            self.inner.client("ec2", region=each["region"]).create_tags(Resources=[ami], Tags=pairs)
            amis.append({"region": each["region"], "image": ami})
            for parameter in each["ssmParameterConfigurations"]:
                given = {"Name": parameter["parameterName"], "Value": ami, "Type": "String", "Overwrite": True}
                self.outer.as_role(role, "ssm", each["region"]).put_parameter(**given)
        self.images[arn] = {"arn": arn, "outputResources": {"amis": amis}}
        self.packages[arn] = [("adduser", "3.118"), ("bash", "5.1"), ("chrony", "4.2"), ("cloudflared", release), ("zlib1g", "1.2")]
        here = next(each["image"] for each in amis if each["region"] == self.inner.region)
        self.traits[here] = Traits(**traits)
        return arn, here

    def GetImage(self, given, region):
        return {"requestId": "r", "image": self.images[given["imageBuildVersionArn"]]}

    def ListImagePackages(self, given, region):
        begin = int(given.get("nextToken", "0"))
        found = self.packages[given["imageBuildVersionArn"]]
        page = [{"packageName": name, "packageVersion": version} for name, version in found[begin : begin + 2]]
        following = {"nextToken": str(begin + 2)} if begin + 2 < len(found) else {}
        return {"requestId": "r", "imagePackageList": page, **following}

    # What starts the machine

    def happened(self, arn):
        """The event of an image that became available, by whatever rules match it; the executions that they started."""
        event = {
            "version": "0",
            "id": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
            "detail-type": "EC2 Image Builder Image State Change",
            "source": "aws.imagebuilder",
            "account": self.inner.number,
            "time": "2026-12-01T06:12:00Z",
            "region": self.inner.region,
            "resources": [arn],
            "detail": {"previous-state": {"status": "DISTRIBUTING"}, "state": {"status": "AVAILABLE"}},
        }
        events, started = self.inner.client("events"), []
        for rule in events.list_rules()["Rules"]:
            if rule["State"] == "ENABLED" and matches(json.loads(rule["EventPattern"]), event):
                for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    started.append(self.start(target["Arn"], target["RoleArn"], transformed(target, event), "events.amazonaws.com"))
        return started

    def clock(self, day, hour):
        """What the schedules start at a full hour."""
        scheduler, started = self.inner.client("scheduler"), []
        for listed in scheduler.list_schedules()["Schedules"]:
            schedule = scheduler.get_schedule(Name=listed["Name"])
            due = schedule["ScheduleExpression"] == f"cron(0 {hour} ? * {day} *)" and schedule["ScheduleExpressionTimezone"] == "UTC"
            if due and schedule["State"] == "ENABLED":
                target = schedule["Target"]
                started.append(self.start(target["Arn"], target["RoleArn"], json.loads(target["Input"]), "scheduler.amazonaws.com"))
        return started

    def start(self, machine, role, given, service):
        name = self.assume(role, service)
        return self.outer.start(machine, {**given, "waits": self.waits}, role_key(name))

    # Groups

    def CreateLaunchTemplateVersion(self, given, region):
        source = self.inner.launch_template_version(given["LaunchTemplateId"], given["SourceVersion"], region) if "SourceVersion" in given else {}
        data = {**source.get("LaunchTemplateData", {}), **given["LaunchTemplateData"]}
        made = self.inner.client("ec2", region=region).create_launch_template_version(
            LaunchTemplateId=given["LaunchTemplateId"], VersionDescription=given.get("VersionDescription", ""), LaunchTemplateData=data
        )["LaunchTemplateVersion"]
        return {"launchTemplateVersion": {"launchTemplateId": made["LaunchTemplateId"], "versionNumber": made["VersionNumber"]}}

    def active(self, group):
        return next((each for each in self.refreshes if each.group == group and each.status in ACTIVE), None)

    def StartInstanceRefresh(self, given, region):
        name, preferences = given["AutoScalingGroupName"], given["Preferences"]
        group, wanted = self.inner.group(name), given["DesiredConfiguration"]["LaunchTemplate"]
        if self.active(name):
            raise Refused("InstanceRefreshInProgress", f"{name} is being refreshed")
        numbers = (wanted["Version"], group["LaunchTemplate"]["Version"])
        if preferences.get("AutoRollback") and not all(each.isdigit() for each in numbers):
            raise Refused("ValidationError", f"no rollback from or to {numbers}")
        self.inner.launch_template_version(wanted["LaunchTemplateId"], wanted["Version"])
        watched = preferences.get("AlarmSpecification", {}).get("Alarms", [])
        missing = set(watched) - set(self.states())
        if missing:
            raise Refused("ValidationError", f"no alarms {sorted(missing)}")
        refresh = Refresh(name, f"refresh-{next(self.ids)}", wanted, preferences, group["LaunchTemplate"]["Version"])
        self.refreshes.append(refresh)
        return {"InstanceRefreshId": refresh.id}

    def DescribeInstanceRefreshes(self, given, region):
        name = given["AutoScalingGroupName"]
        if self.active(name):
            self.pass_minute()
        wanted = given.get("InstanceRefreshIds")
        found = [each for each in reversed(self.refreshes) if each.group == name and (not wanted or each.id in wanted)]
        listed = [{"InstanceRefreshId": each.id, "AutoScalingGroupName": name, "Status": each.status} for each in found]
        return {"InstanceRefreshes": listed[: given.get("MaxRecords", 50)]}

    def RollbackInstanceRefresh(self, given, region):
        refresh = self.active(given["AutoScalingGroupName"])
        if not refresh or refresh.status == "RollbackInProgress":
            raise Refused("ActiveInstanceRefreshNotFound", "no refresh is in progress")
        refresh.status, refresh.step = "RollbackInProgress", 0
        return {"InstanceRefreshId": refresh.id}

    def members(self, name):
        """The instances of a group, looked up again when they have changed."""
        if name not in self.rosters:
            self.rosters[name] = self.look_up(name)
        return self.rosters[name]

    def look_up(self, name):
        ids = [each["InstanceId"] for each in self.inner.group(name)["Instances"]]
        return {each["InstanceId"]: each for each in self.inner.instances(ids)}

    def launch(self, name, version):
        """As many instances as are wanted, from a version of the template. The group's own stays what it is."""
        scaling, group = self.inner.client("autoscaling"), self.inner.group(name)
        template, number = group["LaunchTemplate"], group["DesiredCapacity"]
        of = {"LaunchTemplateId": template["LaunchTemplateId"]}
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate={**of, "Version": version})
        scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2 * number)
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate={**of, "Version": template["Version"]})
        self.rosters.pop(name)

    def terminate(self, name, ids):
        for each in ids:
            self.inner.client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=each, ShouldDecrementDesiredCapacity=True
            )
        self.rosters.pop(name)

    def pass_minute(self):
        self.minute += 1
        for name in self.rung:
            self.set_state(name, "OK")
        self.rung = []
        for refresh in self.refreshes:
            if refresh.status in ACTIVE:
                self.advance(refresh)
        self.report()
        self.evaluate()

    def advance(self, refresh):
        states = self.states()
        watched = refresh.preferences.get("AlarmSpecification", {}).get("Alarms", [])
        if refresh.status != "RollbackInProgress" and any(states[each] == "ALARM" for each in watched):
            back = refresh.preferences.get("AutoRollback")
            refresh.status, refresh.step = ("RollbackInProgress", 0) if back else ("Failed", 0)
            return
        refresh.step += 1
        version = refresh.before if refresh.status == "RollbackInProgress" else refresh.wanted["Version"]
        match refresh.status, refresh.step:
            case "Pending", 1 if version == refresh.before and refresh.preferences.get("SkipMatching"):
                refresh.status = "Successful"
            case "Pending", 1:
                refresh.status, refresh.step = "InProgress", 0
            case ("InProgress" | "RollbackInProgress"), 1:
                refresh.replaced = list(self.members(refresh.group))
                self.launch(refresh.group, version)
            case ("InProgress" | "RollbackInProgress"), 3:
                self.terminate(refresh.group, refresh.replaced)
            case "InProgress", 5:
                refresh.status, refresh.step = "Baking", 0
            case "RollbackInProgress", 5:
                refresh.status = "RollbackSuccessful"
            case "Baking", baked if baked >= max(1, refresh.preferences.get("BakeTime", 0) // MINUTE):
                refresh.status = "Successful"
                chosen = {"LaunchTemplateId": refresh.wanted["LaunchTemplateId"], "Version": version}
                self.inner.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=refresh.group, LaunchTemplate=chosen)

    # Metrics

    def settle(self, tunnels):
        """Some time without trouble, so that alarms have something to judge by."""
        self.tunnels = tunnels
        for minute in range(HISTORY):
            self.report(minute)
        self.evaluate()

    def report(self, minute=None):
        minute = self.minute if minute is None else minute
        for environment, (group, tunnel, wanted) in self.tunnels.items():
            members = self.members(group) if minute >= HISTORY else {str(n): None for n in range(wanted)}
            refresh = self.active(group)
            of = {"Environment": environment, "TunnelId": tunnel}
            for instance in members.values():
                self.point(f"Cflared/{environment}", "cflared_replica_count_per_tunnel", of, minute, int(self.registered(instance, refresh)))
            self.point("AWS/AutoScaling", "GroupDesiredCapacity", {"AutoScalingGroupName": group}, minute, wanted)

    def registered(self, instance, refresh):
        if instance is None:
            return True
        traits = self.traits.get(instance["ImageId"], Traits())
        missing = refresh and refresh.status == "InProgress" and 3 <= refresh.step < 3 + traits.missing_minutes
        return traits.registers and not missing

    def point(self, namespace, metric, dimensions, minute, value):
        at = {"namespace": namespace, "metric": metric, "dimensions": dimensions, "timestamp": minute * MINUTE, "value": value}
        self.points.append({**at, "real": time.time()})

    def states(self):
        return self.alarm_states

    def set_state(self, name, state):
        if self.alarm_states.get(name) != state:
            self.alarm_states[name] = state
            self.inner.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="here")

    def evaluate(self):
        # No alarm that these metrics are for looks back any further.
        self.points = [each for each in self.points if each["timestamp"] > (self.minute - HISTORY) * MINUTE]
        for name, alarm in self.front.alarms.items():
            self.set_state(name, cloudwatch.state(alarm, cloudwatch.watched(alarm, self.points), (self.minute + 1) * MINUTE))

    def GetMetricData(self, given, region):
        queries = {each["Id"]: each for each in given["MetricDataQueries"]}
        (asked,) = [each for each in queries.values() if each.get("ReturnData", True)]
        form = SHORT.fullmatch(asked.get("Expression", ""))
        if not form or given.get("ScanBy") != "TimestampDescending":
            raise Refused("ValidationError", f"an expression of another form: {asked}")
        begin, end = (given[name].timestamp() for name in ("StartTime", "EndTime"))
        points = [each for each in self.points if begin <= each["real"] <= end]
        minutes = sorted({each["timestamp"] for each in points})
        definition = {"Metrics": [{**queries[name], "ReturnData": True} for name in form.groups()]}
        registered, desired = (cloudwatch.watched({"Metrics": [each]}, points) for each in definition["Metrics"])
        of = lambda series, minute: series.value(None, minute, minute + MINUTE)
        known = [(of(registered, minute), of(desired, minute)) for minute in minutes]
        short = [int((a or 0) < b) for a, b in known if b is not None]
        values = [float(total) for total in itertools.accumulate(short)][::-1]
        for name, traits in self.traits.items():
            for group, *_ in self.tunnels.values():
                if traits.rings and any(each["ImageId"] == name for each in self.members(group).values()):
                    self.rung.append(f"{group}-{traits.rings}")
                    self.set_state(self.rung[-1], "ALARM")
        return {"MetricDataResults": [{"Id": asked["Id"], "Label": "", "StatusCode": "Complete", "Values": values, "Timestamps": []}]}

    # Run Command

    def SendCommand(self, given, region):
        document = yaml.safe_load(self.inner.client("ssm").get_document(Name=given["DocumentName"])["Content"])
        for name, values in given.get("Parameters", {}).items():
            if not all(re.fullmatch(document["parameters"][name]["allowedPattern"], value) for value in values):
                raise Refused("InvalidParameters", f"{name}: {values}")
        (image,) = given["Parameters"]["ImageId"]
        there = self.inner.instances(given["InstanceIds"])
        ready = all(
            each["ImageId"] == image and self.traits[image].registers and self.traits[image].answers for each in there
        )
        name = f"{next(self.ids):08}-0000-4000-8000-000000000000"
        self.commands[name] = {"CommandId": name, "Status": "Success" if ready else "Failed", "TargetCount": len(there)}
        return {"Command": {"CommandId": name, "Status": "Pending"}}

    def ListCommands(self, given, region):
        return {"Commands": [self.commands[given["CommandId"]]]}


def transformed(target, event):
    """The input that a rule's target gets of an event: paths of the form `$.a[0]`, and a template with `<name>`."""
    form = target["InputTransformer"]
    text = form["InputTemplate"]
    for name, path in form["InputPathsMap"].items():
        value = event
        for key, index in re.findall(r"\.([\w-]+)(?:\[(\d+)\])?", path):
            value = value[key][int(index)] if index else value[key]
        text = text.replace(f"<{name}>", json.dumps(value))
    return json.loads(text)


def as_pipeline(account, place, distribution, builder):
    """What Image Builder does as the pipeline's role, by the policy AWSServiceRoleForImageBuilder, whose work it does then, as far
    as an image of a snapshot, in regions of one account, without scans and sharing, takes it."""
    region, number = account.region, account.number
    made, ours = {"aws:RequestTag/CreatedBy": "EC2 Image Builder"}, {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}
    ec2 = f"arn:aws:ec2:{region}:{number}"
    logs = f"arn:aws:logs:{region}:{number}:log-group:/aws/imagebuilder/"
    yield "iam:PassRole", builder, {"iam:PassedToService": "ec2.amazonaws.com"}
    (group,), subnet = place["securityGroupIds"], place["subnetId"]
    for resource in [f"arn:aws:ec2:{region}::image/ami-1", f"{ec2}:subnet/{subnet}", f"{ec2}:security-group/{group}", f"{ec2}:network-interface/x"]:
        yield "ec2:RunInstances", resource, {}
    for kind in ("instance", "volume"):
        yield "ec2:RunInstances", f"{ec2}:{kind}/x", made
        yield "ec2:CreateTags", f"{ec2}:{kind}/x", {**made, "ec2:CreateAction": "RunInstances"}
    for what in ["Images", "InstanceStatus", "InstanceTypeOfferings", "InstanceTypes", "Instances", "Snapshots", "Subnets", "Tags"]:
        yield f"ec2:Describe{what}", "*", {}
    for what in ["DescribeInstanceInformation", "GetCommandInvocation", "ListCommandInvocations", "ListCommands", "ListInventoryEntries"]:
        yield f"ssm:{what}", "*", {}
    yield "ec2:DescribeInstanceAttribute", f"{ec2}:instance/x", {}
    yield "ssm:DescribeInstanceAssociationsStatus", f"{ec2}:instance/x", {}
    yield "ssm:SendCommand", f"arn:aws:ssm:{region}::document/AWS-RunShellScript", {}
    yield "ssm:SendCommand", "arn:aws:s3:::" + place["logging"]["s3Logs"]["s3BucketName"], {}
    yield "ssm:SendCommand", f"{ec2}:instance/x", {"ssm:resourceTag/CreatedBy": "EC2 Image Builder"}
    for action in ("ssm:CreateAssociation", "ssm:DeleteAssociation"):
        yield action, f"arn:aws:ssm:{region}::document/AWS-GatherSoftwareInventory", {}
        yield action, f"{ec2}:instance/x", {}
    yield "ec2:StopInstances", f"{ec2}:instance/x", ours
    yield "ec2:CreateImage", f"{ec2}:instance/x", ours
    for each in distribution["distributions"]:
        for kind in ("image", "snapshot"):
            resource = f"arn:aws:ec2:{each['region']}::{kind}/x"
            yield ("ec2:CreateImage" if each["region"] == region else "ec2:CopyImage"), resource, {}
            yield "ec2:CreateTags", resource, {}
    yield "ec2:TerminateInstances", f"{ec2}:instance/x", ours
    recipe = place["logging"]["s3Logs"]["s3KeyPrefix"].split("/")[1] + "-recipe"
    for action, stream in [("CreateLogGroup", ""), ("CreateLogStream", ":log-stream:x"), ("PutLogEvents", ":log-stream:x")]:
        yield f"logs:{action}", f"{logs}{recipe}{stream}", {}


def as_builder(account, place, recipe):
    """What the build instance does as its role: the components, the packages and settings, the block-list and the pin, its log."""
    region, number = account.region, account.number
    for each in recipe["components"]:
        yield "imagebuilder:GetComponent", each["componentArn"], {}
        for parameter in each.get("parameters", []):
            for value in parameter["value"]:
                if value.startswith("s3://"):
                    yield "s3:GetObject", "arn:aws:s3:::" + value.removeprefix("s3://"), {}
    yield "s3:GetObject", f"arn:aws:s3:::ec2imagebuilder-toe-{region}-prod/awstoe", {}
    for name in ("releases-blocked", "release-pinned"):
        yield "ssm:GetParameter", f"arn:aws:ssm:{region}:{number}:parameter/adventive/cloudflared/{name}", {}
    logs = place["logging"]["s3Logs"]
    yield "s3:PutObject", f"arn:aws:s3:::{logs['s3BucketName']}/{logs['s3KeyPrefix']}/x", {}
    for action, stream in [("CreateLogGroup", ""), ("CreateLogStream", ":log-stream:x"), ("PutLogEvents", ":log-stream:x")]:
        yield f"logs:{action}", f"arn:aws:logs:{region}:{number}:log-group:/aws/imagebuilder/{recipe['name']}{stream}", {}


def as_lifecycle(account, images):
    """What a lifecycle policy with the action DELETE does, by the policy EC2ImageBuilderLifecycleExecutionPolicy."""
    yield "ec2:DescribeImages", "*", {}
    yield "tag:GetResources", "*", {}
    for image in images:
        for made in image["outputResources"]["amis"]:
            region, ami = made["region"], made["image"]
            tags = {f"aws:ResourceTag/{key}": value for key, value in account.tags(ami, region).items()}
            yield "ec2:DescribeImageAttribute", f"arn:aws:ec2:{region}::image/{ami}", tags
            yield "ec2:DeregisterImage", f"arn:aws:ec2:{region}::image/{ami}", tags
            yield "ec2:DeleteSnapshot", f"arn:aws:ec2:{region}::snapshot/snap-1", {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}
        yield "imagebuilder:DeleteImage", image["arn"], {}


def as_agent(account, environment):
    """What the agents of an instance do that belongs to one environment."""
    group = account.group(f"adv-cflared-{environment}")["AutoScalingGroupARN"]
    secret = f"arn:aws:secretsmanager:{account.region}:{account.number}:secret:/adventive/cloudflared/{environment}-AbCdEf"
    yield "secretsmanager:GetSecretValue", secret, {"secretsmanager:VersionStage": "AWSCURRENT"}
    for action in ("SetInstanceHealth", "CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"):
        yield f"autoscaling:{action}", group, {}
    for namespace in ("Cflared", "CflaredHost"):
        yield "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": f"{namespace}/{environment}"}
    for name in ("agent", "cloudflared"):
        log = f"arn:aws:logs:{account.region}:{account.number}:log-group:/adventive/cloudflared/{environment}/{name}"
        yield "logs:CreateLogStream", log, {}
        yield "logs:PutLogEvents", f"{log}:log-stream:i-0123456789abcdef0", {}
