"""moto 5.2.5 in this process, with what it does otherwise than AWS set right. State machines really run in it.

Each difference that is met here, by where it is: the service's own documentation of "AWS SDK integrations" writes every member with a
capital; moto hands the names to botocore as they are. It calls `localhost:$MOTO_PORT` with the key `ak`, for whatever role the machine
has: the front takes that key for the machine's role. Error names begin with the service as the resource writes it (`ssm.`), where AWS
writes `Ssm.`: set right here, and the machine looks for no single service's errors. Retries really wait: not here. An execution that is stopped within
a Map ends as failed: here as aborted. A final output
with a date cannot be read back: the machine puts out none. User data is known as such in a template's first version alone, and no instance
can be launched from a later one: set right here. Met in the front: a new version of a launch template takes nothing over from its source."""

import functools
import os
import time

import botocore.loaders

# In the protocol that moto speaks for it; botocore prefers CBOR.
_load = botocore.loaders.Loader.load_service_model


def _load_with_one_protocol(self, name, *args, **kwargs):
    model = _load(self, name, *args, **kwargs)
    if name == "cloudwatch" and "protocols" in model.get("metadata", {}):
        model["metadata"]["protocols"] = ["query"]
        model["metadata"]["protocol"] = "query"
    return model


botocore.loaders.Loader.load_service_model = _load_with_one_protocol

import botocore.session  # noqa: E402
from moto import backends  # noqa: E402
from moto.ec2.models.launch_templates import LaunchTemplateVersion  # noqa: E402
from moto.ec2.utils import parse_user_data  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl  # noqa: E402
from moto.stepfunctions.parser.asl.eval.environment import Environment  # noqa: E402
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk  # noqa: E402
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser  # noqa: E402
from moto.stepfunctions.parser.asl.utils import boto_client  # noqa: E402

SESSION = botocore.session.get_session()
MACHINE_KEY = "ak"


class _NoSleep:
    sleep = staticmethod(lambda _seconds: None)
    time = staticmethod(time.time)


def to_service(shape, value):
    """A value as a state gives it, with the names of members that the service's model has."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {key[0].upper() + key[1:]: key for key in shape.members}
        return {names[key]: to_service(shape.members[names[key]], part) for key, part in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [to_service(shape.member, part) for part in value]
    return value


def from_service(shape, value):
    """An answer with a capital at the beginning of every member."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {key[0].upper() + key[1:]: from_service(shape.members[key], part) for key, part in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [from_service(shape.member, part) for part in value]
    return value


def _operation(task):
    model = SESSION.get_service_model(task._get_boto_service_name())
    action = task.resource.api_action
    return model.operation_model(action[0].upper() + action[1:])


def _normalise_parameters(self, parameters, *_args):
    given = to_service(_operation(self).input_shape, parameters)
    parameters.clear()
    parameters.update(given)


def _normalise_response(self, response, *_args):
    given = from_service(_operation(self).output_shape, response) if response else {}
    response.clear()
    response.update(given)


_set_error = Environment.set_error


def _set_error_unless_stopped(self, error):
    if not isinstance(self._program_state, ProgramStopped):
        _set_error(self, error)


def as_text(value):
    """What the first version has is of a class of moto's own, which it does not take again."""
    return None if value is None else str(value)


def adapt():
    # Speed only: a definition is parsed once, a client made once, a list of modules read once.
    AmazonStateLanguageParser.parse = staticmethod(functools.cache(AmazonStateLanguageParser.parse))
    made = functools.cache(lambda region, service: boto_client.boto_client_for(region, service))
    state_task_service_aws_sdk.boto_client_for = lambda region, service, state_credentials=None: made(region, service)
    backends.list_of_moto_modules = functools.cache(lambda modules=backends.list_of_moto_modules: list(modules()))
    Environment.set_error = _set_error_unless_stopped
    LaunchTemplateVersion.user_data = property(lambda version: parse_user_data(as_text(version.data.get("UserData"))))
    retrier_decl.time = _NoSleep
    state_task_service_aws_sdk.StateTaskServiceAwsSdk._normalise_parameters = _normalise_parameters
    state_task_service_aws_sdk.StateTaskServiceAwsSdk._normalise_response = _normalise_response
    state_task_service_aws_sdk.StateTaskServiceAwsSdk._normalise_service_error_name = staticmethod(lambda name: name[0].upper() + name[1:])


def moto():
    """moto as a WSGI application."""
    return DomainDispatcherApplication(create_backend_app)


def point_the_machine_at(port):
    os.environ["MOTO_PORT"] = str(port)
