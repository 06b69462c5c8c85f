"""Makes every read of the guard with botocore. Prints, for each, what botocore parsed, and what in the answer its model does
not know or misses, as JSON. Arguments: endpoint, group, instance, start and end of the metric in seconds since 1970."""

import json
import sys

from asking import ask

endpoint, group, instance, start, end = sys.argv[1:]


def statistic(name, stat):
    dimensions = [{"Name": "Environment", "Value": "dev"}, {"Name": "TunnelId", "Value": "made-up"}]
    metric = {"Namespace": "Cflared", "MetricName": "cflared_replica_count_per_tunnel", "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}


print(
    json.dumps(
        {
            "instances": ask(
                endpoint,
                "autoscaling",
                "DescribeAutoScalingInstances",
                "describe_auto_scaling_instances",
                InstanceIds=[instance],
            ),
            "groups": ask(
                endpoint,
                "autoscaling",
                "DescribeAutoScalingGroups",
                "describe_auto_scaling_groups",
                AutoScalingGroupNames=[group],
            ),
            "activities": ask(
                endpoint,
                "autoscaling",
                "DescribeScalingActivities",
                "describe_scaling_activities",
                AutoScalingGroupName=group,
                IncludeDeletedGroups=False,
                MaxRecords=2,
            ),
            "refreshes": ask(
                endpoint,
                "autoscaling",
                "DescribeInstanceRefreshes",
                "describe_instance_refreshes",
                AutoScalingGroupName=group,
            ),
            "metric": ask(
                endpoint,
                "cloudwatch",
                "GetMetricData",
                "get_metric_data",
                MetricDataQueries=[statistic("sum", "Sum"), statistic("count", "SampleCount")],
                StartTime=int(start),
                EndTime=int(end),
            ),
        },
        default=str,
    )
)
