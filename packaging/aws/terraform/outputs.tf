output "autoscaling_group_name" {
  description = "The group, which the promotion refreshes."
  value       = aws_autoscaling_group.runtime.name
}

output "launch_template_id" {
  description = "The template, whose versions the promotion derives."
  value       = aws_launch_template.runtime.id
}

output "role_arn" {
  description = "The instances' role."
  value       = aws_iam_role.runtime.arn
}

output "security_group_id" {
  description = "The instances' security group: the database's groups let 3306 in from it."
  value       = aws_security_group.runtime.id
}

output "log_group_names" {
  description = "The log groups, by what writes to them."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}

output "template_version" {
  description = "The version of the template that the last apply made, if it changed anything. Not what the group runs."
  value       = aws_launch_template.runtime.latest_version
}
