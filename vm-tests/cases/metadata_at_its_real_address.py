"""With nothing in its environment but AWS's endpoint, the agent finds the metadata service by itself."""

from harness.waiting import expect

TIER = "netns"


def run(host):
    host.standins.start()
    host.boot()
    host.registered()
    host.down()
    asked = [request["what"] for request in host.standins.imds("state")["requests"]]
    expect(any("tags/instance/adv:env" in what for what in asked), str(asked))
    lost = [event["what"] for event in host.standins.events() if event["what"] not in ("registered", "unregistered")]
    expect(lost == [], f"connections were cut: {lost}")
    return f"{len(asked)} requests to 169.254.169.254, registered and said goodbye"
