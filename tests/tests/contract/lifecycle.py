"""Makes the calls of arrival with botocore, as reads.py those of the guard. Arguments: endpoint, group, instance, hook."""

import json
import sys

from asking import ask

endpoint, group, instance, hook = sys.argv[1:]
where = {"AutoScalingGroupName": group, "LifecycleHookName": hook, "InstanceId": instance}

calls = {
    "hooks": (
        "DescribeLifecycleHooks",
        "describe_lifecycle_hooks",
        {"AutoScalingGroupName": group, "LifecycleHookNames": [hook]},
    ),
    "instances": (
        "DescribeAutoScalingInstances",
        "describe_auto_scaling_instances",
        {"InstanceIds": [instance]},
    ),
    "heartbeat": ("RecordLifecycleActionHeartbeat", "record_lifecycle_action_heartbeat", where),
    "complete": (
        "CompleteLifecycleAction",
        "complete_lifecycle_action",
        {**where, "LifecycleActionResult": "CONTINUE"},
    ),
}
told = {name: ask(endpoint, "autoscaling", action, method, **given) for name, (action, method, given) in calls.items()}
print(json.dumps(told, default=str))
