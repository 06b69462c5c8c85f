# Terraform makes the first version. The promotion derives the next ones from the version that the group runs, each with another AMI, and
# moves the default; so neither is compared. What is changed here becomes a version that nobody runs: docs/terraform.md has the way on.
resource "aws_launch_template" "runtime" {
  name                   = local.template.LaunchTemplateName
  description            = local.template.VersionDescription
  image_id               = local.template.LaunchTemplateData.ImageId
  instance_type          = local.template.LaunchTemplateData.InstanceType
  vpc_security_group_ids = [aws_security_group.runtime.id]
  user_data              = local.template.LaunchTemplateData.UserData
  update_default_version = false
  tags                   = { for tag in local.template.TagSpecifications[0].Tags : tag.Key => tag.Value }

  iam_instance_profile {
    name = aws_iam_instance_profile.runtime.name
  }

  metadata_options {
    http_endpoint               = local.template.LaunchTemplateData.MetadataOptions.HttpEndpoint
    http_tokens                 = local.template.LaunchTemplateData.MetadataOptions.HttpTokens
    http_put_response_hop_limit = local.template.LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit
    instance_metadata_tags      = local.template.LaunchTemplateData.MetadataOptions.InstanceMetadataTags
  }

  dynamic "tag_specifications" {
    for_each = local.template.LaunchTemplateData.TagSpecifications
    content {
      resource_type = tag_specifications.value.ResourceType
      tags          = { for tag in tag_specifications.value.Tags : tag.Key => tag.Value }
    }
  }

  lifecycle {
    ignore_changes = [image_id, description, default_version]
  }
}

# No instance_refresh: with one, an apply that changes the group would replace instances past the gate.
resource "aws_autoscaling_group" "runtime" {
  name                      = local.group.AutoScalingGroupName
  min_size                  = tonumber(local.group.MinSize)
  max_size                  = tonumber(local.group.MaxSize)
  desired_capacity          = tonumber(local.group.DesiredCapacity)
  vpc_zone_identifier       = split(",", local.group.VPCZoneIdentifier)
  health_check_type         = local.group.HealthCheckType
  health_check_grace_period = local.group.HealthCheckGracePeriod
  default_instance_warmup   = local.group.DefaultInstanceWarmup
  metrics_granularity       = local.metrics.Granularity
  enabled_metrics           = local.metrics.Metrics
  # An apply does not wait for the tunnel, which the launch hook does.
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.runtime.id
    version = aws_launch_template.runtime.latest_version
  }

  instance_maintenance_policy {
    min_healthy_percentage = local.group.InstanceMaintenancePolicy.MinHealthyPercentage
    max_healthy_percentage = local.group.InstanceMaintenancePolicy.MaxHealthyPercentage
  }

  dynamic "tag" {
    for_each = local.group.Tags
    content {
      key                 = tag.value.Key
      value               = tag.value.Value
      propagate_at_launch = tag.value.PropagateAtLaunch
    }
  }

  lifecycle {
    ignore_changes = [launch_template[0].version]
  }

  # An instance is to find its rights when it boots.
  depends_on = [
    aws_iam_role_policy.runtime,
    aws_iam_role_policy_attachment.ssm,
    aws_vpc_security_group_egress_rule.runtime,
    aws_cloudwatch_log_group.this,
  ]
}

resource "aws_autoscaling_lifecycle_hook" "this" {
  for_each = var.hooks ? local.hooks : {}

  autoscaling_group_name = aws_autoscaling_group.runtime.name
  name                   = each.value.LifecycleHookName
  lifecycle_transition   = each.value.LifecycleTransition
  heartbeat_timeout      = each.value.HeartbeatTimeout
  default_result         = each.value.DefaultResult
}
