resource "aws_ssm_document" "this" {
  for_each = toset(var.commands ? ["doctor", "fleet", "report"] : [])

  name            = "${var.prefix}-${each.key}"
  document_type   = "Command"
  document_format = "YAML"
  content         = file("${local.documents}/ssm/${each.key}.yml")
  tags            = local.tags
}
