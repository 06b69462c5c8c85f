#!/usr/bin/env python3
"""The promotion from the pipeline's run to prd and back, with everything of imagebuilder/ and packaging/aws loaded as documented; or, in as
many processes, with each mistake of plants.py, which has to be found. Offline, on one port of loopback."""

import argparse
import io
import json
import logging
import os
import sys
import tempfile
import threading
import time

os.environ.update(AWS_ACCESS_KEY_ID="made-up", AWS_SECRET_ACCESS_KEY="made-up", AWS_DEFAULT_REGION="us-east-1", AWS_CONFIG_FILE="/dev/null")
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
logging.disable(logging.WARNING)

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import create_environ, run_wsgi_app

import load
import peer
import policies
from account import Account, until
from front import Front
from plants import PLANTS
from world import World, as_agent, as_lifecycle

PREFIX = "adv-cflared"
# No wait is real but the one of the run that is stopped in it.
AT_ONCE = {"between": 0, "watch": 0, "settle": 0, "bake": 120, "poll": 0}
A_LONG_WAIT = {**AT_ONCE, "between": 3600}
BEFORE, GOOD, OLD = "2026.8.2", "2026.9.0", "2026.8.3"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_args, **_kwargs):
        pass


def serve(application):
    """The application on a port of its own, on the address that moto's machine calls."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Rehearsal:
    """An account with everything loaded. It listens for the machine when `listen` was called, in the process that goes on with it."""

    def __init__(self, moto, directory, changes=()):
        self.moto, self.directory = moto, directory
        self.inner = Account("http://moto.invalid", moto)
        self.front = Front(moto, self.inner)
        self.account = Account("http://front.invalid", self.front)
        self.world = World(self.inner, self.front)
        self.world.outer, self.world.waits = self.account, AT_ONCE
        self.documents = {name: load.Documents(directory, name, changes) for name in load.ENVIRONMENTS}
        self.load()

    def listen(self):
        peer.point_the_machine_at(serve(self.front))

    def planted(self, changes):
        """The same with changed documents: loaded again if that can be, else everything anew."""
        for documents in self.documents.values():
            documents.changes = dict(changes)
        if load.load_again(self.account, self.documents["prd"], self.machine, PREFIX):
            self.inner.forget()
            return self
        reset = create_environ("/moto-api/reset", method="POST")
        run_wsgi_app(self.moto, reset)
        run_wsgi_app(self.moto, really_execute())
        return Rehearsal(self.moto, f"{self.directory}/{os.getpid()}", changes)

    def load(self):
        ec2 = self.inner.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
        databases = {f"database_security_group_id_{n}": ec2.create_security_group(GroupName=f"database-{n}", Description="made up", VpcId=vpc)["GroupId"] for n in (1, 2)}
        for name, documents in self.documents.items():
            here = subnets if name == "prd" else subnets[:1]
            documents.render(vpc_id=vpc, subnet_ids=",".join(here), builder_subnet_id=subnets[0], **databases)
        shared = self.documents["prd"]
        load.load_image(self.account, shared, PREFIX)
        load.load_commands(self.account, shared, PREFIX)
        _, first = self.world.build(BEFORE)
        for name, documents in self.documents.items():
            documents.render(image_id=first)
            load.load_environment(self.account, documents, name, PREFIX)
            self.inner.put_parameter(f"ami-id-passed-{name}", first)
        self.machine = load.load_machine(self.account, shared)
        self.world.settle({name: (f"{PREFIX}-{name}", load.TUNNELS[name], size[2]) for name, size in load.ENVIRONMENTS.items()})
        self.first = first
        # A version that nobody runs and that would not work: whoever derives from the latest gets it.
        for name in load.ENVIRONMENTS:
            template = self.inner.group(f"{PREFIX}-{name}")["LaunchTemplate"]["LaunchTemplateId"]
            data = {**self.inner.launch_template_data(template, "1"), "InstanceType": "m5.24xlarge", "ImageId": first}
            ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)

    # What is looked at

    def runs(self, environment):
        """The AMIs of the instances, and what the group, the default version and the parameter name."""
        group = self.inner.group(f"{PREFIX}-{environment}")
        template = group["LaunchTemplate"]
        instances = self.inner.instances([each["InstanceId"] for each in group["Instances"]])
        expect(len(instances) == group["DesiredCapacity"], f"{environment} has as many instances as it wants")
        kinds = {(each["InstanceType"], each["ImageId"]) for each in instances}
        wanted = "t3.small" if environment == "prd" else "t3.micro"
        expect({kind for kind, _ in kinds} == {wanted}, f"{environment} runs {kinds}")
        default = self.inner.launch_template_data(template["LaunchTemplateId"], "$Default")["ImageId"]
        (image,) = {image for _, image in kinds}
        named = self.inner.launch_template_data(template["LaunchTemplateId"], template["Version"])["ImageId"]
        expect(image == named == default, f"{environment}: instances run {image}, the group names {named}, the default {default}")
        return image

    def all_run(self, dev, stg, prd):
        found = {name: self.runs(name) for name in load.ENVIRONMENTS}
        expect(found == {"dev": dev, "stg": stg, "prd": prd}, f"the environments run {found}")

    def pages(self):
        """How many messages went to the page topic until now."""
        return self.front.published.count(f"{PREFIX}-page")

    def passes(self, executions, status="SUCCEEDED"):
        expect(len(executions) == 1, f"one execution was started, not {len(executions)}")
        ended = self.inner.ended(executions[0])
        expect(ended == status, f"an execution ended as {ended}: {self.last_of(executions[0])}")

    def last_of(self, arn):
        found = self.inner.execution(arn)
        return f"{found.get('error')}: {found.get('cause')}; denied {self.front.denied}; not by the model {self.front.invalid}"

    def tuesday(self, statuses=("SUCCEEDED",) * 3):
        for hour, status in zip((7, 9, 11), statuses):
            self.passes(self.world.clock("TUE", hour), status)

    def by_hand(self, given, status="SUCCEEDED"):
        self.passes([self.inner.start(self.machine, {"waits": AT_ONCE, **given})], status)

    def arrives(self, release, **traits):
        arn, ami = self.world.build(release, **traits)
        self.passes(self.world.happened(arn))
        return ami

    # The runs

    def good_image(self):
        good = self.arrives(GOOD)
        expect(self.world.clock("TUE", 6) == [], "no environment begins with the build")
        before = self.first
        for hour, expected in [(7, (good, before, before)), (9, (good, good, before)), (11, (good, good, good))]:
            self.passes(self.world.clock("TUE", hour))
            self.all_run(*expected)
        expect(self.pages() == 0, "nobody is paged")
        self.good = good

    def bad_images(self):
        kinds = {
            "never registers": {"registers": False},
            "leaves the tunnel short for a minute": {"missing_minutes": 1},
            "makes an alarm ring while the gate looks": {"rings": "restarts"},
            "has an instance that is not converged": {"answers": False},
        }
        for kind, traits in kinds.items():
            paged = self.pages()
            bad = self.arrives(GOOD, **traits)
            self.move_default("dev", "2")
            self.tuesday(("FAILED", "SUCCEEDED", "SUCCEEDED"))
            self.all_run(self.good, self.good, self.good)
            expect(self.pages() == paged + 1, f"an image that {kind} pages once")
            expect(self.inner.parameter("ami-id-refused-dev") == bad, f"an image that {kind} is refused")
        self.tuesday(("FAILED", "SUCCEEDED", "SUCCEEDED"))
        expect(self.pages() == paged + 1, "what was refused does not page again, and does not come again")

    def move_default(self, environment, version):
        """As somebody might, by hand."""
        template = self.inner.group(f"{PREFIX}-{environment}")["LaunchTemplate"]["LaunchTemplateId"]
        self.inner.client("ec2").modify_launch_template(LaunchTemplateId=template, DefaultVersion=version)

    def fast(self):
        urgent = self.arrives(GOOD)
        self.by_hand({"acceleration": "fast"})
        self.all_run(urgent, urgent, urgent)
        self.good, self.before = urgent, self.good

    def another_day(self):
        later = self.arrives(GOOD)
        for hour in range(24):
            expect(self.world.clock("THU", hour) == [], "nothing begins on a Thursday")
        self.all_run(self.good, self.good, self.good)
        self.tuesday()
        self.all_run(later, later, later)
        self.good, self.before = later, self.good

    def back_by_hand(self):
        self.by_hand({"image": self.before, "only": "prd"})
        self.all_run(self.good, self.good, self.before)
        self.tuesday(("SUCCEEDED", "SUCCEEDED", "FAILED"))
        self.all_run(self.good, self.good, self.before)
        self.by_hand({"image": self.good, "only": "prd"})
        self.all_run(self.good, self.good, self.good)

    def blocked(self):
        paged = self.pages()
        self.inner.put_parameter("releases-blocked", f"2026.8.9,{OLD}")
        self.arrives(OLD)
        self.tuesday(("FAILED", "SUCCEEDED", "SUCCEEDED"))
        self.all_run(self.good, self.good, self.good)
        expect(self.pages() == paged + 1, "a blocked release pages once")
        self.inner.put_parameter("releases-blocked", "none")

    def second_start(self):
        newer = self.arrives(GOOD)
        first = self.inner.start(self.machine, {"waits": A_LONG_WAIT})
        until(lambda: self.inner.parameter("ami-id-passed-dev") == newer, "dev to pass it")
        self.by_hand({"only": "stg"}, "FAILED")
        expect(self.inner.execution(first)["status"] == "RUNNING", "the first waits on")
        self.by_hand({"acceleration": "fast"})
        expect(self.inner.ended(first) == "ABORTED", "fast stops one that waits")
        self.all_run(newer, newer, newer)
        waits = self.inner.start(self.machine, {"waits": A_LONG_WAIT})
        until(lambda: len(self.running()) == 1, "it to run")
        self.by_hand({"image": self.good})
        expect(self.inner.ended(waits) == "ABORTED", "image stops one that waits")
        self.all_run(self.good, self.good, self.good)

    def running(self):
        return self.inner.client("stepfunctions").list_executions(stateMachineArn=self.machine, statusFilter="RUNNING")["executions"]

    def lifecycle(self):
        """The policy of four images, as its role; all that are older and not protected by their age go."""
        policy = self.world.one("lifecycle-policy")
        role = self.world.assume(policy["executionRole"], "imagebuilder.amazonaws.com")
        (keep,) = [each["filter"]["value"] for each in policy["policyDetails"]]
        self.front.demand(role, as_lifecycle(self.inner, list(self.world.images.values())[:-keep]))

    def agents(self):
        """What an agent does to its own environment, and cannot do to another."""
        for name in load.ENVIRONMENTS:
            policies_of = self.inner.policies(f"{PREFIX}-runtime-{name}")
            for other in load.ENVIRONMENTS:
                for action, resource, context in as_agent(self.inner, other):
                    allowed = policies.allows(policies_of, action, resource, context)
                    expect(allowed == (name == other), f"an agent of {name} has {action} on {resource} {context}: {allowed}")
                for parameter in (f"ami-id-passed-{other}", "releases-blocked"):
                    resource = f"arn:aws:ssm:{self.inner.region}:{self.inner.number}:parameter/adventive/cloudflared/{parameter}"
                    expect(not policies.allows(policies_of, "ssm:PutParameter", resource, {}), f"{name} writes {parameter}")

    def policies(self):
        """Everything was allowed; and with any action taken out of any policy, something would not have been."""
        expect(self.front.denied == [], f"nothing is denied: {self.front.denied}")
        expect(self.front.invalid == [], f"every call is by the model: {self.front.invalid}")
        tried, idle = 0, []
        for role in ("builder", "event", "lifecycle", "machine", "pipeline", "schedule"):
            name = f"{PREFIX}-{role}"
            own = self.inner.client("iam").get_role_policy(RoleName=name, PolicyName=role)["PolicyDocument"]
            made = [call[1:] for call in self.front.calls if call[0] == name]
            for action in sorted(policies.actions(own)):
                tried += 1
                less = policies.without(own, action)
                if all(policies.allows([less], *call) for call in made):
                    idle.append(f"{role}: {action}")
        expect(idle == [], f"each action of each policy is needed: {idle}")
        return tried


def expect(holds, what):
    if not holds:
        raise AssertionError(f"not so: {what}")


RUNS = ["agents", "good_image", "bad_images", "fast", "another_day", "back_by_hand", "blocked", "second_start", "lifecycle"]


def really_execute():
    settings = json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode()
    return create_environ("/moto-api/config", method="POST", input_stream=io.BytesIO(settings), content_length=len(settings))


def rehearse(rehearsal, runs):
    rehearsal.listen()
    for run in runs:
        began = time.monotonic()
        getattr(rehearsal, run)()
        print(f"{run}: {time.monotonic() - began:.1f} s", flush=True)


class Attempt:
    """A rehearsal with a mistake in it, in a process of its own: moto is one a process."""

    def __init__(self, rehearsal, name):
        self.name, (self.runs, changes, self.says) = name, PLANTS[name]
        self.output = tempfile.TemporaryFile()
        self.child = os.fork()
        if self.child == 0:
            self.run(rehearsal, changes)

    def run(self, rehearsal, changes):
        for stream in (1, 2):
            os.dup2(self.output.fileno(), stream)
        status = 0
        try:
            rehearse(rehearsal.planted(changes), self.runs)
        except Exception as error:
            os.write(1, f"\nfound: {error}".encode())
            status = 1
        finally:
            os._exit(status)

    def is_found(self):
        """Whether the mistake was found, and for what it is."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        found = text.rpartition("found: ")[2]
        if status != 1 or self.says not in found:
            print(f"NOT FOUND: {self.name}: status {status}: {text[-2000:]}", flush=True)
            return False
        print(f"found: {self.name}: {found[:150]}", flush=True)
        return True


def plant(rehearsal, names):
    """How many mistakes were found; two are looked for at a time."""
    found, running = 0, []
    for name in names:
        running.append(Attempt(rehearsal, name))
        if len(running) == 2:
            found += running.pop(0).is_found()
    return found + sum(attempt.is_found() for attempt in running)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["runs", "mistakes"])
    parser.add_argument("words", nargs="*", help="parts of names of mistakes")
    given = parser.parse_args()
    began = time.monotonic()
    peer.adapt()
    moto = peer.moto()
    run_wsgi_app(moto, really_execute())
    with tempfile.TemporaryDirectory() as directory:
        rehearsal = Rehearsal(moto, directory)
        print(f"loaded: {time.monotonic() - began:.1f} s", flush=True)
        if given.what == "runs":
            rehearse(rehearsal, RUNS)
            print(f"{rehearsal.policies()} actions of 6 policies, each of them needed; {time.monotonic() - began:.1f} s")
            return 0
        names = [name for name in PLANTS if all(word in name for word in given.words)]
        found = plant(rehearsal, names)
        print(f"{found} of {len(names)} mistakes found; {time.monotonic() - began:.1f} s")
        return 0 if found == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
