"""The journal can be queried by field: identifier, run, event, priority, unit."""

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    host.all_four()
    unit = "_SYSTEMD_UNIT=cflared-agent.service"
    agent = host.journal(unit, "SYSLOG_IDENTIFIER=cflared-agent")
    child = host.journal(unit, "SYSLOG_IDENTIFIER=cloudflared", "CFLARED_RUN=1")
    # The log has a thread of its own, which may be behind the status.
    registered = eventually("four registrations", 30, lambda: len(found := host.journal("CFLARED_EVENT=registered")) >= 4 and found)
    expect(len(agent) > 3 and len(child) > 4, f"{len(agent)} lines of the agent, {len(child)} of cloudflared")
    expect(len(registered) == 4, f"{len(registered)} registrations by CFLARED_EVENT: "
           f"{sorted({str(entry.get('CFLARED_EVENT')) for entry in child})}")
    known = ["CFLARED_TUNNEL", "CFLARED_ENVIRONMENT", "CFLARED_STATE"]
    expect(all(entry.get(field) for entry in registered for field in known), f"a registration lacks one of {known}")
    expect(all(entry["PRIORITY"] in "3456" for entry in agent), "a priority is missing")
    expect(all(entry["_TRANSPORT"] == "journal" for entry in agent + child), "some lines went over stderr")
    fields = sorted({key for entry in agent + child for key in entry if key.startswith("CFLARED_")})
    return f"{len(agent)} + {len(child)} lines; {', '.join(fields)}"
