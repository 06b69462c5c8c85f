# The role may write these two, and make none.
resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_groups

  name              = each.value.logGroupName
  retention_in_days = local.retention[each.key].retentionInDays
  tags              = each.value.tags
}

resource "aws_cloudwatch_log_subscription_filter" "agent" {
  for_each = toset(var.log_destination_arn == "" ? [] : ["agent"])

  name            = local.name
  log_group_name  = aws_cloudwatch_log_group.this[each.key].name
  destination_arn = var.log_destination_arn
  role_arn        = var.log_destination_role_arn == "" ? null : var.log_destination_role_arn
  filter_pattern  = ""
}
