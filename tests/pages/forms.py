"""The commands that no stand-in executes, held against their programs' own words: subcommands, options, and how many arguments. By `--help` of
cloudflared 2026.8.2, Terraform 1.6, wrangler 4 and Vagrant 2."""

# A subcommand: its options, those with a value ending in "=", and the least and the most arguments.
CLOUDFLARED_TUNNEL = "--config= --cred-file= --credentials-file= --edge= --edge-ip-version= --grace-period= --loglevel= --metrics= --no-autoupdate --origincert= --output= --pidfile= --protocol= --region= --retries= --url="
FORMS = {
    "cloudflared": {
        "--version": ("", 0, 0),
        "tunnel login": ("", 0, 0),
        "tunnel run": (f"{CLOUDFLARED_TUNNEL} --token= --token-file= --post-quantum", 0, 1),
        "tunnel create": ("--cred-file= --credentials-file= --output= --secret=", 1, 1),
        "tunnel delete": ("--cred-file= --credentials-file= --force -f", 1, 9),
        "tunnel cleanup": ("--connector-id=", 1, 9),
        "tunnel info": ("--output= --show-recently-disconnected", 1, 1),
        "tunnel list": ("--name= --id= --output= --show-deleted", 0, 0),
        "tunnel ready": ("--metrics=", 0, 0),
        "tunnel route dns": ("--overwrite-dns -f", 2, 2),
        "tunnel ingress validate": ("", 0, 0),
        "tunnel ingress rule": ("", 1, 1),
        "tunnel token": ("--cred-file=", 1, 1),
    },
    "terraform": {
        "init": ("-upgrade -backend-config= -reconfigure", 0, 0),
        "plan": ("-out= -target= -var= -var-file= -replace= -detailed-exitcode -refresh-only", 0, 0),
        "apply": ("-auto-approve -target= -var= -var-file= -replace=", 0, 1),
        "destroy": ("-auto-approve -target= -var= -var-file=", 0, 0),
        "import": ("-var= -var-file=", 2, 2),
        "output": ("-raw -json", 0, 1),
        "show": ("-json", 0, 1),
        "state list": ("-id=", 0, 9),
        "state mv": ("", 2, 2),
        "state pull": ("", 0, 0),
        "state rm": ("-dry-run", 1, 9),
    },
    "wrangler": {
        "hyperdrive create": ("--connection-string= --origin-host= --origin-port= --origin-scheme= --database= --origin-user= --origin-password= --access-client-id= --access-client-secret=", 1, 1),
        "hyperdrive get": ("", 1, 1),
        "hyperdrive list": ("", 0, 0),
        "hyperdrive delete": ("", 1, 1),
    },
    "vagrant": {"up": ("--provider= --provision", 0, 1), "ssh": ("-c= --command=", 0, 1), "destroy": ("-f --force", 0, 1), "provision": ("", 0, 1), "halt": ("", 0, 1), "reload": ("", 0, 1), "rsync": ("", 0, 1)},
}


def wrong(words, is_mention=False):
    """What is wrong with a command, or nothing; what is only mentioned may lack its arguments."""
    program, *given = words
    options, rest, known = [], [], {each for form in FORMS[program].values() for each in form[0].split()}
    if program == "cloudflared":
        known |= set(CLOUDFLARED_TUNNEL.split())
    while given:
        word = given.pop(0)
        name, joined, _ = word.partition("=")
        if not name.startswith("-") or word in FORMS[program]:
            rest.append(word)
        elif name in known and not joined:
            options.append(name)
        elif f"{name}=" in known:
            options.append(f"{name}=")
            if not joined and not given:
                return f"{name} has no value"
            if not joined:
                given.pop(0)
        else:
            return f"{program} has no option {name}"
    for count in range(min(3, len(rest)), 0, -1):
        subcommand = " ".join(rest[:count])
        if subcommand in FORMS[program]:
            return misused(program, subcommand, options, len(rest) - count, is_mention)
    return f"{program} has no {' '.join(rest) or 'call without a subcommand'}"


def misused(program, subcommand, options, arguments, is_mention):
    own, least, most = FORMS[program][subcommand]
    allowed = set(own.split()) | (set(CLOUDFLARED_TUNNEL.split()) if program == "cloudflared" else set())
    for option in options:
        if option not in allowed:
            return f"{program} {subcommand} has no option {option}"
    if not (0 if is_mention else least) <= arguments <= most:
        return f"{program} {subcommand} takes {least} to {most} arguments, not {arguments}"
    return None
