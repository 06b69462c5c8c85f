terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.97 lacks ssm_parameter_configuration of a distribution.
      version = ">= 5.98, < 6"
    }
  }
}
