"""From power-on to registered, with times, and again after a reboot with AWS unreachable."""

import time

from harness.waiting import expect

TIER = "qemu"


def marks(host):
    """Seconds since the kernel started, of what matters."""
    blame = {}
    for unit in ("multi-user.target", "cflared-agent.service"):
        shown = host.show("ActiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic", unit=unit)
        blame[unit] = {key: int(value) / 1e6 for key, value in shown.items()}
    agent = blame["cflared-agent.service"]
    return (f"kernel to the agent's start {agent['InactiveExitTimestampMonotonic']:.1f} s, to registered "
            f"{agent['ActiveEnterTimestampMonotonic']:.1f} s, to multi-user.target "
            f"{blame['multi-user.target']['ActiveEnterTimestampMonotonic']:.1f} s")


def run(host):
    host.standins.start()
    began = time.monotonic()
    host.boot()
    host.registered(180)
    power_on = time.monotonic() - began
    first = marks(host)
    adjusted = host.out(f"cat /proc/{host.agent()}/oom_score_adj /proc/{host.cloudflareds()[0]}/oom_score_adj").split()
    expect(adjusted == ["-500", "-500"], f"oom_score_adj is {adjusted}")
    before = host.status()["installed"]
    host.down()
    host.standins.stop("aws-standin")
    host.boot()
    host.registered(180)
    expect(host.status()["installed"] == before, "it serves another bundle")
    return f"power-on to registered {power_on:.1f} s (emulated); {first}; rebooted without AWS: {marks(host)}"
