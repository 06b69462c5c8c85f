"""A frozen journald costs log lines, which are counted, and no tunnel: a new secret is still taken over."""

import os
import signal

from harness.waiting import eventually, expect

TIER = "nspawn"
STANDIN_ONLY = "it prints 20,000 lines on order"


def run(host):
    host.configure(secret={"poll_interval": "10s"}, handover={"settle": "2s"})
    host.standins.start()
    host.boot()
    connector = host.registered()
    journald = host.pid_here(host.out("pgrep -x systemd-journal"))
    os.kill(journald, signal.SIGSTOP)
    try:
        # Each line is another one, or they would be counted and not written.
        lines = "\n".join(f"nobody reads line {number}" for number in range(20000))
        host.standins.edge("order", {"scope": {}, "order": {"do": "print", "line": lines}})
        lost = host.status_where("lines are lost", lambda status: status["counters"]["log_lines_lost"] > 100)
        host.standins.put_secret(2)
        host.registered(120, but=connector["pid"])
    finally:
        os.kill(journald, signal.SIGCONT)
    host.logged("the log goes on", "lost", "SYSLOG_IDENTIFIER=cflared-agent", seconds=120)
    held = host.standins.edge(f"never-zero?tunnel={host.status()['tunnel']}&from={first_registration(host)}")
    expect(held["held"], f"the tunnel was at zero: {held}")
    expect(host.show("NRestarts") == "0", "the agent was restarted")
    return f"handed over to another connector meanwhile; {lost['counters']['log_lines_lost']} lines lost and counted"


def first_registration(host):
    return next(event["at"] for event in host.standins.events() if event["what"] == "registered")
