# One environment. All values are made up.
terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.98, < 6"
    }
  }

  backend "s3" {
    bucket = "adventive-terraform-state"
    key    = "infra/cflared-asg/dev/terraform.tfstate"
    region = "us-east-1"
  }
}

provider "aws" {
  region = "us-east-1"
}

# The first AMI, once: the group's template ignores it afterwards.
data "aws_ssm_parameter" "image" {
  name = "/adventive/cloudflared/ami-id-latest"
}

module "tunnel" {
  source = "../../"

  environment = "dev"
  region      = "us-east-1"
  account     = "123456789012"
  owner       = "platform"
  owned_by    = "platform"
  tunnel_id   = "6ff42ae2-765d-4adf-8112-31c55c1551e0"
  image_id    = data.aws_ssm_parameter.image.insecure_value

  instance_type    = "t3.micro"
  min_size         = 1
  max_size         = 2
  desired_capacity = 1

  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0123456789abcdef0"]
  database_security_group_ids = ["sg-0123456789abcdef1", "sg-0123456789abcdef3"]

  # The SSM documents are the account's; the first environment has them.
  commands = true
}

output "template_version" {
  description = "The template's version that the last apply made; what the group runs is the promotion's."
  value       = module.tunnel.template_version
}
