resource "aws_imagebuilder_infrastructure_configuration" "this" {
  name                          = local.infrastructure.name
  description                   = local.infrastructure.description
  instance_profile_name         = aws_iam_instance_profile.builder.name
  instance_types                = local.infrastructure.instanceTypes
  subnet_id                     = local.infrastructure.subnetId
  security_group_ids            = [aws_security_group.builder.id]
  terminate_instance_on_failure = local.infrastructure.terminateInstanceOnFailure
  resource_tags                 = local.infrastructure.resourceTags
  tags                          = local.infrastructure.tags

  logging {
    s3_logs {
      s3_bucket_name = local.infrastructure.logging.s3Logs.s3BucketName
      s3_key_prefix  = local.infrastructure.logging.s3Logs.s3KeyPrefix
    }
  }

  instance_metadata_options {
    http_tokens                 = local.infrastructure.instanceMetadataOptions.httpTokens
    http_put_response_hop_limit = local.infrastructure.instanceMetadataOptions.httpPutResponseHopLimit
  }
}

resource "aws_imagebuilder_distribution_configuration" "this" {
  name        = local.distribution.name
  description = local.distribution.description
  tags        = local.distribution.tags

  dynamic "distribution" {
    for_each = local.distribution.distributions
    content {
      region = distribution.value.region

      ami_distribution_configuration {
        name        = distribution.value.amiDistributionConfiguration.name
        description = distribution.value.amiDistributionConfiguration.description
        ami_tags    = distribution.value.amiDistributionConfiguration.amiTags
      }

      dynamic "ssm_parameter_configuration" {
        for_each = distribution.value.ssmParameterConfigurations
        content {
          parameter_name = ssm_parameter_configuration.value.parameterName
          data_type      = ssm_parameter_configuration.value.dataType
        }
      }
    }
  }
}

resource "aws_imagebuilder_image_pipeline" "this" {
  name                             = local.pipeline.name
  description                      = local.pipeline.description
  image_recipe_arn                 = aws_imagebuilder_image_recipe.this[var.image_version].arn
  infrastructure_configuration_arn = aws_imagebuilder_infrastructure_configuration.this.arn
  distribution_configuration_arn   = aws_imagebuilder_distribution_configuration.this.arn
  execution_role                   = aws_iam_role.this["pipeline"].arn
  enhanced_image_metadata_enabled  = local.pipeline.enhancedImageMetadataEnabled
  status                           = local.pipeline.status
  tags                             = local.pipeline.tags

  image_tests_configuration {
    image_tests_enabled = local.pipeline.imageTestsConfiguration.imageTestsEnabled
    timeout_minutes     = local.pipeline.imageTestsConfiguration.timeoutMinutes
  }

  schedule {
    schedule_expression                = local.pipeline.schedule.scheduleExpression
    timezone                           = local.pipeline.schedule.timezone
    pipeline_execution_start_condition = local.pipeline.schedule.pipelineExecutionStartCondition
  }

  # A build that begins at once is to find its rights.
  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy_attachment.builder, aws_ssm_parameter.this]
}

resource "aws_imagebuilder_lifecycle_policy" "this" {
  name           = local.keep.name
  description    = local.keep.description
  status         = local.keep.status
  execution_role = aws_iam_role.this["lifecycle"].arn
  resource_type  = local.keep.resourceType
  tags           = local.keep.tags

  dynamic "policy_detail" {
    for_each = local.keep.policyDetails
    content {
      action {
        type = policy_detail.value.action.type

        include_resources {
          amis      = policy_detail.value.action.includeResources.amis
          snapshots = policy_detail.value.action.includeResources.snapshots
        }
      }

      filter {
        type  = policy_detail.value.filter.type
        value = policy_detail.value.filter.value
      }

      exclusion_rules {
        amis {
          last_launched {
            unit  = policy_detail.value.exclusionRules.amis.lastLaunched.unit
            value = policy_detail.value.exclusionRules.amis.lastLaunched.value
          }
        }
      }
    }
  }

  resource_selection {
    dynamic "recipe" {
      for_each = local.keep.resourceSelection.recipes
      content {
        name             = recipe.value.name
        semantic_version = recipe.value.semanticVersion
      }
    }
  }
}
