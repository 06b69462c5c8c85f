"""A copied image does not serve with the bundle of the instance it was copied from, and fetches its own."""

from harness.standins import INSTANCE
from harness.waiting import expect, stays

TIER = "nspawn"
COPY = "i-00000000000000002"


def run(host):
    host.standins.start()
    host.boot()
    host.registered()
    first = host.status()["installed"]
    host.down()
    host.standins.imds("instance", {"id": COPY})
    host.standins.aws("fault", {"trouble": {"status": 503}})
    registrations = len(host.standins.events())
    host.boot()
    host.logged("it says why", "installed bundle not used")
    host.status_where("it knows itself", lambda status: (status["instance"] or {}).get("id") == COPY)
    stays("nothing is started", 8, lambda: host.cloudflareds() == [] and len(host.standins.events()) == registrations)
    host.standins.aws("clear", method="POST")
    host.registered(120)
    second = host.status()["installed"]
    expect(second["generation"] != first["generation"], "it serves with the old generation")
    why = host.journal("-u", "cflared-agent.service", "--grep", "installed bundle not used")[-1]
    return f"{INSTANCE} → {COPY}: “{why.get('CFLARED_WHY', why['MESSAGE'])}”"
