# Nothing in. Terraform takes away the rule that lets everything out, which EC2 makes.
resource "aws_security_group" "runtime" {
  name        = local.security_group.GroupName
  description = local.security_group.Description
  vpc_id      = local.security_group.VpcId
  tags        = { for tag in local.security_group.TagSpecifications[0].Tags : tag.Key => tag.Value }

  lifecycle {
    # It cannot be changed: a group that was adopted with another one would be replaced, under the instances that are in it.
    ignore_changes = [description]
  }
}

# A rule of its own for each destination, by protocol, port and destination.
resource "aws_vpc_security_group_egress_rule" "runtime" {
  for_each = merge(
    {
      for rule in flatten([
        for permission in local.egress : [
          for range in try(permission.IpRanges, []) : { permission = permission, to = range }
        ]
      ]) : "${rule.permission.IpProtocol}-${rule.permission.FromPort}-ipv4" => rule
    },
    {
      for rule in flatten([
        for permission in local.egress : [
          for range in try(permission.Ipv6Ranges, []) : { permission = permission, to = range }
        ]
      ]) : "${rule.permission.IpProtocol}-${rule.permission.FromPort}-ipv6" => rule
    },
    {
      for rule in flatten([
        for permission in local.egress : [
          for number, pair in try(permission.UserIdGroupPairs, []) : { permission = permission, to = pair, number = number }
        ]
      ]) : "${rule.permission.IpProtocol}-${rule.permission.FromPort}-group-${rule.number}" => rule
    },
  )

  security_group_id            = aws_security_group.runtime.id
  ip_protocol                  = each.value.permission.IpProtocol
  from_port                    = each.value.permission.FromPort
  to_port                      = each.value.permission.ToPort
  cidr_ipv4                    = try(each.value.to.CidrIp, null)
  cidr_ipv6                    = try(each.value.to.CidrIpv6, null)
  referenced_security_group_id = try(each.value.to.GroupId, null)
  description                  = each.value.to.Description
}
