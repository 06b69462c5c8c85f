use super::{CLOUDFLARED_PRESENT, Check};

catalogue! {
    HOLD = "hold", "no hold is in force",
        "the agent may have this instance replaced, and may hand over to a new version of the secret",
        "when the work is done: `cflared-agent hold off`, or remove the instance's hold tag", [];
    METADATA = "metadata", "the metadata service tells who this instance is",
        "the instance's id, region, zone and image are known",
        "`aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled \
         --http-put-response-hop-limit 2`", [];
    METADATA_V2 = "metadata-v2", "the metadata service answers nobody without a token",
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
        "see /etc/resolv.conf, and the VPC: enableDnsSupport, its DHCP options, its resolver's firewall", [];
    AWS = "aws-reachable", "Secrets Manager answers",
        "port 443 leads to AWS",
        "allow TCP 443 out in the security group and the subnet; see the route, the VPC endpoint and aws.proxy",
        [ENVIRONMENT_TAG, ROLE];
    CLOCK = "clock", "this host's clock agrees with that of AWS",
        "AWS accepts signatures, and datapoints get their true minute",
        "`chronyc tracking`; enable chrony (server 169.254.169.123), then `chronyc makestep`", [AWS];
    SECRET_READABLE = "secret-readable", "the role may read the secret",
        "config and credentials of the tunnel can be had",
        "allow the role secretsmanager:GetSecretValue on that secret, and kms:Decrypt if it has a key of its own",
        [AWS, CLOCK];
    SECRET_VALID = "secret-valid", "the secret's current version is a good bundle",
        "it can be installed: the payload has its form, and no rule is broken",
        "store a corrected version of the secret, or move AWSCURRENT back; the running tunnel keeps the last good one",
        [SECRET_READABLE];
    DISK = "disk", "there is room on the disk",
        "bundles, status and logs can be written",
        "free space: `df -h; df -i; journalctl --vacuum-size=100M`", [];
    MEMORY = "memory", "there is memory left",
        "nothing is killed for want of it",
        "`ps aux --sort=-rss | head`; use a larger instance type, or stop what does not belong here", [];
    CONFIG_DIR = "config-dir", "the config directory is the agent's own",
        "the agent can install bundles, and nobody else can replace them",
        "`systemd-tmpfiles --create`; the package's tmpfiles.d file sets owner and mode", [];
    CREDENTIALS_PRIVATE = "credentials-private", "only the agent's user can read what is installed",
        "nobody else on this host can run the tunnel",
        "`chmod 0600` the files that are named, then give the tunnel a new secret: others may have read this one",
        [CONFIG_DIR];
    AGENT_ACCESS = "agent-access", "the agent's user can use what it needs",
        "what root can do here, the agent can do as well",
        "set owner and mode of what is named, and of the directories above it", [];
    UNIT_ACTIVE = "unit-active", "cflared-agent.service runs",
        "systemd has started the agent, and starts it again when it ends",
        "`systemctl start cflared-agent`; why it ended: `journalctl -u cflared-agent -n 50`", [];
    AGENT_ALIVE = "agent-alive", "the agent lives and writes its status",
        "somebody looks after the tunnel",
        "`systemctl restart cflared-agent`; why: `journalctl -u cflared-agent -n 50`", [];
    AGENT_VERSION = "agent-version", "the agent that runs is the one that is installed",
        "an upgrade of the package is in force",
        "`systemctl restart cflared-agent` when one new registration of the tunnel does no harm", [AGENT_ALIVE];
    BUNDLE_INSTALLED = "bundle-installed", "a whole bundle of this instance is installed",
        "the tunnel starts without AWS, as after a reboot",
        "the agent installs it anew by itself; if not: `cflared-agent bootstrap` tells why", [CONFIG_DIR];
    LINKS = "links", "the links in the config directory lead to what is installed",
        "people and tools see what the connector runs on",
        "`systemctl restart cflared-agent`: it makes them anew when it installs", [BUNDLE_INSTALLED];
    INGRESS_ACCEPTED = "ingress-accepted", "cloudflared accepts the installed rules",
        "a connector can start from them",
        "correct config_yaml in the secret and store a new version", [BUNDLE_INSTALLED, CLOUDFLARED_PRESENT];
    VERSIONS = "versions", "the secret's current version is installed, and it is what runs",
        "the tunnel is as the secret says: no drift",
        "see `cflared-agent status` for what was refused; else `systemctl restart cflared-agent`",
        [SECRET_VALID, AGENT_ALIVE, BUNDLE_INSTALLED];
    RESTARTS = "restarts", "neither the agent nor its connector restarts again and again",
        "what runs is stable",
        "`journalctl -u cflared-agent -p warning -n 50`: the last lines before each exit", [];
    PROCESSES = "processes", "the connector is the agent's child, and no other cloudflared runs",
        "the agent looks after the one that carries the tunnel",
        "stop what is named: `systemctl disable --now cloudflared.service`, or kill the process", [];
    NO_SECRET_IN_ARGV = "no-secret-in-argv", "no command line of cloudflared holds a secret",
        "nobody sees it in `ps`",
        "start it without --token; then give the tunnel a new secret: others may have read this one", [];
    METRICS_PORT = "metrics-port", "nobody else has the connector's metrics addresses",
        "the connector can start, and /ready is its own answer",
        "stop the process that is named, or set connector.metrics to other ports", [];
    EDGE_TCP = "edge-tcp", "the edge answers over TCP 7844",
        "cloudflared can use http2",
        "the security group and the subnet need TCP and UDP 7844 out", [DNS];
    EDGE_UDP = "edge-udp", "the edge answers over UDP 7844",
        "cloudflared can use QUIC, which it prefers",
        "the security group and the subnet need TCP and UDP 7844 out, and 1252-byte datagrams must pass", [DNS];
    ORIGINS = "origins", "the origins of the rules take connections from here",
        "what comes through the tunnel can be served",
        "see that the origin runs, and that its security group lets this instance in (3306 for MySQL)",
        [BUNDLE_INSTALLED];
    READY = "ready", "the connector is registered with the edge",
        "the tunnel is up on this instance",
        "mend what is named above; else `cflared-agent status` says whose fault it is", [AGENT_ALIVE];
    CONFIGURATION = "configuration", "the connector serves by the secret's rules",
        "what was checked and installed is what visitors reach",
        "remove the configuration at Cloudflare, then `systemctl restart cflared-agent`; or set connector.remote_configuration",
        [READY];
    EDGE_METRO = "edge-metro", "the connections end in more than one place of the edge",
        "the loss of one place does not take the tunnel down",
        "nothing at once; `systemctl restart cflared-agent` connects anew if it stays so", [READY];
    CLOUDWATCH = "cloudwatch", "the agent's last push to CloudWatch was accepted",
        "alarms see this instance",
        "allow the role cloudwatch:PutMetricData; `cflared-agent status` shows the last error", [AGENT_ALIVE];
    AUTOSCALING = "autoscaling", "Auto Scaling answered the agent when it last asked",
        "the agent can have this instance replaced when that helps",
        "allow the role the autoscaling action that the last error names", [AGENT_ALIVE];
    ALLOWANCES = "network-allowances", "the network card dropped nothing for want of an allowance",
        "DNS, metadata and connections are not throttled by EC2",
        "see what asks so often (DNS, metadata: 1024 packets a second); else a larger instance type", [];
    IMAGE_AGE = "image-age", "the image is younger than 21 days",
        "the updates of the last three builds are in it",
        "start an instance refresh onto the current AMI; see why the pipeline built or promoted none", [];
}
