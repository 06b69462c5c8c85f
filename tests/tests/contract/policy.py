"""Makes every call of the agent with the whole policy, and with each of its actions taken out of it. Prints which of them are
denied, as JSON: {the action that is missing, or nothing: {call: denied}}. Arguments: endpoint, moto or stand-in, and the policy's
file, whose statements must hold for any resource. With a fourth, an action or nothing, enforces the policy without that and prints the
caller's keys instead."""

import copy
import json
import sys
import urllib.request

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

endpoint, which, path, *left_out = sys.argv[1:]
policy = json.load(open(path))
session = botocore.session.get_session()
loader = session.get_component("data_loader")
load_service_model = loader.load_service_model


def load_with_one_protocol(*args, **kwargs):
    """CloudWatch in the protocol that the one or the other speaks."""
    model = load_service_model(*args, **kwargs)
    if model.get("metadata", {}).get("endpointPrefix") == "monitoring" and "protocols" in model["metadata"]:
        model["metadata"]["protocols"] = ["query" if which == "moto" else "smithy-rpc-v2-cbor"]
    return model


loader.load_service_model = load_with_one_protocol


def client(service, keys):
    once = Config(retries={"total_max_attempts": 1})
    return session.create_client(service, endpoint_url=endpoint, config=once, **keys)


def post(path, body):
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(endpoint + path, body.encode(), headers)).read()


class Moto:
    """A role, and keys of it; enforcement is off while the policy changes."""

    def __init__(self):
        self.iam = client("iam", {})
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
        role = self.iam.create_role(RoleName="cflared", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        keys = client("sts", {}).assume_role(RoleArn=role["Arn"], RoleSessionName="contract")["Credentials"]
        self.keys = {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    def enforce(self, policy):
        # CloudWatch's requests are signed for `monitoring`, by which moto looks for its actions, too.
        text = json.dumps(policy).replace('"cloudwatch:', '"monitoring:')
        post("/moto-api/reset-auth", "inf")
        self.iam.put_role_policy(RoleName="cflared", PolicyName="agent", PolicyDocument=text)
        post("/moto-api/reset-auth", "0")


class StandIn:
    keys = {}

    def enforce(self, policy):
        post("/_control/policy", json.dumps(policy))


def calls(keys):
    secrets, metrics, scaling = (client(each, keys) for each in ("secretsmanager", "cloudwatch", "autoscaling"))
    datum = {"MetricName": "m", "Value": 1.0}
    statistic = {"Metric": {"Namespace": "Cflared", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    group, instance = {"AutoScalingGroupName": "g"}, {"InstanceId": "i-00000000000000001"}
    waiting = {**group, **instance, "LifecycleHookName": "h"}
    yield "secretsmanager:GetSecretValue", lambda: secrets.get_secret_value(SecretId="s")
    yield "cloudwatch:PutMetricData", lambda: metrics.put_metric_data(Namespace="Cflared", MetricData=[datum])
    yield "cloudwatch:GetMetricData", lambda: metrics.get_metric_data(
        MetricDataQueries=[{"Id": "q", "MetricStat": statistic}], StartTime=0, EndTime=60
    )
    yield "autoscaling:DescribeAutoScalingGroups", lambda: scaling.describe_auto_scaling_groups()
    yield "autoscaling:DescribeAutoScalingInstances", lambda: scaling.describe_auto_scaling_instances()
    yield "autoscaling:DescribeInstanceRefreshes", lambda: scaling.describe_instance_refreshes(**group)
    yield "autoscaling:DescribeScalingActivities", lambda: scaling.describe_scaling_activities()
    yield "autoscaling:DescribeLifecycleHooks", lambda: scaling.describe_lifecycle_hooks(**group)
    yield "autoscaling:SetInstanceHealth", lambda: scaling.set_instance_health(**instance, HealthStatus="Unhealthy")
    yield "autoscaling:CompleteLifecycleAction", lambda: scaling.complete_lifecycle_action(
        **waiting, LifecycleActionResult="CONTINUE"
    )
    yield "autoscaling:RecordLifecycleActionHeartbeat", lambda: scaling.record_lifecycle_action_heartbeat(**waiting)


def denied(call):
    """Whether IAM refused; whatever else comes of a call is no concern of this."""
    try:
        call()
    except ClientError as error:
        # moto says it in XML to every service, of which a client that reads JSON sees the status only.
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return error.response["Error"]["Code"].startswith("AccessDenied") or status == 403
    except ResponseParserError:
        pass  # a page of moto's, of a call that it allows and does not know how to do
    return False


def without(action):
    left = copy.deepcopy(policy)
    for statement in left["Statement"]:
        given = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [each for each in given if each != action]
    left["Statement"] = [statement for statement in left["Statement"] if statement["Action"]]
    return left


side = Moto() if which == "moto" else StandIn()
if left_out:
    side.enforce(without(left_out[0]))
    print(json.dumps({name.removeprefix("aws_"): value for name, value in side.keys.items()}))
    sys.exit()
told = {}
made = dict(calls(side.keys))
for action in [None, *made]:
    side.enforce(without(action))
    told[action or "nothing"] = {name: denied(call) for name, call in made.items()}
print(json.dumps(told))
