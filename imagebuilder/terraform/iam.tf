resource "aws_iam_role" "this" {
  for_each = local.roles

  name               = "${var.prefix}-${each.key}"
  assume_role_policy = templatefile("${local.here}/iam/trust-${each.value}.json", local.values)
  tags               = local.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.this[each.key].name
  policy = templatefile("${local.here}/iam/${each.key}.json", local.made)
}

# Image Builder reaches its instances by Systems Manager.
resource "aws_iam_role_policy_attachment" "builder" {
  role       = aws_iam_role.this["builder"].name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "builder" {
  name = "${var.prefix}-builder"
  role = aws_iam_role.this["builder"].name
  tags = local.tags
}
