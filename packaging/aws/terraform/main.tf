# How Terraform uses these files: each document as it is, by templatefile() and jsondecode(). An excerpt to build on, not a
# module: the security group, the launch template and the group follow the same pattern.

locals {
  documents = "${path.module}/.."

  # The names of values.example; those that a resource of yours makes are its attributes.
  values = {
    prefix      = var.prefix
    environment = var.environment
    region      = var.region
    account     = var.account
    tunnel_id   = var.tunnel_id
  }

  alarms = {
    for path in fileset("${local.documents}/alarms", "*.json") :
    trimsuffix(path, ".json") => jsondecode(templatefile("${local.documents}/alarms/${path}", local.values))
  }
  launch_hook = jsondecode(templatefile("${local.documents}/hooks/launch.json", local.values))
}

resource "aws_iam_role" "tunnel" {
  name               = "${var.prefix}-runtime-${var.environment}"
  assume_role_policy = file("${local.documents}/iam/trust.json")
}

resource "aws_iam_role_policy" "agent" {
  role   = aws_iam_role.tunnel.id
  policy = templatefile("${local.documents}/iam/agent.json", local.values)
}

resource "aws_iam_role_policy" "host" {
  role   = aws_iam_role.tunnel.id
  policy = templatefile("${local.documents}/iam/host.json", local.values)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = each.value.AlarmName
  alarm_description   = each.value.AlarmDescription
  alarm_actions       = each.value.AlarmActions
  ok_actions          = each.value.OKActions
  evaluation_periods  = each.value.EvaluationPeriods
  datapoints_to_alarm = each.value.DatapointsToAlarm
  comparison_operator = each.value.ComparisonOperator
  threshold           = each.value.Threshold
  treat_missing_data  = each.value.TreatMissingData

  # An alarm is on one metric, or on an expression of several.
  namespace   = try(each.value.Namespace, null)
  metric_name = try(each.value.MetricName, null)
  dimensions  = try({ for pair in each.value.Dimensions : pair.Name => pair.Value }, null)
  statistic   = try(each.value.Statistic, null)
  period      = try(each.value.Period, null)

  dynamic "metric_query" {
    for_each = try(each.value.Metrics, [])
    content {
      id          = metric_query.value.Id
      expression  = try(metric_query.value.Expression, null)
      period      = try(metric_query.value.Period, null)
      label       = try(metric_query.value.Label, null)
      return_data = metric_query.value.ReturnData

      dynamic "metric" {
        for_each = try([metric_query.value.MetricStat], [])
        content {
          namespace   = metric.value.Metric.Namespace
          metric_name = metric.value.Metric.MetricName
          dimensions  = { for pair in metric.value.Metric.Dimensions : pair.Name => pair.Value }
          period      = metric.value.Period
          stat        = metric.value.Stat
        }
      }
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.prefix}-${var.environment}"
  dashboard_body = templatefile("${local.documents}/dashboard.json", local.values)
}

resource "aws_ssm_document" "fleet" {
  name            = "${var.prefix}-fleet"
  document_type   = "Command"
  document_format = "YAML"
  content         = file("${local.documents}/ssm/fleet.yml")
}

resource "aws_autoscaling_lifecycle_hook" "launch" {
  autoscaling_group_name = local.launch_hook.AutoScalingGroupName
  name                   = local.launch_hook.LifecycleHookName
  lifecycle_transition   = local.launch_hook.LifecycleTransition
  heartbeat_timeout      = local.launch_hook.HeartbeatTimeout
  default_result         = local.launch_hook.DefaultResult
}
