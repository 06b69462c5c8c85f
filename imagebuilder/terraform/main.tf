# How Terraform uses these files: each document as it is, by templatefile() and jsondecode(). An excerpt to build on, not a module:
# roles, network and the other components follow the same pattern.

locals {
  inputs = "${path.module}/../inputs"

  # The names of packaging/aws/values.example; those that a resource of yours makes are its attributes.
  values = {
    prefix                    = var.prefix
    region                    = var.region
    account                   = var.account
    owner                     = var.owner
    owned_by                  = var.owned_by
    component_version         = var.component_version
    builder_subnet_id         = var.builder_subnet_id
    builder_security_group_id = var.builder_security_group_id
  }

  component      = jsondecode(templatefile("${local.inputs}/component-agent.json", local.values))
  infrastructure = jsondecode(templatefile("${local.inputs}/infrastructure.json", local.values))
  machine        = jsondecode(templatefile("${local.inputs}/machine.json", local.values))
  event_rule     = jsondecode(templatefile("${local.inputs}/event-rule.json", local.values))
}

resource "aws_imagebuilder_component" "agent" {
  name                  = local.component.name
  version               = local.component.semanticVersion
  platform              = local.component.platform
  supported_os_versions = local.component.supportedOsVersions
  data                  = templatefile("${path.module}/../components/agent.yml", local.values)
  skip_destroy          = true

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_imagebuilder_infrastructure_configuration" "this" {
  name                          = local.infrastructure.name
  instance_profile_name         = local.infrastructure.instanceProfileName
  instance_types                = local.infrastructure.instanceTypes
  subnet_id                     = local.infrastructure.subnetId
  security_group_ids            = local.infrastructure.securityGroupIds
  terminate_instance_on_failure = local.infrastructure.terminateInstanceOnFailure

  instance_metadata_options {
    http_tokens                 = local.infrastructure.instanceMetadataOptions.httpTokens
    http_put_response_hop_limit = local.infrastructure.instanceMetadataOptions.httpPutResponseHopLimit
  }
}

resource "aws_sfn_state_machine" "rolling_update" {
  name       = local.machine.name
  role_arn   = local.machine.roleArn
  definition = templatefile("${path.module}/../inputs/rolling-update.asl.json", local.values)
}

resource "aws_cloudwatch_event_rule" "image_available" {
  name          = local.event_rule.Name
  description   = local.event_rule.Description
  event_pattern = local.event_rule.EventPattern
}
