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
  tags                = local.tags

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
  dashboard_name = local.name
  dashboard_body = templatefile("${local.documents}/dashboard.json", local.values)
}
