"""What a call needs to be allowed: for each operation that a role of ours makes, its actions with their resources and what conditions
see. By the service authorization reference; an operation that is not listed is denied to every role."""

# "Launch template support" of the EC2 Auto Scaling user guide: who names a launch template must be allowed what its instances will be.
IN_LAUNCH = ["instance", "volume", "network-interface", "subnet", "security-group", "launch-template"]


def arn(account, service, region, rest):
    return f"arn:aws:{service}:{region}:{account.number}:{rest}"


def anything(action):
    return lambda account, region, given: [(action, "*", {})]


def parameter(action):
    def needs(account, region, given):
        return [(action, arn(account, "ssm", region, f"parameter{given['Name']}"), {})]

    return needs


def image(action):
    return lambda account, region, given: [(action, given["imageBuildVersionArn"], {})]


def template(action):
    def needs(account, region, given):
        name = given["LaunchTemplateId"]
        tags = account.tags(name, region)
        context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
        return [(action, arn(account, "ec2", region, f"launch-template/{name}"), context)]

    return needs


def group(action):
    return lambda account, region, given: [(action, account.group(given["AutoScalingGroupName"], region)["AutoScalingGroupARN"], {})]


def refresh(account, region, given):
    chosen = given["DesiredConfiguration"]["LaunchTemplate"]
    data = account.launch_template_data(chosen["LaunchTemplateId"], chosen["Version"], region)
    of = arn(account, "ec2", region, f"launch-template/{chosen['LaunchTemplateId']}")
    launch = {"ec2:IsLaunchTemplateResource": "true", "ec2:LaunchTemplate": of}
    needs = group("autoscaling:StartInstanceRefresh")(account, region, given)
    needs += [("ec2:RunInstances", arn(account, "ec2", region, f"{kind}/x"), launch) for kind in IN_LAUNCH]
    needs += [("ec2:RunInstances", f"arn:aws:ec2:{region}::image/{data['ImageId']}", launch)]
    tagged = {"ec2:CreateAction": "RunInstances"}
    needs += [("ec2:CreateTags", arn(account, "ec2", region, f"{kind}/x"), tagged) for kind in ("instance", "volume")]
    role = account.role_of_profile(data["IamInstanceProfile"]["Name"])
    return [*needs, ("iam:PassRole", role["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"})]


def command(account, region, given):
    needs = [("ssm:SendCommand", arn(account, "ssm", region, f"document/{given['DocumentName']}"), {})]
    for instance in given["InstanceIds"]:
        tags = {f"ssm:resourceTag/{key}": value for key, value in account.tags(instance, region).items()}
        needs.append(("ssm:SendCommand", arn(account, "ec2", region, f"instance/{instance}"), tags))
    return needs


NEEDS = {
    ("autoscaling", "DescribeAutoScalingGroups"): anything("autoscaling:DescribeAutoScalingGroups"),
    ("autoscaling", "DescribeInstanceRefreshes"): anything("autoscaling:DescribeInstanceRefreshes"),
    ("autoscaling", "RollbackInstanceRefresh"): group("autoscaling:RollbackInstanceRefresh"),
    ("autoscaling", "StartInstanceRefresh"): refresh,
    ("cloudwatch", "DescribeAlarms"): lambda account, region, given: [
        ("cloudwatch:DescribeAlarms", arn(account, "cloudwatch", region, "alarm:*"), {})
    ],
    ("cloudwatch", "GetMetricData"): anything("cloudwatch:GetMetricData"),
    ("ec2", "CreateLaunchTemplateVersion"): template("ec2:CreateLaunchTemplateVersion"),
    ("ec2", "DescribeImages"): anything("ec2:DescribeImages"),
    ("ec2", "DescribeLaunchTemplateVersions"): anything("ec2:DescribeLaunchTemplateVersions"),
    ("ec2", "ModifyLaunchTemplate"): template("ec2:ModifyLaunchTemplate"),
    ("imagebuilder", "GetImage"): image("imagebuilder:GetImage"),
    ("imagebuilder", "ListImagePackages"): image("imagebuilder:ListImagePackages"),
    ("sns", "Publish"): lambda account, region, given: [("sns:Publish", given["TopicArn"], {})],
    ("ssm", "GetParameter"): parameter("ssm:GetParameter"),
    ("ssm", "ListCommands"): anything("ssm:ListCommands"),
    ("ssm", "PutParameter"): parameter("ssm:PutParameter"),
    ("ssm", "SendCommand"): command,
    ("stepfunctions", "ListExecutions"): lambda account, region, given: [("states:ListExecutions", given["stateMachineArn"], {})],
    ("stepfunctions", "StartExecution"): lambda account, region, given: [("states:StartExecution", given["stateMachineArn"], {})],
    ("stepfunctions", "StopExecution"): lambda account, region, given: [("states:StopExecution", given["executionArn"], {})],
}
