#!/usr/bin/env bash
# What `cflared-agent bootstrap` is measured against: the same work, done right, with bash, curl, jq and the AWS CLI.
# It reads AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_ENDPOINT_URL, CONFIG_DIR and CLOUDFLARED, all of them optional.
set -euo pipefail
umask 077

imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
config_dir=${CONFIG_DIR:-/etc/cloudflared}
cloudflared=${CLOUDFLARED:-/usr/bin/cloudflared}
generations=$config_dir/generations

fail() {
    echo "bootstrap.sh: $*" >&2
    exit 1
}

fetch() {
    curl --proto '=http' --silent --show-error --fail --noproxy '*' --max-time 2 --retry 5 --retry-delay 1 --retry-connrefused "$@"
}

metadata() {
    fetch --header "X-aws-ec2-metadata-token: $token" "$imds/latest/meta-data/$1"
}

# Prints the assignments of version, tunnel, key, config and credentials, quoted for the shell.
split() {
    if command -v jq >/dev/null; then
        jq --raw-output '(.SecretString | fromjson) as $payload
            | ($payload.credentials_json | fromjson) as $credentials
            | @sh "version=\(.VersionId) tunnel=\($credentials.TunnelID) key=\($credentials.TunnelSecret)
                config=\($payload.config_yaml) credentials=\($payload.credentials_json)"'
    else
        python3 -c 'import json, shlex, sys
answer = json.load(sys.stdin)
payload = json.loads(answer["SecretString"])
credentials = json.loads(payload["credentials_json"])
for name, value in [("version", answer["VersionId"]), ("tunnel", credentials["TunnelID"]),
                    ("key", credentials["TunnelSecret"]), ("config", payload["config_yaml"]),
                    ("credentials", payload["credentials_json"])]:
    print(f"{name}={shlex.quote(value)}")'
    fi
}

# A link is replaced by a rename, so that it always leads somewhere.
link() {
    ln --symbolic "$1" "$2.new"
    mv --no-target-directory "$2.new" "$2"
}

exec 9>"$config_dir/.lock"
flock --nonblock 9 || fail "another one is at work in $config_dir"

token=$(fetch --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/latest/api/token")
environment=$(metadata tags/instance/adv:env)
region=$(metadata placement/region)
[[ $environment =~ ^[a-z][a-z0-9-]{0,31}$ ]] || fail "the tag adv:env does not name an environment"

answer=$(aws secretsmanager get-secret-value --region "$region" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} \
    --secret-id "/adventive/cloudflared/$environment" --version-stage AWSCURRENT --output json)
assignments=$(split <<<"$answer") || fail "the secret is not the JSON it should be"
eval "$assignments"

[[ $tunnel =~ ^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$ ]] || fail "TunnelID is not a UUID"
(($(base64 --decode <<<"$key" | wc --bytes) >= 32)) || fail "TunnelSecret is not 32 bytes in base64"
grep --quiet --line-regexp "tunnel: *$tunnel" <<<"$config" || fail "tunnel: is not TunnelID"
if grep --quiet --fixed-strings "\"$version\"" "$config_dir/current/meta.json" 2>/dev/null; then
    echo "nothing new"
    exit 0
fi

mkdir --parents "$generations"
staged=$(mktemp --directory "$generations/.new-XXXXXX")
trap 'rm --recursive --force "$staged"' EXIT
printf '%s' "$config" >"$staged/config.yml"
printf '%s' "$credentials" >"$staged/$tunnel.json"
printf '{"version": "%s", "tunnel": "%s"}\n' "$version" "$tunnel" >"$staged/meta.json"
"$cloudflared" tunnel --config "$staged/config.yml" ingress validate >/dev/null || fail "cloudflared refuses the config"

last=$(find "$generations" -maxdepth 1 -regex '.*/[0-9]+' -printf '%f\n' | sort --numeric-sort | tail --lines=1)
generation=$((${last:-0} + 1))
sync "$staged"/* "$staged"
mv --no-target-directory "$staged" "$generations/$generation"
sync "$generations"
link "current/config.yml" "$config_dir/config.yml"
link "current/$tunnel.json" "$config_dir/$tunnel.json"
link "generations/$generation" "$config_dir/current"
sync "$config_dir"
echo "installed generation $generation"
