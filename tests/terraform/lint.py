#!/usr/bin/env python3
"""checkov over the examples, as plans of evaluated values: a lint, not a proof. Every finding has its reason here, or is an error; so is a
reason that nothing needs any more. checkov is in a venv of its own, for it pins an old boto3 and replaces hcl2. Offline.

lint.py CHECKOV"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from fixtures import ROOTS, evaluated

# By check and by what it is of: why it stays.
OWN_KEY = "AWS's key encrypts it. A key of our own would keep nobody out who is let in now, and is one more thing that can be lost"
REASONS = {
    ("CKV2_AWS_34", "aws_ssm_parameter"): "AMI ids and release numbers: no secrets, and Image Builder writes plain strings",
    ("CKV2_AWS_5", "aws_security_group"): "attached by the template and the infrastructure; references are not in the plan that this makes",
    ("CKV_AWS_26", "aws_sns_topic"): "CloudWatch publishes alarms only with a key whose policy lets it; messages have no secret",
    ("CKV_AWS_158", "aws_cloudwatch_log_group"): OWN_KEY,
    ("CKV_AWS_180", "aws_imagebuilder_component"): OWN_KEY,
    ("CKV_AWS_199", "aws_imagebuilder_distribution_configuration"): "an AMI holds no secret, which `validate` proves; with a key of our own the second region needs another",
    ("CKV_AWS_200", "aws_imagebuilder_image_recipe"): "as the distribution's; the disk is encrypted by AWS's key",
    ("CKV_AWS_284", "aws_sfn_state_machine"): "one execution at a time, of minutes, whose history says what each state did",
    ("CKV_AWS_285", "aws_sfn_state_machine"): "the history of a standard machine stays for 90 days without a log",
    ("CKV_AWS_297", "aws_scheduler_schedule"): OWN_KEY,
    ("CKV_AWS_338", "aws_cloudwatch_log_group"): "90 and 30 days, as agreed: docs/logs.md",
}


def as_plan(resources):
    """What `terraform show -json` makes of a plan, as far as checkov reads it."""
    listed = []
    for each in resources:
        if each.kind == "resource":
            address = each.address
            listed.append({"address": address, "mode": "managed", "type": each.type, "name": address.split(".")[-1], "values": each.values.plain()})
    changes = [{**each, "change": {"actions": ["create"], "before": None, "after": each["values"]}} for each in listed]
    return {
        "format_version": "1.2",
        "terraform_version": "1.6.0",
        "planned_values": {"root_module": {"resources": listed}},
        "resource_changes": changes,
        "configuration": {"root_module": {"resources": []}},
    }


def planted(resources):
    """With a mistake that has to be found."""
    for each in resources:
        for block in each.values.blocks.get("metadata_options", []):
            block.attributes["http_tokens"] = "optional"
    return resources


def scanned(checkov, directory):
    command = [checkov, "--directory", directory, "--framework", "terraform_plan", "--output", "json", "--quiet", "--compact", "--skip-download"]
    # It would look for updates, and send what it found.
    environment = {"PATH": os.environ["PATH"], "HOME": directory, "CKV_SKIP_PACKAGE_UPDATE_CHECK": "1", "LOG_LEVEL": "ERROR"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 1):
        sys.exit(f"checkov ended with {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    summary = report["summary"]
    if summary["parsing_errors"] or not summary["passed"]:
        sys.exit(f"checkov read nothing: {summary}")
    return [(each["check_id"], each["check_name"], each["resource"], pathlib.Path(each["file_path"]).stem) for each in report["results"]["failed_checks"]]


def main(checkov):
    with tempfile.TemporaryDirectory() as directory:
        for root in ROOTS:
            (pathlib.Path(directory) / f"{root.name}.json").write_text(json.dumps(as_plan(evaluated(root).resources)))
        mistaken = planted(evaluated(ROOTS[1]).resources)
        (pathlib.Path(directory) / "planted.json").write_text(json.dumps(as_plan(mistaken)))
        found = scanned(checkov, directory)
    needed, wrong = set(), []
    for check, name, resource, root in found:
        type_of = resource.split("[")[0].split(".")[-2]
        if (check, type_of) in REASONS:
            needed.add((check, type_of))
        elif root != "planted":
            wrong.append(f"{check} {resource} ({root}): {name}")
    if not any(root == "planted" and check == "CKV_AWS_79" for check, _, _, root in found):
        wrong.append("the planted mistake, IMDSv1, was not found")
    wrong += [f"{check} of {type_of} needs no reason any more" for check, type_of in set(REASONS) - needed]
    if wrong:
        sys.exit("checkov:\n  " + "\n  ".join(sorted(set(wrong))))
    print(f"checkov: {len(needed)} kinds of findings, each explained in tests/terraform/lint.py")


if __name__ == "__main__":
    main(sys.argv[1])
