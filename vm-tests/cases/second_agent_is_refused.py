"""A second `run` or a `bootstrap` beside the running agent exits 75, names its process id, and disturbs nothing."""

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.configure(secret={"poll_interval": "1h"})
    host.standins.start()
    host.boot()
    connector, agent = host.registered(), host.agent()
    by_hand = "AWS_ENDPOINT_URL=http://127.0.0.1:4566 setpriv --reuid cflared-agent --regid cflared-agent --clear-groups "
    done = host.sh(by_hand + "cflared-agent run", check=False)
    expect(done.rc == 75 and str(agent) in done.err + done.out, f"{done}")
    host.standins.put_secret(2)
    second = host.sh("AWS_ENDPOINT_URL=http://127.0.0.1:4566 cflared-agent bootstrap --timeout 5s", check=False)
    expect(second.rc == 75 and str(agent) in second.err, f"{second}")
    expect(host.registered()["pid"] == connector["pid"], "the tunnel was disturbed")
    return f"“{(done.err or done.out).strip().splitlines()[-1][:160]}”"
