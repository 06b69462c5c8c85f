"""Twelve planted faults: doctor's first line names the cause, for root and for the agent's user; short, quick, nothing changed."""

import json

from harness.doctor import Fault, Patient, survey
from harness.standins import SECRET, payload
from harness.waiting import expect

TIER = "nspawn"
LONG = True
OLD = """#!/bin/sh
case $* in *version*) echo 'cloudflared version 2024.1.0 (built 2024-01-10-1122 UTC)'; exit ;; esac
exec /usr/bin/cloudflared.away "$@"
"""
# So that the agent does not mend or notice by itself what is planted.
CALM = {"secret": {"poll_interval": "24h"}}


def cloud(host):
    """What AWS has wrong."""
    imds, aws = host.standins.imds, host.standins.aws
    return [
        Fault("tags off", lambda: imds("instance", {"tags": None}), lambda: imds("instance", {"tags": {"adv:env": "dev"}}),
              ("tags-in-metadata", "tags")),
        Fault("role denied", lambda: aws("fault", {"scope": "GetSecretValue", "trouble": "denied"}),
              lambda: aws("clear", {"scope": "GetSecretValue"}), ("secret-readable", "secretsmanager:GetSecretValue")),
        Fault("secret malformed", lambda: aws("secret", {"name": SECRET, "text": payload()[:-20]}),
              lambda: host.standins.put_secret(1), ("secret-valid", "JSON")),
        Fault("clock off by 10 min", lambda: aws("clock", {"ahead_s": 600}), lambda: aws("clock", {"ahead_s": 0}),
              ("clock", "behind AWS's")),
    ]


def network(host, patient):
    """What the network has wrong."""
    edge = host.standins.edge
    return [
        Fault("UDP blocked", lambda: edge("udp", {"conduct": "black-hole"}), lambda: edge("udp", {}),
              ("edge-udp", "egress UDP 7844 is blocked", "security group")),
        Fault("both blocked", lambda: host.standins.conduct("black-hole"), lambda: host.standins.conduct("accept"),
              ("edge-tcp", "refuses TCP 7844", "no security group")),
        Fault("origin down", patient.origin.close, patient.origin.open, ("origins", "127.0.0.1:3306")),
        # With names to look up, as on an instance.
        Fault("DNS broken", lambda: (host.configure(connector={"extra_args": []}), host.write("/etc/resolv.conf", "nameserver 127.0.0.9\n")),
              lambda: (host.configure(**CALM), host.write("/etc/resolv.conf", "")), ("dns", "name server"), endpoint=False),
    ]


def machine(host):
    """What this host has wrong."""
    file = host.out("ls /etc/cloudflared/generations/*/*-*.json")
    return [
        Fault("credentials readable by all", lambda: host.sh(f"chmod 0644 {file}; chmod 0755 /etc/cloudflared"),
              lambda: host.sh(f"chmod 0600 {file}; chmod 0700 /etc/cloudflared"), ("credentials-private", "0644")),
        Fault("cloudflared too old",
              lambda: (host.sh("mv /usr/bin/cloudflared /usr/bin/cloudflared.away"), host.write("/usr/bin/cloudflared", OLD, 0o755)),
              lambda: host.sh("mv /usr/bin/cloudflared.away /usr/bin/cloudflared"), ("cloudflared-version", "2024.1.0")),
        # By these settings the agent should have read the new version long ago. Last, for it stays: only the agent mends it.
        Fault("versions drifted", lambda: (host.configure(secret={"poll_interval": "1s"}), host.standins.put_secret(2)), lambda: None,
              ("versions", "is installed", "runs")),
    ]


def unit(host):
    """What systemd has wrong."""
    return [Fault("unit masked", lambda: host.sh("systemctl mask --now cflared-agent", timeout=120),
                  lambda: host.sh("systemctl unmask cflared-agent"), ("units-enabled", "masked"))]


def run(host):
    host.configure(**CALM)
    host.standins.start()
    patient = Patient(host)
    host.boot()
    host.all_four()
    patient.healthy()
    survey(patient, [*unit(host)])
    host.start()
    survey(patient, [*network(host, patient), *cloud(host), *machine(host)])
    expect(len(patient.told) == 12, f"{len(patient.told)} faults")
    report = json.loads(patient.ask(words="--json").out)
    expect(report["schema"] == 1 and report["verdict"] == "not_fine", f"{report['headline']}")
    return " · ".join(patient.told)
