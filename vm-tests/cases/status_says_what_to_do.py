"""STATUS= in `systemctl status` names what is in the way: no tag, a refused secret, no edge, nothing."""

from harness.standins import INSTANCE
from harness.waiting import eventually

TIER = "nspawn"


def run(host):
    seen = []

    def says(*words):
        def text():
            text = host.show("StatusText")
            return text if all(word in text for word in words) else None
        seen.append(eventually(f"STATUS= says {words}", 90, text))

    host.standins.start(metadata=False)
    host.standins.start_metadata(tags={"adv:env": None})
    host.standins.aws("fault", {"scope": "GetSecretValue", "trouble": "denied"})
    host.standins.conduct("refuse")
    host.boot()
    says("adv:env")
    host.standins.imds("instance", {"id": INSTANCE, "tags": {"adv:env": "dev"}})
    says("GetSecretValue")
    host.standins.aws("clear", method="POST")
    says("unregistered")
    host.standins.conduct("accept")
    host.registered(90)
    says("registered: ")
    return " · ".join(f"“{text[:90]}”" for text in seen)
