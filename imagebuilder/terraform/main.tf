# How Terraform uses these files: each input as it is, by file() and jsondecode(). An excerpt to build on, not a module:
# roles, network and the other components follow the same pattern.

locals {
  inputs = "${path.module}/../inputs"

  component      = jsondecode(file("${local.inputs}/component-cflared-agent.json"))
  infrastructure = jsondecode(file("${local.inputs}/infrastructure.json"))
  event_rule     = jsondecode(file("${local.inputs}/event-rule.json"))
}

# Components and recipes are immutable per version, and an old one cannot go while an image refers to it.
resource "aws_imagebuilder_component" "agent" {
  name                  = local.component.name
  version               = local.component.semanticVersion
  platform              = local.component.platform
  supported_os_versions = local.component.supportedOsVersions
  data                  = file("${path.module}/../components/cflared-agent.yml")
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

resource "aws_cloudwatch_event_rule" "image_available" {
  name          = local.event_rule.Name
  description   = local.event_rule.Description
  event_pattern = local.event_rule.EventPattern
}
