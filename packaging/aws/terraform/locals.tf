# Every document is taken as it is, by templatefile() and jsondecode(): the same that `render` fills in, with the same names.
locals {
  documents = "${path.module}/.."
  name      = "${var.prefix}-${var.environment}"
  runtime   = "${var.prefix}-runtime-${var.environment}"

  tags = {
    "adv:env"     = var.environment
    "adv:owner"   = var.owner
    "adv:project" = var.prefix
    "OwnedBy"     = var.owned_by
  }

  # What is known before anything is made. A resource's own attribute is used where the resource is, not through a document.
  values = {
    prefix                       = var.prefix
    environment                  = var.environment
    region                       = var.region
    account                      = var.account
    owner                        = var.owner
    owned_by                     = var.owned_by
    tunnel_id                    = var.tunnel_id
    image_id                     = var.image_id
    instance_type                = var.instance_type
    min_size                     = var.min_size
    max_size                     = var.max_size
    desired_capacity             = var.desired_capacity
    vpc_id                       = var.vpc_id
    subnet_ids                   = join(",", var.subnet_ids)
    database_security_group_id_1 = var.database_security_group_ids[0]
    database_security_group_id_2 = var.database_security_group_ids[1]
    user_data                    = base64encode(local.user_data)
    # Left to the resources that make them.
    security_group_id       = ""
    launch_template_version = ""
  }

  # JSON is YAML, so cloud-init and the agent read both. cloud-init writes files before sysinit.target, which the agent comes after.
  cloud_config = jsonencode({
    write_files = [{
      path        = "/etc/cflared-agent/agent.d/50-environment.yml"
      permissions = "0644"
      content     = jsonencode(var.settings)
    }]
  })

  user_data = "#cloud-config\n${local.cloud_config}\n"

  security_group = jsondecode(templatefile("${local.documents}/network/security-group.json", local.values))
  egress         = jsondecode(templatefile("${local.documents}/network/egress.json", local.values)).IpPermissions
  template       = jsondecode(templatefile("${local.documents}/group/launch-template.json", local.values))
  group          = jsondecode(templatefile("${local.documents}/group/group.json", local.values))
  metrics        = jsondecode(templatefile("${local.documents}/group/metrics.json", local.values))

  hooks = {
    for path in fileset("${local.documents}/hooks", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.documents}/hooks/${path}", local.values))
  }
  alarms = {
    for path in fileset("${local.documents}/alarms", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.documents}/alarms/${path}", local.values))
  }
  log_groups = {
    for path in fileset("${local.documents}/logs/groups", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.documents}/logs/groups/${path}", local.values))
  }
  retention = {
    for path in fileset("${local.documents}/logs/retention", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.documents}/logs/retention/${path}", local.values))
  }
}
