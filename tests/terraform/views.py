"""The requests that the provider would make of evaluated resources, in the form of the documents of packaging/aws and imagebuilder, so that
nothing of a document can be lost or changed on the way through Terraform."""

import json


def as_api(values, **names):
    """Arguments by the API's names, in camel case unless `names` has another; none is left out."""
    return {names.get(name) or camel(name): value for name, value in values.items() if names.get(name, "") is not None}


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal(values, **names):
    made = as_api(values, **names)
    return {name if name in names.values() else name[0].upper() + name[1:]: value for name, value in made.items()}


def pairs(tags, key="Key", value="Value"):
    return [{key: name, value: text} for name, text in tags.items()]


def without(values, *names):
    return {name: value for name, value in values.items() if name not in names}


def one(blocks):
    (only,) = blocks
    return only


def alarm(values):
    made = pascal(without(values, "tags", "metric_query", "dimensions"), ok_actions="OKActions")
    if "dimensions" in values:
        made["Dimensions"] = pairs(values["dimensions"], "Name")
    if "metric_query" in values:
        made["Metrics"] = [query(each) for each in values["metric_query"]]
    return made


def query(values):
    made = pascal(without(values, "metric"))
    for metric in values.get("metric", []):
        of = {"Namespace": metric["namespace"], "MetricName": metric["metric_name"], "Dimensions": pairs(metric["dimensions"], "Name")}
        made["MetricStat"] = {"Metric": of, "Period": metric["period"], "Stat": metric["stat"]}
    return made


def template(values):
    metadata = pascal(one(values["metadata_options"]))
    data = {
        "ImageId": values["image_id"],
        "InstanceType": values["instance_type"],
        "IamInstanceProfile": {"Name": one(values["iam_instance_profile"])["name"]},
        "SecurityGroupIds": values["vpc_security_group_ids"],
        "UserData": values["user_data"],
        "MetadataOptions": metadata,
        "TagSpecifications": [{"ResourceType": each["resource_type"], "Tags": pairs(each["tags"])} for each in values["tag_specifications"]],
    }
    known = {"image_id", "instance_type", "iam_instance_profile", "vpc_security_group_ids", "user_data", "metadata_options", "tag_specifications"}
    known |= {"name", "description", "tags", "update_default_version"}
    assert set(values) == known, set(values) ^ known
    tags = [{"ResourceType": "launch-template", "Tags": pairs(values["tags"])}]
    return {"LaunchTemplateName": values["name"], "VersionDescription": values["description"], "LaunchTemplateData": data, "TagSpecifications": tags}


def group(values):
    made = pascal(
        without(values, "launch_template", "tag", "enabled_metrics", "metrics_granularity", "wait_for_capacity_timeout", "instance_maintenance_policy", "vpc_zone_identifier"),
        name="AutoScalingGroupName",
    )
    of = one(values["launch_template"])
    policy = pascal(one(values["instance_maintenance_policy"]))
    zones = ",".join(values["vpc_zone_identifier"])
    tags = [pascal(each) for each in values["tag"]]
    made |= {"LaunchTemplate": {"LaunchTemplateId": of["id"], "Version": of["version"]}, "VPCZoneIdentifier": zones}
    return made | {"InstanceMaintenancePolicy": policy, "Tags": tags}


def group_metrics(values):
    return {"AutoScalingGroupName": values["name"], "Granularity": values["metrics_granularity"], "Metrics": values["enabled_metrics"]}


def hook(values):
    return pascal(values, autoscaling_group_name="AutoScalingGroupName", name="LifecycleHookName")


def security_group(values):
    assert "ingress" not in values and "egress" not in values
    tags = [{"ResourceType": "security-group", "Tags": pairs(values["tags"])}]
    return {"GroupName": values["name"], "Description": values["description"], "VpcId": values["vpc_id"], "TagSpecifications": tags}


def closed(resources):
    """The rules out, one permission for each."""
    rules = resources.all("aws_vpc_security_group_egress_rule").values()
    found = []
    for values in rules:
        made = {"IpProtocol": values["ip_protocol"], "FromPort": values["from_port"], "ToPort": values["to_port"]}
        for name, kind, key in [
            ("cidr_ipv4", "IpRanges", "CidrIp"),
            ("cidr_ipv6", "Ipv6Ranges", "CidrIpv6"),
            ("referenced_security_group_id", "UserIdGroupPairs", "GroupId"),
        ]:
            if name in values:
                made[kind] = [{key: values[name], "Description": values["description"]}]
        assert len(made) == 4, values
        found.append(made)
    return {"GroupId": one({each["security_group_id"] for each in rules}), "IpPermissions": found}


def log_group(values):
    return as_api(without(values, "retention_in_days"), name="logGroupName")


def retention(values):
    return {"logGroupName": values["name"], "retentionInDays": values["retention_in_days"]}


def component(values):
    assert values["skip_destroy"] is True
    return as_api(without(values, "data", "skip_destroy"), version="semanticVersion")


def recipe(values):
    made = as_api(without(values, "component", "block_device_mapping", "systems_manager_agent"), version="semanticVersion")
    made["components"] = []
    for each in values["component"]:
        of = {"componentArn": each["component_arn"]}
        if "parameter" in each:
            of["parameters"] = [{"name": given["name"], "value": [given["value"]]} for given in each["parameter"]]
        made["components"].append(of)
    made["blockDeviceMappings"] = [{**as_api(without(each, "ebs")), "ebs": as_api(one(each["ebs"]))} for each in values["block_device_mapping"]]
    agent = as_api(one(values["systems_manager_agent"]))
    return made | {"additionalInstanceConfiguration": {"systemsManagerAgent": agent}}


def infrastructure(values):
    made = as_api(without(values, "logging", "instance_metadata_options"))
    made["logging"] = {"s3Logs": as_api(one(one(values["logging"])["s3_logs"]))}
    return made | {"instanceMetadataOptions": as_api(one(values["instance_metadata_options"]))}


def distribution(values):
    made = as_api(without(values, "distribution"))
    made["distributions"] = [
        {
            "region": each["region"],
            "amiDistributionConfiguration": as_api(one(each["ami_distribution_configuration"])),
            "ssmParameterConfigurations": [as_api(given) for given in each["ssm_parameter_configuration"]],
        }
        for each in values["distribution"]
    ]
    return made


def pipeline(values):
    made = as_api(without(values, "image_tests_configuration", "schedule"))
    made["imageTestsConfiguration"] = as_api(one(values["image_tests_configuration"]))
    return made | {"schedule": as_api(one(values["schedule"]))}


def lifecycle_policy(values):
    made = as_api(without(values, "policy_detail", "resource_selection"))
    made["policyDetails"] = []
    for each in values["policy_detail"]:
        action, rules = one(each["action"]), one(each["exclusion_rules"])
        of = {"action": {"type": action["type"], "includeResources": one(action["include_resources"])}, "filter": one(each["filter"])}
        of["exclusionRules"] = {"amis": {"lastLaunched": one(one(rules["amis"])["last_launched"])}}
        made["policyDetails"].append(of)
    recipes = [as_api(each) for each in one(values["resource_selection"])["recipe"]]
    return made | {"resourceSelection": {"recipes": recipes}}


def machine(values):
    return {**as_api(without(values, "definition", "tags")), "tags": pairs(values["tags"], "key", "value")}


def event_rule(values):
    return {**pascal(without(values, "tags")), "Tags": pairs(values["tags"])}


def event_target(values):
    made = pascal(without(values, "rule", "input_transformer", "retry_policy"), target_id="Id")
    made["InputTransformer"] = pascal(one(values["input_transformer"]), input_paths="InputPathsMap")
    made["RetryPolicy"] = pascal(one(values["retry_policy"]))
    return {"Rule": values["rule"], "Targets": [made]}


def schedule(values):
    made = pascal(without(values, "flexible_time_window", "target"))
    target = one(values["target"])
    made["FlexibleTimeWindow"] = pascal(one(values["flexible_time_window"]))
    return made | {"Target": {**pascal(without(target, "retry_policy")), "RetryPolicy": pascal(one(target["retry_policy"]))}}


def parameter(values):
    return {**pascal(without(values, "tags")), "Tags": pairs(values["tags"])}


class Found:
    """The evaluated resources, to be looked up by type and key."""

    def __init__(self, resources):
        self.resources = resources

    def all(self, type):
        return {each.key: each.values.plain() for each in self.resources if each.type == type}

    def one(self, type):
        return one(self.all(type).values())


def environment(resources):
    """Each document's name, and what the environment's module makes of it."""
    found = Found(resources)
    made = {f"iam/{name}": json.loads(each["policy"]) for name, each in found.all("aws_iam_role_policy").items()}
    made["iam/trust"] = json.loads(found.one("aws_iam_role")["assume_role_policy"])
    made["network/security-group"] = security_group(found.one("aws_security_group"))
    made["network/egress"] = closed(found)
    made["group/launch-template"] = template(found.one("aws_launch_template"))
    made["group/group"] = group(found.one("aws_autoscaling_group"))
    made["group/metrics"] = group_metrics(found.one("aws_autoscaling_group"))
    made |= {f"hooks/{name}": hook(each) for name, each in found.all("aws_autoscaling_lifecycle_hook").items()}
    made |= {f"alarms/{name}": alarm(each) for name, each in found.all("aws_cloudwatch_metric_alarm").items()}
    made["dashboard"] = json.loads(found.one("aws_cloudwatch_dashboard")["dashboard_body"])
    for name, each in found.all("aws_cloudwatch_log_group").items():
        made |= {f"logs/groups/{name}": log_group(each), f"logs/retention/{name}": retention(each)}
    return made | {f"ssm/{name}": each["content"] for name, each in found.all("aws_ssm_document").items()}


def image(resources):
    """The same of the image's module."""
    found = Found(resources)
    made = {f"iam/{name}": json.loads(each["policy"]) for name, each in found.all("aws_iam_role_policy").items()}
    made |= {f"trusted by {name}": json.loads(each["assume_role_policy"]) for name, each in found.all("aws_iam_role").items()}
    made["network/security-group"] = security_group(found.one("aws_security_group"))
    made["network/egress"] = closed(found)
    for name, each in found.all("aws_imagebuilder_component").items():
        made |= {f"inputs/component-{name}": component(each), f"components/{name}": each["data"]}
    made["inputs/recipe"] = recipe(found.one("aws_imagebuilder_image_recipe"))
    made["inputs/infrastructure"] = infrastructure(found.one("aws_imagebuilder_infrastructure_configuration"))
    made["inputs/distribution"] = distribution(found.one("aws_imagebuilder_distribution_configuration"))
    made["inputs/pipeline"] = pipeline(found.one("aws_imagebuilder_image_pipeline"))
    made["inputs/lifecycle-policy"] = lifecycle_policy(found.one("aws_imagebuilder_lifecycle_policy"))
    made["inputs/machine"] = machine(found.one("aws_sfn_state_machine"))
    made["inputs/rolling-update.asl"] = json.loads(found.one("aws_sfn_state_machine")["definition"])
    made["inputs/event-rule"] = event_rule(found.one("aws_cloudwatch_event_rule"))
    made["inputs/event-targets"] = event_target(found.one("aws_cloudwatch_event_target"))
    made |= {f"inputs/{name}": schedule(each) for name, each in found.all("aws_scheduler_schedule").items()}
    return made | {f"parameters/{name}": parameter(each) for name, each in found.all("aws_ssm_parameter").items()}


def normal(value):
    """Without what has no meaning: the order of tags, and how rules are put together into permissions."""
    if isinstance(value, dict):
        return {key: permissions(each) if key == "IpPermissions" else normal(each) for key, each in value.items()}
    if isinstance(value, list):
        made = [normal(each) for each in value]
        named = [each for each in made if isinstance(each, dict) and ("Key" in each or "key" in each)]
        return sorted(made, key=lambda each: each.get("Key") or each.get("key")) if len(named) == len(made) else made
    return value


def permissions(given):
    found = []
    for each in given:
        ports = {name: each[name] for name in ("IpProtocol", "FromPort", "ToPort")}
        for kind in set(each) - set(ports):
            found += [{**ports, kind: to} for to in each[kind]]
    return sorted(found, key=json.dumps)
