"""2,000 streams at once go through the tunnel within the unit's limits."""

from harness.traffic import Origin, Stream
from harness.waiting import expect

TIER = "nspawn"
STREAMS = 2000


def run(host):
    host.standins.start()
    host.boot()
    connector = host.registered()
    origin = Origin()
    streams = []
    for _ in range(STREAMS):
        streams.append(Stream(60))
        expect(streams[-1].echo(), f"stream {len(streams)} does not work")
    working = sum(stream.echo(b"still there?") for stream in streams)
    expect(working == STREAMS, f"{working} of {STREAMS} streams work")
    open_files = int(host.out(f"ls /proc/{connector['pid']}/fd | wc -l"))
    expect(host.registered()["pid"] == connector["pid"], "another cloudflared serves")
    expect(host.status()["health"]["state"] == "registered", str(host.status()["health"]))
    del origin
    return f"{working} of {STREAMS} work at once; cloudflared has {open_files} of 16,384 descriptors open"
