"""The stand-ins of a case, as programs in its network, and their control endpoints."""

import base64
import json
import subprocess
import urllib.error
import urllib.request

from .namespaces import METADATA
from .paths import AUTHORITY
from .waiting import Failed, eventually

TUNNEL = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
INSTANCE = "i-00000000000000001"
SECRET = "/adventive/cloudflared/dev"
AWS_PORT = 4566
EDGE_PORTS = (7844, 7845, 7846, 7847)
CONTROL_PORT = 7900
CLIENTS_PORT = 7901
# Where the stand-ins are, as seen from the same network.
LOOPBACK = "127.0.0.1"


def payload(number=1, origin=3306):
    """The text of a good secret; each number has another tunnel secret."""
    config = (f"# version {number}\ntunnel: {TUNNEL}\ningress:\n  - hostname: db-{number}.example.dev\n"
              f"    service: tcp://127.0.0.1:{origin}\n  - service: http_status:404\n")
    credentials = {"AccountTag": "0123456789abcdef0123456789abcdef", "TunnelID": TUNNEL,
                   "TunnelSecret": base64.b64encode(bytes([(number * 37 + 91) % 256]) * 32).decode()}
    return json.dumps({"config_yaml": config, "credentials_json": json.dumps(credentials)})


def ask(url, body=None, method=None):
    """One request to a control endpoint; its answer's JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"failed to ask {url}: {error}") from None
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


def authority(programs):
    """The certificate that connectors are to trust; it is made if there is none."""
    certificate = AUTHORITY / "ca.pem"
    if not certificate.exists():
        AUTHORITY.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen([programs / "edge-standin", "--listen", f"{LOOPBACK}:0", "--control", f"{LOOPBACK}:0",
                                    "--ca-key", AUTHORITY / "ca.key", "--ca", certificate], stdout=subprocess.PIPE, text=True)
        # Once it says where its control is, it has written the files.
        if not any(line.startswith("control: ") for line in process.stdout):
            raise Failed("edge-standin made no authority")
        process.kill()
        process.wait()
    return certificate.read_text()


class Standins:
    """imds, aws and edge. The edge's clock starts with it and is monotonic; its times are microseconds."""

    def __init__(self, programs, logs):
        self.programs, self.logs, self.running = programs, logs, {}

    def start(self, metadata=True):
        """Starts all of them, with a good instance and a good secret."""
        if metadata:
            self.start_metadata()
        self.spawn("aws-standin", "--listen", f"{LOOPBACK}:{AWS_PORT}")
        edge = [word for port in EDGE_PORTS for word in ("--listen", f"{LOOPBACK}:{port}")]
        self.spawn("edge-standin", *edge, "--control", f"{LOOPBACK}:{CONTROL_PORT}", "--clients", f"{LOOPBACK}:{CLIENTS_PORT}",
                   "--ca-key", AUTHORITY / "ca.key")
        eventually("the edge answers", 30, lambda: self.edge("state"))
        eventually("AWS answers", 30, lambda: self.aws("state"))
        self.put_secret()
        self.aws("group", {"name": "dev", "grace_period_ms": 0,
                           "instances": {INSTANCE: {"availability_zone": "us-east-1a"}}})

    def start_metadata(self, tags=None, instance=INSTANCE):
        """Starts the metadata service of an instance."""
        self.spawn("imds-standin", "--listen", f"{METADATA}:80")
        eventually("the metadata service answers", 30, lambda: self.imds("state"))
        self.imds("instance", {"id": instance, "tags": {"adv:env": "dev"} if tags is None else tags})

    def spawn(self, name, *words):
        """Starts one; what it prints is kept with the logs."""
        with open(self.logs / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen([self.programs / name, *words], stdout=log, stderr=log,
                                                  stdin=subprocess.DEVNULL)

    def stop(self, name):
        """Ends one of them: connections to it are refused."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def imds(self, what, body=None, method=None):
        """Asks the metadata service's control."""
        return ask(f"http://{METADATA}/_control/{what}", body, method)

    def aws(self, what, body=None, method=None):
        """Asks AWS's control."""
        return ask(f"http://{LOOPBACK}:{AWS_PORT}/_control/{what}", body, method)

    def edge(self, what, body=None, method=None):
        """Asks the edge's control."""
        return ask(f"http://{LOOPBACK}:{CONTROL_PORT}/_control/{what}", body, method)

    def put_secret(self, number=1, **more):
        """A new version of the secret."""
        self.aws("secret", {"name": SECRET, "text": payload(number, **more)})

    def reads(self):
        """How often the secret was asked for so far."""
        return sum("GetSecretValue" in json.dumps(request) for request in self.aws("state")["requests"])

    def conduct(self, conduct):
        """How the edge treats registrations from now on."""
        self.edge("conduct", {"conduct": conduct})

    def connectors(self):
        """The ids of the connectors that are registered now."""
        return {connection["who"]["connector"] for connection in self.edge("state")["connections"]}

    def events(self):
        """Everything that happened at the edge, in order."""
        return self.edge("events")
