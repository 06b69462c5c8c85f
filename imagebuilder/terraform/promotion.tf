# The block-list and the pin are a person's, the others the promotion's: Terraform makes them, and compares no value.
resource "aws_ssm_parameter" "this" {
  for_each = local.parameters

  name        = each.value.Name
  description = each.value.Description
  type        = each.value.Type
  value       = each.value.Value
  tags        = { for tag in each.value.Tags : tag.Key => tag.Value }

  lifecycle {
    ignore_changes = [value]
  }
}

resource "aws_sns_topic" "this" {
  for_each = toset(["page", "warn"])

  name = "${var.prefix}-${each.key}"
  tags = local.tags
}

resource "aws_sfn_state_machine" "rolling_update" {
  name       = local.machine.name
  type       = local.machine.type
  role_arn   = aws_iam_role.this["machine"].arn
  definition = templatefile("${local.inputs}/rolling-update.asl.json", local.values)
  tags       = { for tag in local.machine.tags : tag.key => tag.value }
}

resource "aws_cloudwatch_event_rule" "image_available" {
  name          = local.event_rule.Name
  description   = local.event_rule.Description
  state         = local.event_rule.State
  event_pattern = local.event_rule.EventPattern
  tags          = { for tag in local.event_rule.Tags : tag.Key => tag.Value }
}

resource "aws_cloudwatch_event_target" "rolling_update" {
  rule      = aws_cloudwatch_event_rule.image_available.name
  target_id = local.event_target.Id
  arn       = aws_sfn_state_machine.rolling_update.arn
  role_arn  = aws_iam_role.this["event"].arn

  input_transformer {
    input_paths    = local.event_target.InputTransformer.InputPathsMap
    input_template = local.event_target.InputTransformer.InputTemplate
  }

  retry_policy {
    maximum_retry_attempts       = local.event_target.RetryPolicy.MaximumRetryAttempts
    maximum_event_age_in_seconds = local.event_target.RetryPolicy.MaximumEventAgeInSeconds
  }
}

resource "aws_scheduler_schedule" "this" {
  for_each = local.schedules

  name                         = each.value.Name
  description                  = each.value.Description
  schedule_expression          = each.value.ScheduleExpression
  schedule_expression_timezone = each.value.ScheduleExpressionTimezone
  state                        = each.value.State

  flexible_time_window {
    mode = each.value.FlexibleTimeWindow.Mode
  }

  target {
    arn      = aws_sfn_state_machine.rolling_update.arn
    role_arn = aws_iam_role.this["schedule"].arn
    input    = each.value.Target.Input

    retry_policy {
      maximum_retry_attempts       = each.value.Target.RetryPolicy.MaximumRetryAttempts
      maximum_event_age_in_seconds = each.value.Target.RetryPolicy.MaximumEventAgeInSeconds
    }
  }
}
