"""Pushes one datapoint with botocore. Arguments: endpoint, timestamp in seconds since 1970, metric name."""

import sys

import botocore.session

endpoint, timestamp, metric = sys.argv[1:]
session = botocore.session.get_session()

# The service speaks several protocols, and botocore prefers JSON; the SDK of the agent takes this one.
loader = session.get_component("data_loader")
load_service_model = loader.load_service_model


def load_with_cbor_only(*args, **kwargs):
    model = load_service_model(*args, **kwargs)
    if "protocols" in model.get("metadata", {}):
        model["metadata"]["protocols"] = ["smithy-rpc-v2-cbor"]
    return model


loader.load_service_model = load_with_cbor_only

client = session.create_client("cloudwatch", endpoint_url=endpoint)
client.put_metric_data(
    Namespace="Cflared",
    MetricData=[
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "Environment", "Value": "dev"}, {"Name": "TunnelId", "Value": "made-up"}],
            "Timestamp": int(timestamp),
            "Value": 1.0,
            "Unit": "Count",
            "StorageResolution": 60,
        }
    ],
)
