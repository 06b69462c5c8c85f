resource "aws_iam_role" "runtime" {
  name               = local.runtime
  assume_role_policy = file("${local.documents}/iam/trust.json")
  tags               = local.tags
}

resource "aws_iam_role_policy" "runtime" {
  for_each = toset(var.own_secret_key ? ["agent", "agent-kms", "host", "report"] : ["agent", "host", "report"])

  name   = each.key
  role   = aws_iam_role.runtime.name
  policy = templatefile("${local.documents}/iam/${each.key}.json", local.values)
}

# Session Manager and Run Command, which are the only way in.
resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.runtime.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "runtime" {
  name = local.runtime
  role = aws_iam_role.runtime.name
  tags = local.tags
}
