# A variant: AWS by interface endpoints in the subnets. Cloudflare's edge still needs the way out by NAT.
resource "aws_security_group" "endpoints" {
  for_each = toset(length(var.vpc_endpoints) == 0 ? [] : ["endpoints"])

  name        = "${local.runtime}-endpoints"
  description = "Endpoints of AWS services: 443 in from the tunnel instances of ${var.environment}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${local.runtime}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = aws_security_group.endpoints

  security_group_id            = each.value.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.runtime.id
  description                  = "Tunnel instances"
}

resource "aws_vpc_endpoint" "this" {
  for_each = toset(var.vpc_endpoints)

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.subnet_ids
  security_group_ids  = [for group in aws_security_group.endpoints : group.id]
  tags                = merge(local.tags, { Name = "${local.name}-${each.key}" })
}
