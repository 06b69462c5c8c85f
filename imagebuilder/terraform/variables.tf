variable "prefix" {
  description = "What all names begin with."
  type        = string
  default     = "adv-cflared"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.prefix))
    error_message = "prefix: a lower-case letter, then up to 31 lower-case letters, digits or hyphens."
  }
}

variable "region" {
  description = "The region that the provider is configured for: where images are built."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: a region's name, such as us-east-1."
  }
}

variable "dr_region" {
  description = "The second region that gets each image, for disaster recovery."
  type        = string
  default     = "us-west-2"
}

variable "account" {
  description = "The account's number."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "account: 12 digits."
  }
}

variable "owner" {
  description = "The tag adv:owner: the team that is asked."
  type        = string
}

variable "owned_by" {
  description = "The tag OwnedBy."
  type        = string
}

variable "image_version" {
  description = "The version of the recipe and of every component. They are immutable: any change below imagebuilder/, or of a value that they take, wants a new one. The account's go on from 1.0.2."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+[.][0-9]+$", var.image_version))
    error_message = "image_version: three numbers, such as 1.0.3."
  }
}

variable "kept_recipe_versions" {
  description = "Earlier versions of the recipe that images still refer to: AWS deletes none of these. Take one off the list when its last image is gone."
  type        = list(string)
  default     = []
}

variable "vpc_id" {
  description = "The VPC of the builder's subnet."
  type        = string
}

variable "builder_subnet_id" {
  description = "The subnet of build and test instances, with a way out."
  type        = string
}

variable "agent_package" {
  description = "The agent's package in the bucket, below cflared/."
  type        = string
}

variable "agent_package_sha256" {
  description = "Its SHA-256, from the release's SHA256SUMS."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.agent_package_sha256))
    error_message = "agent_package_sha256: 64 hexadecimal digits."
  }
}

variable "agent_settings" {
  description = "The agent's settings in the image, for every environment: sections as in docs/settings.md. They become /etc/cflared-agent/agent.d/10-image.yml; an environment's own come over them."
  type        = any
  default     = {}
}

variable "cloudwatch_package_sha256" {
  description = "The SHA-256 of the CloudWatch agent's package."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.cloudwatch_package_sha256))
    error_message = "cloudwatch_package_sha256: 64 hexadecimal digits."
  }
}

variable "cloudwatch_settings_sha256" {
  description = "The SHA-256 of imagebuilder/cloudwatch-agent.json as it is in the bucket."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.cloudwatch_settings_sha256))
    error_message = "cloudwatch_settings_sha256: 64 hexadecimal digits."
  }
}

variable "cloudflared_key_fingerprint" {
  description = "The fingerprint of the key of Cloudflare's apt repository, from Cloudflare by another way than the key: 40 hexadecimal digits in capitals."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{40}$", var.cloudflared_key_fingerprint))
    error_message = "cloudflared_key_fingerprint: 40 hexadecimal digits in capitals."
  }
}
