output "pipeline_arn" {
  description = "What an urgent build starts."
  value       = aws_imagebuilder_image_pipeline.this.arn
}

output "state_machine_arn" {
  description = "What an urgent promotion, or the way back, starts."
  value       = aws_sfn_state_machine.rolling_update.arn
}

output "topic_arns" {
  description = "The topics that the alarms and the promotion publish to; subscribing to them is yours."
  value       = { for name, topic in aws_sns_topic.this : name => topic.arn }
}

output "builder_security_group_id" {
  description = "The security group of build and test instances."
  value       = aws_security_group.builder.id
}
