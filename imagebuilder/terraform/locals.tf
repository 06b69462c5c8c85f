# Every document is taken as it is, by templatefile() and jsondecode(): the same that `render` fills in, with the same names.
locals {
  here   = "${path.module}/.."
  inputs = "${path.module}/../inputs"

  tags = {
    "adv:env"     = "shared"
    "adv:owner"   = var.owner
    "adv:project" = var.prefix
    "adv:image"   = "${var.prefix}-recipe"
    "OwnedBy"     = var.owned_by
  }

  values = {
    prefix                      = var.prefix
    region                      = var.region
    dr_region                   = var.dr_region
    account                     = var.account
    owner                       = var.owner
    owned_by                    = var.owned_by
    recipe_version              = var.image_version
    component_version           = var.image_version
    vpc_id                      = var.vpc_id
    builder_subnet_id           = var.builder_subnet_id
    agent_package               = var.agent_package
    agent_package_sha256        = var.agent_package_sha256
    agent_settings              = base64encode(jsonencode(var.agent_settings))
    cloudwatch_package_sha256   = var.cloudwatch_package_sha256
    cloudwatch_settings_sha256  = var.cloudwatch_settings_sha256
    cloudflared_key_fingerprint = var.cloudflared_key_fingerprint
    # Left to the resource that makes it.
    builder_security_group_id = ""
  }

  # With what is known only then.
  made = merge(local.values, { builder_security_group_id = aws_security_group.builder.id })

  # By whom each role is taken on.
  roles = {
    builder   = "ec2"
    pipeline  = "imagebuilder"
    lifecycle = "imagebuilder"
    event     = "events"
    schedule  = "scheduler"
    machine   = "states"
  }

  components = {
    for name in ["base", "cloudflared", "cloudwatch-agent", "ssm-agent", "agent"] :
    name => jsondecode(templatefile("${local.inputs}/component-${name}.json", local.values))
  }
  recipe         = jsondecode(templatefile("${local.inputs}/recipe.json", local.values))
  infrastructure = jsondecode(templatefile("${local.inputs}/infrastructure.json", local.values))
  distribution   = jsondecode(templatefile("${local.inputs}/distribution.json", local.values))
  pipeline       = jsondecode(templatefile("${local.inputs}/pipeline.json", local.values))
  keep           = jsondecode(templatefile("${local.inputs}/lifecycle-policy.json", local.values))
  machine        = jsondecode(templatefile("${local.inputs}/machine.json", local.values))
  event_rule     = jsondecode(templatefile("${local.inputs}/event-rule.json", local.values))
  event_target   = jsondecode(templatefile("${local.inputs}/event-targets.json", local.values)).Targets[0]
  security_group = jsondecode(templatefile("${local.here}/network/security-group.json", local.values))
  egress         = jsondecode(templatefile("${local.here}/network/egress.json", local.values)).IpPermissions

  schedules = {
    for path in fileset(local.inputs, "schedule-*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.inputs}/${path}", local.values))
  }
  parameters = {
    for path in fileset("${local.here}/parameters", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.here}/parameters/${path}", local.values))
  }
}
