use super::{CLOUDFLARED_PRESENT, Check};

catalogue! {
    HOLD = "hold", "no hold is active",
        "the agent may have this instance replaced, and may hand over to a new version of the secret",
        "when the work is done: `cflared-agent hold off`, or remove the instance's hold tag", [];
    METADATA = "metadata", "the metadata service identifies this instance",
        "the instance's id, region, zone and image are known",
        "`aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled \
         --http-put-response-hop-limit 2`", [];
    METADATA_V2 = "metadata-v2", "the metadata service requires a token",
        "a program that can be made to fetch a URL cannot fetch the role's credentials",
        "`aws ec2 modify-instance-metadata-options --instance-id ID --http-tokens required`", [METADATA];
    TAGS = "tags-in-metadata", "the metadata service shows the instance's tags",
        "the agent can learn its environment without a permission",
        "`aws ec2 modify-instance-metadata-options --instance-id ID --instance-metadata-tags enabled`", [METADATA];
    ENVIRONMENT_TAG = "environment-tag", "the instance's tag names an environment",
        "the secret's name is known",
        "set the tag to the environment's name: `aws ec2 create-tags --resources ID --tags Key=adv:env,Value=…`", [TAGS];
    ROLE = "role-credentials", "the instance's role gives credentials",
        "calls to AWS can be signed",
        "attach the instance profile; the role must trust ec2.amazonaws.com", [METADATA];
    DNS = "dns", "the names of the edge and of AWS resolve",
        "cloudflared can find the edge, and the agent can find AWS",
        "check /etc/resolv.conf, and the VPC's enableDnsSupport, DHCP options and DNS firewall", [];
    AWS = "aws-reachable", "Secrets Manager answers",
        "AWS can be reached on port 443",
        "allow TCP 443 outbound in the security group and the subnet; check the route, the VPC endpoint and aws.proxy",
        [ENVIRONMENT_TAG, ROLE];
    CLOCK = "clock", "this host's clock agrees with AWS's",
        "AWS accepts signatures, and datapoints get the right minute",
        "`chronyc tracking`; enable chrony (server 169.254.169.123), then `chronyc makestep`", [AWS];
    SECRET_READABLE = "secret-readable", "the role may read the secret",
        "the agent can fetch the tunnel's config and credentials",
        "allow the role secretsmanager:GetSecretValue on that secret, and kms:Decrypt if it has a key of its own",
        [AWS, CLOCK];
    SECRET_VALID = "secret-valid", "the secret's current version is a valid bundle",
        "it can be installed: the payload is well formed and breaks no rule",
        "store a corrected version of the secret, or move AWSCURRENT back; the running tunnel keeps the last good one",
        [SECRET_READABLE];
    DISK = "disk", "the disk has room",
        "bundles, status and logs can be written",
        "free space: `df -h; df -i; journalctl --vacuum-size=100M`", [];
    MEMORY = "memory", "memory is available",
        "the kernel kills no process for lack of memory",
        "`ps aux --sort=-rss | head`; use a larger instance type, or stop processes that do not belong on this \
            host", [];
    CONFIG_DIR = "config-dir", "the config directory belongs to the agent",
        "the agent can install bundles, and nobody else can replace them",
        "`systemd-tmpfiles --create`; the package's tmpfiles.d file sets owner and mode", [];
    CREDENTIALS_PRIVATE = "credentials-private", "only the agent's user can read the installed files",
        "nobody else on this host can run the tunnel",
        "`chmod 0600` the named files, then give the tunnel a new secret: other users may have read this one",
        [CONFIG_DIR];
    AGENT_ACCESS = "agent-access", "the agent's user can use the files that it needs",
        "the agent has the access that root has",
        "set owner and mode of the named file, and of the directories above it", [];
    UNIT_ACTIVE = "unit-active", "cflared-agent.service runs",
        "systemd has started the agent, and starts it again when it ends",
        "`systemctl start cflared-agent`; why it ended: `journalctl -u cflared-agent -n 50`", [];
    AGENT_ALIVE = "agent-alive", "the agent runs and writes its status",
        "the agent supervises the tunnel",
        "`systemctl restart cflared-agent`; why: `journalctl -u cflared-agent -n 50`", [];
    AGENT_VERSION = "agent-version", "the running agent is the installed one",
        "the last upgrade of the package is in effect",
        "`systemctl restart cflared-agent` when one new registration of the tunnel does no harm", [AGENT_ALIVE];
    BUNDLE_INSTALLED = "bundle-installed", "a complete bundle of this instance is installed",
        "the tunnel starts without AWS, as after a reboot",
        "the agent installs it again by itself; if it does not, `cflared-agent bootstrap` shows why", [CONFIG_DIR];
    LINKS = "links", "the links in the config directory lead to the installed bundle",
        "people and tools see the connector's files",
        "`systemctl restart cflared-agent`: the agent makes them again", [BUNDLE_INSTALLED];
    INGRESS_ACCEPTED = "ingress-accepted", "cloudflared accepts the installed rules",
        "a connector can start from them",
        "correct config_yaml in the secret and store a new version", [BUNDLE_INSTALLED, CLOUDFLARED_PRESENT];
    VERSIONS = "versions", "the secret's current version is installed and runs",
        "the tunnel matches the secret",
        "see `cflared-agent status` for the refused version; else `systemctl restart cflared-agent`",
        [SECRET_VALID, AGENT_ALIVE, BUNDLE_INSTALLED];
    RESTARTS = "restarts", "neither the agent nor its connector restarts again and again",
        "the agent and its connector are stable",
        "`journalctl -u cflared-agent -p warning -n 50`: the last lines before each exit", [];
    PROCESSES = "processes", "the connector is the agent's child, and no other cloudflared runs",
        "the agent supervises the process that carries the tunnel",
        "stop the named process: `systemctl disable --now cloudflared.service`, or kill the process", [];
    NO_SECRET_IN_ARGV = "no-secret-in-argv", "no command line of cloudflared holds a secret",
        "nobody sees it in `ps`",
        "start it without --token; then give the tunnel a new secret: other users may have read this one", [];
    METRICS_PORT = "metrics-port", "no other process has the connector's metrics addresses",
        "the connector can start, and its own /ready answers",
        "stop the named process, or set connector.metrics to other ports", [];
    EDGE_TCP = "edge-tcp", "the edge answers over TCP 7844",
        "cloudflared can use http2",
        "allow TCP and UDP 7844 outbound in the security group and the subnet", [DNS];
    EDGE_UDP = "edge-udp", "the edge answers over UDP 7844",
        "cloudflared can use QUIC, which it prefers",
        "allow TCP and UDP 7844 outbound in the security group and the subnet; 1252-byte datagrams must pass", [DNS];
    ORIGINS = "origins", "the origins of the rules accept connections from this host",
        "the origins can serve the tunnel's clients",
        "check that the origin runs, and that its security group allows this instance (3306 for MySQL)",
        [BUNDLE_INSTALLED];
    READY = "ready", "the connector is registered with the edge",
        "the tunnel is up on this instance",
        "correct the failures above; if there are none, `cflared-agent status` shows whose fault it is", [AGENT_ALIVE];
    CONFIGURATION = "configuration", "the connector serves the secret's rules",
        "clients reach the rules that were checked and installed",
        "remove the configuration at Cloudflare, then `systemctl restart cflared-agent`; or set connector.remote_configuration",
        [READY];
    EDGE_METRO = "edge-metro", "the connections end in more than one location of the edge",
        "the loss of one location does not take the tunnel down",
        "nothing at once; if it stays so, `systemctl restart cflared-agent` connects again", [READY];
    CLOUDWATCH = "cloudwatch", "the agent's last push to CloudWatch was accepted",
        "alarms see this instance",
        "allow the role cloudwatch:PutMetricData; `cflared-agent status` shows the last error", [AGENT_ALIVE];
    AUTOSCALING = "autoscaling", "Auto Scaling answered the agent's last request",
        "the agent can have this instance replaced when that helps",
        "allow the role the autoscaling action that the last error names", [AGENT_ALIVE];
    ALLOWANCES = "network-allowances", "the network card dropped no packets over an allowance",
        "DNS, metadata and connections are not throttled by EC2",
        "find the process that asks so often (DNS, metadata: 1024 packets a second), or use a larger instance type", [];
    IMAGE_AGE = "image-age", "the image is younger than 21 days",
        "it has the updates of the last three weeks",
        "start an instance refresh to the current AMI; find out why the pipeline built or promoted none", [];
}
