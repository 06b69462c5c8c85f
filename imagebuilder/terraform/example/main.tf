# The account's part, once, before the environments. All values are made up.
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
    key    = "infra/imagebuilder/terraform.tfstate"
    region = "us-east-1"
  }
}

provider "aws" {
  region = "us-east-1"
}

module "image" {
  source = "../"

  region        = "us-east-1"
  account       = "123456789012"
  owner         = "platform"
  owned_by      = "platform"
  image_version = "1.0.3"

  vpc_id            = "vpc-0123456789abcdef0"
  builder_subnet_id = "subnet-0123456789abcdef2"

  agent_package               = "cflared-agent_0.1.0_amd64.deb"
  agent_package_sha256        = "0000000000000000000000000000000000000000000000000000000000000000"
  cloudwatch_package_sha256   = "0000000000000000000000000000000000000000000000000000000000000000"
  cloudwatch_settings_sha256  = "0000000000000000000000000000000000000000000000000000000000000000"
  cloudflared_key_fingerprint = "0000000000000000000000000000000000000000"

  # For every environment; the modules of the environments make these hooks.
  agent_settings = {
    lifecycle = {
      launch_hook    = "adv-cflared-launch"
      terminate_hook = "adv-cflared-terminate"
    }
    validate = {
      min_cloudflared = "2026.8.2"
    }
  }
}
