"""What AWS makes known of a resource once it is there, as far as the modules ask: ids and ARNs of their documented forms."""


class Answers:
    """Of one account and region. `made` gives the ids that AWS invents, by address."""

    def __init__(self, region, account, made):
        self.region, self.account, self.made = region, account, made

    def __call__(self, resource, name):
        invented = self.made.get(f"{resource.address}.{name}")
        if invented is not None:
            return invented
        form = FORMS.get((resource.type, name))
        if form is None:
            return None
        return form.format(region=self.region, account=self.account, **resource.values.attributes)


BUILDER = "arn:aws:imagebuilder:{region}:{account}"
FORMS = {
    ("aws_iam_role", "arn"): "arn:aws:iam::{account}:role/{name}",
    ("aws_imagebuilder_image_recipe", "arn"): BUILDER + ":image-recipe/{name}/{version}",
    ("aws_imagebuilder_infrastructure_configuration", "arn"): BUILDER + ":infrastructure-configuration/{name}",
    ("aws_imagebuilder_distribution_configuration", "arn"): BUILDER + ":distribution-configuration/{name}",
    ("aws_imagebuilder_image_pipeline", "arn"): BUILDER + ":image-pipeline/{name}",
    ("aws_sfn_state_machine", "arn"): "arn:aws:states:{region}:{account}:stateMachine:{name}",
    ("aws_sns_topic", "arn"): "arn:aws:sns:{region}:{account}:{name}",
    ("aws_autoscaling_group", "arn"): "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:x:autoScalingGroupName/{name}",
    ("aws_launch_template", "latest_version"): "1",
}
