"""Faults of the library are in the journal by their events, each with its fields, as docs/events.md says; and no key."""

import json
import re
import socket

from harness.events import documented, fields
from harness.evidence import read_back
from harness.paths import ROOT
from harness.standins import LOOPBACK, SECRET, TUNNEL, payload
from harness.traffic import Stream
from harness.waiting import eventually, expect

TIER = "nspawn"
LONG = True
OTHER = "i-00000000000000002"
# Of a new agent's first connector.
METRICS_PORT = 2000
# Of the library, and not planted here. `dns` and `udp_*` leave lines of cloudflared's only, which the case of the recorded lines has.
# The others are reasons of the guard: each is a `refusal` or a `delay` like the one that is planted, asked for minutes apart; with
# real processes they run in `make faults`.
NOT_HERE = {"dns", "udp_blocked", "udp_blocked_pinned", "config_refused", "peers_dead", "peers_lost", "peers_denied",
            "peers_refuse", "marked_at_once", "mark_denied", "group_denied", "group_throttled", "group_unreachable", "group_skewed",
            "no_group", "this", "other", "suspended", "refresh",
            # To one instance this is `edge_hangs`; the next two only change what the guard makes of it.
            "answers_lost", "metrics_unreadable", "peers_old",
            # These need a road of their own; both ports leave the event of one port twice.
            "large_lost", "large_sent_lost", "both_ports_taken"}
# Events of the agent that no fault of the library causes, or that need what a container has not. `connector_spared` takes a
# connector that registers in the moment between a decision and what follows from it.
OTHERS = {"connector_spared", "credentials_not_refreshed", "datapoints_not_taken", "last_datapoints_not_taken",
          "last_state_not_written", "last_status_late", "runtime_not_started", "log_lines_lost", "connector_killed",
          "connector_exit_lost", "origins_not_tried", "old_bundles_not_removed", "dry_run_mark", "delay",
          "metadata_notice_unknown", "place_unknown", "new_binary", "new_binary_unfit", "hook_times_unknown", "own_metrics_served",
          "own_metrics_not_served", "command_goes_on", "command_turned_away", "command_not_taken", "command_cut", "command_late",
          "commands_not_taken", "commands_taken_again",
          # A kernel that does not answer: no test has it.
          "hang_not_seen",
          # The end-to-end tests have these: a hang that cannot be kept, targets that are forbidden, and what Cloudflare pushes.
          "hang_not_kept", "connection_forbidden", "name_forbidden", "strays_not_adopted", "fence_missing", "remote_configuration_refused",
          "remote_configuration_in_force"}
EDGE = {"edge_refused": ("refuse", "edge_refused"), "edge_black_hole": ("black-hole", "edge_timed_out"),
        "edge_hangs": ("hang", "registration_timed_out"), "edge_rejects": ("retry", "rejected"),
        "tunnel_gone": ("permanent", "tunnel_deleted")}

class Journal:
    """What the agent logged, and what of it was seen."""

    def __init__(self, host):
        self.host, self.seen, self.planted = host, {}, set()

    def wait(self, event, text="", after=None, seconds=90):
        """Waits for an event whose message holds `text`, later than the entry `after`; the entry."""
        since = int(after["__REALTIME_TIMESTAMP"]) if after else 0
        def found():
            entries = [entry for entry in self.host.journal("--all", f"CFLARED_EVENT={event}")
                       if text in entry["MESSAGE"] and int(entry["__REALTIME_TIMESTAMP"]) > since]
            return entries and entries[-1]
        entry = eventually(f"{event} {text}", seconds, found, every=0.5)
        self.seen[event] = entry
        return entry

    def last(self):
        """The newest entry."""
        return self.host.journal("-u", "cflared-agent", "-n", "1")[-1]


def anew(host):
    """Starts an agent that has lived through nothing."""
    host.sh("systemctl stop cflared-agent; rm -f /run/cflared-agent/state.json; systemctl start --no-block cflared-agent", timeout=120)


def edge_faults(host, journal):
    """What the edge does to this connector."""
    for what, (conduct, event) in EDGE.items():
        last = journal.last()
        host.standins.conduct(conduct)
        anew(host)
        journal.wait(event, after=last)
        journal.planted.add(what)
    last = journal.last()
    host.standins.conduct("accept")
    host.standins.edge("secret", {"tunnel": TUNNEL, "secret": "bm90IHRoZSBvbmUgdGhhdCB3YXMgcm90YXRlZCB0bw=="})
    anew(host)
    journal.wait("unauthorized", after=last)
    journal.wait("blame", "credentials", after=last)
    host.standins.edge("secret", {"tunnel": TUNNEL})
    journal.planted.add("unauthorized")


def held_back(host, journal):
    """An outage in which a hold keeps the guard from having the instance replaced."""
    anew(host)
    host.registered()
    host.standins.imds("instance", {"tags": {"adv:env": "dev", "adv:cflared-hold": "the case"}})
    host.sh("cflared-agent hold off")
    host.standins.conduct("refuse")
    host.standins.edge("drop", {})
    journal.wait("refusal", "held by the instance's tag")
    for event in ("evidence_begins", "evidence", "blame", "decision"):
        journal.wait(event)
    evidence = eventually("the whole evidence", 30, lambda: read_back(host))
    expect(len(evidence["decision"]) > 3 and len(evidence["first line"]) > 3 and evidence["lines"], f"something is missing: {evidence.keys()}")
    host.standins.conduct("accept")
    host.registered(120)
    host.standins.imds("instance", {"tags": {"adv:env": "dev"}})
    journal.planted |= {"hold_operator", "hold_tag", "edge_refused"}


def exits(host, script):
    """Has each cloudflared end like that from now on; the real one still tells its version."""
    version = 'case "$*" in *version*) exec /usr/bin/cloudflared.away "$@" ;; esac'
    host.write("/usr/bin/cloudflared", f"#!/bin/sh\n{version}\n{script}\n", 0o755)


def process_faults(host, journal):
    """What happens to cloudflared and to the agent."""
    # Nothing of what follows is to end in a mark.
    host.sh("cflared-agent hold 1h --reason 'the case of the events'")
    connector = host.registered()
    # Nobody listens where the origin should be, which a client finds out. Before the outages: their probes use up the
    # connections that a MySQL server is spared from.
    client = Stream()
    expect(not client.echo(), "a client was answered without an origin")
    client.close()
    journal.wait("blame", "origin")
    host.sh(f"kill -KILL {connector['pid']}")
    journal.wait("connector_exited")
    connector = host.registered(but=connector["pid"])
    host.sh(f"kill -STOP {connector['pid']}")
    journal.wait("hang_kept")
    journal.wait("connector_restarting")
    connector = host.registered(120, but=connector["pid"])
    host.sh(f"kill -KILL {host.agent()}")
    # What the killed agent wrote last still says that it is registered.
    host.registered(120, but=connector["pid"])
    host.sh("systemctl stop cflared-agent; mv /usr/bin/cloudflared /usr/bin/cloudflared.away; systemctl start --no-block cflared-agent")
    for event in ("told_to_stop", "connector_draining", "agent_stopped", "connector_not_started"):
        journal.wait(event)
    last = journal.last()
    exits(host, "exit 1")
    for _ in range(3):
        last = journal.wait("connector_exited", after=last)
    exits(host, "echo words that nobody knows >&2; exit 1")
    journal.wait("connector_exited", after=journal.wait("other", "words that nobody knows"))
    exits(host, "echo 'panic: index out of range' >&2; exit 2")
    journal.wait("connector_exited", after=journal.wait("crashed", "panic: index out of range"))
    host.sh("mv /usr/bin/cloudflared.away /usr/bin/cloudflared")
    with socket.create_server((LOOPBACK, METRICS_PORT)):
        anew(host)
        journal.wait("metrics_port_moved")
        host.registered(120)
    journal.planted |= {"killed", "frozen", "agent_restart", "crash_loop", "exits_with_words", "panics",
                        "port_taken", "one_port_taken", "origin_down"}


def supply_faults(host, journal):
    """What happens to the secret and to CloudWatch."""
    host.standins.put_secret(2)
    journal.wait("decision", "serves now")
    host.sh("cflared-agent reload", check=False)
    journal.wait("command")
    journal.wait("connector_stopped")
    bad = json.loads(payload(3))
    bad["config_yaml"] = bad["config_yaml"].replace("  - service: http_status:404\n", "")
    host.standins.aws("secret", {"name": SECRET, "text": json.dumps(bad)})
    journal.wait("refusal", "refused")
    host.standins.aws("fault", {"scope": "GetSecretValue", "trouble": "denied"})
    journal.wait("refusal", "access denied")
    host.standins.aws("clear", {"scope": "GetSecretValue"})
    host.standins.aws("fault", {"scope": "PutMetricData", "trouble": "denied"})
    journal.wait("datapoints_not_pushed")
    host.standins.aws("clear", {"scope": "PutMetricData"})
    journal.wait("datapoints_pushed_again")
    host.standins.put_secret(4)
    journal.planted |= {"new_version", "bad_version", "secret_denied"}


def host_faults(host, journal):
    """What happens to the host, and what a start finds."""
    host.sh("chown root /run/cflared-agent")
    journal.wait("host_work_failing")
    host.sh("chown cflared-agent /run/cflared-agent")
    journal.wait("host_work_done_again")
    host.sh("systemctl stop cflared-agent; echo '{' >/run/cflared-agent/state.json; chown cflared-agent /run/cflared-agent/state.json")
    host.standins.imds("instance", {"id": OTHER})
    host.drop_in("[Service]\nEnvironment=CFLARED_AGENT_LOG=loud\nExecStart=\nExecStart=/usr/bin/cflared-agent run --dry-run\n")
    host.configure(**SHORT, paths={"image_file": "/nowhere.json"})
    host.sh("systemctl start --no-block cflared-agent")
    for event in ("state_not_taken_up", "installed_bundle_not_used", "log_level_ignored", "dry_run", "image_age_unknown"):
        journal.wait(event)
    host.registered(120)
    host.sh("systemd-run --wait --uid=cflared-agent --property=StandardError=journal cflared-agent run", check=False)
    journal.wait("run_failed")


SHORT = {"secret": {"poll_interval": "3s"}, "observe": {"interval": "500ms"}, "connector": {"grace_period": "2s"},
         "verdict": {"startup_grace": "2s", "recheck_secret_after": "1s", "probe_after": "2s", "restart_after": "3s", "condemn_after": "5s"},
         "handover": {"register_timeout": "10s", "settle": "1s", "probation": "0s"}, "cloudwatch": {"interval": "1s"}}


def run(host):
    host.configure(**SHORT)
    host.standins.start()
    host.standins.imds("fault", {"scope": "/latest", "trouble": {"status": 503}})
    host.boot()
    journal = Journal(host)
    journal.wait("boot_retrying")
    host.standins.imds("clear", method="POST")
    host.registered()
    for event in ("identified", "connector_started", "connector_id", "registered", "health"):
        journal.wait(event)
    journal.planted.add("imds_away")
    for faults in (supply_faults, process_faults, edge_faults, held_back, host_faults):
        faults(host, journal)
    return judge(host, journal)


def judge(host, journal):
    """Holds what was seen against the page, and the faults against the library."""
    library = set(re.findall(r"what: (\w+)", "".join(line for line in (ROOT / "tests/faults/scenarios.yml").open() if "happens:" in line)))
    missing = library - journal.planted - NOT_HERE
    expect(missing == set(), f"faults of the library that were not planted: {missing}")
    wanted, levels = fields(), documented("Of the agent")
    unseen = set(wanted) - set(journal.seen) - OTHERS
    expect(unseen == set(), f"events that were not seen: {unseen}")
    for entry in host.journal("--all", "SYSLOG_IDENTIFIER=cflared-agent"):
        event = entry.get("CFLARED_EVENT")
        expect(event in wanted, f"an event that docs/events.md has not: {entry}")
        # A field without a value is left out.
        optional = {"CFLARED_BLAME", "CFLARED_RESPAWN_IN"}
        expect(wanted[event] - optional <= set(entry), f"without {wanted[event] - set(entry)}: {entry}")
        expect(entry["PRIORITY"] in levels[event], f"{entry['PRIORITY']}: {entry}")
    everything = host.out("journalctl --no-pager --all -o export", timeout=120)
    for number in (1, 2, 3, 4):
        secret = json.loads(json.loads(payload(number))["credentials_json"])["TunnelSecret"]
        expect(secret[:20] not in everything, f"the secret of version {number} is in the journal")
    return f"{len(journal.planted)} faults, {len(journal.seen)} events with their fields; no key in {len(everything) >> 10} KiB of journal"
