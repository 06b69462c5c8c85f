# A version that was made stays in the account: recipes of images refer to it.
resource "aws_imagebuilder_component" "this" {
  for_each = local.components

  name                  = each.value.name
  version               = each.value.semanticVersion
  description           = each.value.description
  platform              = each.value.platform
  supported_os_versions = each.value.supportedOsVersions
  data                  = templatefile("${local.here}/components/${each.key}.yml", local.values)
  skip_destroy          = true
  tags                  = each.value.tags

  lifecycle {
    create_before_destroy = true
  }
}

# One a version. A version that exists is not compared with anything: it is immutable, and cannot be deleted while an image refers to it.
resource "aws_imagebuilder_image_recipe" "this" {
  for_each = toset(concat([var.image_version], var.kept_recipe_versions))

  name              = local.recipe.name
  version           = each.key
  description       = local.recipe.description
  parent_image      = local.recipe.parentImage
  working_directory = local.recipe.workingDirectory
  tags              = local.recipe.tags

  # In the recipe's order.
  dynamic "component" {
    for_each = local.recipe.components
    content {
      component_arn = component.value.componentArn

      dynamic "parameter" {
        for_each = try(component.value.parameters, [])
        content {
          name  = parameter.value.name
          value = parameter.value.value[0]
        }
      }
    }
  }

  dynamic "block_device_mapping" {
    for_each = local.recipe.blockDeviceMappings
    content {
      device_name = block_device_mapping.value.deviceName

      ebs {
        encrypted             = block_device_mapping.value.ebs.encrypted
        delete_on_termination = block_device_mapping.value.ebs.deleteOnTermination
        volume_size           = block_device_mapping.value.ebs.volumeSize
        volume_type           = block_device_mapping.value.ebs.volumeType
      }
    }
  }

  systems_manager_agent {
    uninstall_after_build = local.recipe.additionalInstanceConfiguration.systemsManagerAgent.uninstallAfterBuild
  }

  lifecycle {
    create_before_destroy = true
    ignore_changes        = all
  }

  # It names their versions, and not these resources.
  depends_on = [aws_imagebuilder_component.this]
}
