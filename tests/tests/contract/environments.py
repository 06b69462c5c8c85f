"""Does to each environment what an instance does to its own, as the caller that the environment variables name. Prints what is denied, as
JSON: {environment: {call: denied}}. Arguments: endpoint, and for each environment its name, an instance of its group, and the settings of
its CloudWatch agent, with commas between."""

import json
import sys
import time

from asking import session  # CloudWatch in the agent's protocol
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, *environments = sys.argv[1:]


def client(service):
    return session.create_client(service, endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}))


def calls(environment, instance, settings):
    secrets, metrics, scaling, logs = (client(each) for each in ("secretsmanager", "cloudwatch", "autoscaling", "logs"))
    datum = {"MetricName": "m", "Value": 1.0}
    secret = {"SecretId": f"/adventive/cloudflared/{environment}"}
    yield "secret", lambda: secrets.get_secret_value(**secret, VersionStage="AWSCURRENT")
    yield "secret of another stage", lambda: secrets.get_secret_value(**secret, VersionStage="AWSPREVIOUS")
    yield "metrics", lambda: metrics.put_metric_data(Namespace=f"Cflared/{environment}", MetricData=[datum])
    yield "metrics of the host", lambda: metrics.put_metric_data(Namespace=settings["metrics"]["namespace"], MetricData=[datum])
    yield "mark", lambda: scaling.set_instance_health(InstanceId=instance, HealthStatus="Healthy")
    for entry in settings["logs"]["logs_collected"]["journald"]["collect_list"]:
        name = entry["log_group_name"].rsplit("/", 1)[1]
        stream = {"logGroupName": entry["log_group_name"], "logStreamName": instance}
        event = {"timestamp": int(time.time() * 1000), "message": f"{name} of {instance}"}
        yield f"stream of {name}", lambda stream=stream: logs.create_log_stream(**stream)
        yield f"log of {name}", lambda stream=stream, event=event: logs.put_log_events(**stream, logEvents=[event])
    yield "a log group", lambda: logs.create_log_group(logGroupName=f"/adventive/cloudflared/{environment}/more")


def denied(call):
    """Whether IAM refused. What else is wrong with a call is an error here."""
    try:
        call()
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("AccessDenied"):
            raise
        return True
    return False


told = {}
for given in environments:
    environment, instance, path = given.split(",")
    settings = json.load(open(path))
    told[environment] = {name: denied(call) for name, call in calls(environment, instance, settings)}
print(json.dumps(told))
