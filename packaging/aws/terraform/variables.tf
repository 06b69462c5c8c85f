variable "prefix" {
  description = "What all names begin with."
  type        = string
  default     = "adv-cflared"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.prefix))
    error_message = "prefix: a lower-case letter, then up to 31 lower-case letters, digits or hyphens."
  }
}

variable "environment" {
  description = "The environment: dev, stg or prd. It is the value of the tag adv:env, and part of the secret's name, of the metrics' namespaces and of the log groups' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.environment))
    error_message = "environment: a lower-case letter, then up to 31 lower-case letters, digits or hyphens, as the agent takes it."
  }
}

variable "region" {
  description = "The region that the provider is configured for."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: a region's name, such as us-east-1."
  }
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

variable "tunnel_id" {
  description = "The tunnel's UUID. The alarms are on its metrics, so the root that makes the tunnel comes before."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tunnel_id))
    error_message = "tunnel_id: a UUID in lower case."
  }
}

variable "image_id" {
  description = "The first AMI, once: what /adventive/cloudflared/ami-id-latest names when the group is made. Ignored from then on; images come by the promotion."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.image_id))
    error_message = "image_id: the id of an AMI."
  }
}

variable "instance_type" {
  description = "t3.micro in dev and stg, t3.small in prd."
  type        = string
}

variable "min_size" {
  description = "The fewest instances: one a zone."
  type        = number

  validation {
    condition     = var.min_size >= 1
    error_message = "min_size: 1 or more; a tunnel without an instance serves nobody."
  }
}

variable "max_size" {
  description = "The most instances: twice desired_capacity, for a refresh never goes below 100 %."
  type        = number
}

variable "desired_capacity" {
  description = "How many instances are wanted; the alarms compare with it."
  type        = number
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way out by NAT, one a zone: one in dev and stg, two in prd."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "subnet_ids: one subnet or more."
  }
}

variable "database_security_group_ids" {
  description = "The two security groups of the database: 3306 goes out to them and to nothing else."
  type        = list(string)

  validation {
    condition     = length(distinct(var.database_security_group_ids)) == 2
    error_message = "database_security_group_ids: two different security groups."
  }
}

variable "settings" {
  description = "This environment's own settings of the agent, over those of the image: sections as in docs/settings.md. They become /etc/cflared-agent/agent.d/50-environment.yml by the template's user data."
  type        = any
  default     = {}
}

variable "hooks" {
  description = "Whether the group waits for the agent at launch and at termination. Only with an image whose settings name these hooks: with another one every new instance is abandoned after 5 minutes."
  type        = bool
  default     = true
}

variable "own_secret_key" {
  description = "Whether a KMS key of your own encrypts the secret, which the role then may use through Secrets Manager."
  type        = bool
  default     = false
}

variable "commands" {
  description = "Whether this root has the SSM documents, which there are once an account and region: true in one environment's root, the first (dev)."
  type        = bool
  default     = false
}

variable "log_destination_arn" {
  description = "Where the agent's log is sent on to, by a subscription: a Lambda function, or a Kinesis stream with log_destination_role_arn. Empty: nowhere."
  type        = string
  default     = ""
}

variable "log_destination_role_arn" {
  description = "The role by which CloudWatch Logs writes to a stream; empty for a Lambda function."
  type        = string
  default     = ""
}

variable "vpc_endpoints" {
  description = "AWS services that are reached by an interface endpoint in the subnets, and not by NAT: secretsmanager, monitoring, logs, autoscaling, ec2, ssm, ssmmessages, ec2messages. One set a VPC, for their private names are the VPC's: where environments share one, in one root."
  type        = list(string)
  default     = []
}
