"""Mistakes that the rehearsal has to find: what is changed in the documents as rendered, the runs that meet it, and what is said."""

import json

MACHINE = "imagebuilder/inputs/rolling-update.asl.json"


def edited(change):
    """A change of a text, by a change of the JSON that it is."""

    def apply(text):
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return apply


def stage(change):
    """A change of the states that bring an image to one environment."""
    return [(MACHINE, edited(lambda machine: change(machine["States"]["Stages"]["ItemProcessor"]["States"])))]


def other_prefix(path):
    return [(path, lambda text: text.replace("adv-cflared", "cflared"))]


def lacks(path, action):
    def change(policy):
        for statement in policy["Statement"]:
            given = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            statement["Action"] = [each for each in given if each != action]
            statement["Action"] = statement["Action"] or ["sts:GetCallerIdentity"]

    return [(f"imagebuilder/iam/{path}.json", edited(change))]


def goes_on(state, to):
    """A choice that goes one way, whatever it sees."""
    return stage(lambda states: states.update({state: {"Type": "Pass", "Next": to}}))


def pattern(change):
    def apply(rule):
        asked = json.loads(rule["EventPattern"])
        change(asked)
        rule["EventPattern"] = json.dumps(asked)

    return [("imagebuilder/inputs/event-rule.json", edited(apply))]


GOOD, BAD = ["good_image"], ["good_image", "bad_images"]
PLANTS = {
    # A name's prefix differs in one document.
    "prefix of the group": (GOOD, other_prefix("group/group.json"), "cflared-dev, does not exist"),
    "prefix of an alarm's group": (
        GOOD,
        [("alarms/replicas.json", lambda text: text.replace('"Value": "adv-cflared-', '"Value": "cflared-'))],
        "ended as FAILED",
    ),
    "prefix of an alarm": (GOOD, other_prefix("alarms/silent.json"), "ended as FAILED"),
    "prefix of the profile": (GOOD, [("group/launch-template.json", lambda text: text.replace("adv-cflared-runtime", "cflared-runtime"))], "ended as FAILED"),
    "prefix in the machine": (GOOD, other_prefix(MACHINE), "ended as FAILED"),
    "prefix in the machine's policy": (GOOD, other_prefix("imagebuilder/iam/machine.json"), "ended as FAILED"),
    "prefix in the agent's policy": (["agents"], other_prefix("iam/agent.json"), "SetInstanceHealth"),
    "prefix of the pipeline's recipe": ([], other_prefix("imagebuilder/inputs/recipe.json"), "cflared"),
    "prefix in the event's rule": (GOOD, other_prefix("imagebuilder/inputs/event-rule.json"), "adv-cflared-pipeline-success does not exist"),
    "prefix of a schedule's machine": (GOOD, other_prefix("imagebuilder/inputs/schedule-stg.json"), "cflared"),
    # The template's version.
    "no new version": (
        GOOD,
        stage(lambda states: states.update(NewVersion={"Type": "Pass", "Parameters": {"version.$": "$.group.template.Version"}, "ResultPath": "$.made", "Next": "Pace"})),
        "ended as FAILED",
    ),
    "from the latest version": (GOOD, stage(lambda states: put(states["NewVersion"]["Parameters"], "SourceVersion", "$Latest")), "m5.24xlarge"),
    # A policy lacks an action; rehearsal.py tries every one of them on the calls that were made.
    "machine may not ask instances": (GOOD, lacks("machine", "ssm:SendCommand"), "ended as FAILED"),
    "machine may not launch": (GOOD, lacks("machine", "ec2:RunInstances"), "ended as FAILED"),
    "event may not start": (GOOD, lacks("event", "states:StartExecution"), "states:StartExecution"),
    "schedule may not start": (GOOD, lacks("schedule", "states:StartExecution"), "states:StartExecution"),
    "pipeline may not write the parameter": ([], lacks("pipeline", "ssm:PutParameter"), "ssm:PutParameter"),
    # The event's shape.
    "event with the pipeline's name": (GOOD, pattern(lambda asked: asked["detail"].update({"image-pipeline-name": ["adv-cflared-pipeline"]})), "one execution was started, not 0"),
    "event with the state outside": (GOOD, pattern(lambda asked: asked.update(detail={"status": ["AVAILABLE"]})), "one execution was started, not 0"),
    "event with an AMI": (GOOD, [("imagebuilder/inputs/event-targets.json", lambda text: text.replace("$.resources[0]", "$.detail.ami"))], "ami"),
    # The gate, and what comes of it.
    "gate without replicas": (BAD, goes_on("ReplicasShort", "Pages"), "an execution ended as SUCCEEDED"),
    "gate without pages": (BAD, goes_on("AnyPage", "Instances"), "an execution ended as SUCCEEDED"),
    "gate without the instances": (BAD, goes_on("Registered", "GatePassed"), "an execution ended as SUCCEEDED"),
    "gate outside the bake time": (GOOD, stage(lambda states: states["HowFar"]["Choices"][2].update(Next="Poll")), "ended as FAILED"),
    "no rollback": (BAD, goes_on("RollBack", "Restore"), "dev"),
    "default not restored": (BAD, goes_on("RestoreDefault", "Refuse"), "the default"),
    "nobody is paged": (BAD, goes_on("Page", "NotPassed"), "pages once"),
    "block-list not read": (["good_image", "blocked"], goes_on("IsBlocked", "Group"), "an execution ended as SUCCEEDED"),
}


def put(parameters, name, value):
    parameters.pop(f"{name}.$")
    parameters[name] = value
