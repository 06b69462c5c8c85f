"""The one port of the account: each call is held against botocore's model and the policies of its caller, then served here, if moto
lacks it, or by moto."""

import io
import json
import re
import sys
import pathlib
import threading
import traceback
import xml.sax.saxutils as xml

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.responses import get_service_model

import policies
from calls import NEEDS
from peer import MACHINE_KEY, SESSION

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from models import wrongs

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
SIGNED_AS = {"monitoring": "cloudwatch", "states": "stepfunctions", "tagging": "resourcegroupstaggingapi"}
LOADER = "loader"


class Refused(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def operation_of(service, request):
    """The operation's name, and what its path carries."""
    if "Action" in request.values:
        return request.values["Action"], {}
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.split(".")[-1], {}
    model = SESSION.get_service_model(service)
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"].split("?")[0]))
        found = re.fullmatch(path, request.path)
        if found and http["method"] == request.method:
            return name, found.groupdict()
    raise Refused("UnknownOperationException", f"{service} {request.method} {request.path}")


class Front:
    """A WSGI application. `account` knows what is in moto; `served` answers what moto lacks, by service and operation."""

    def __init__(self, moto, account):
        self.moto, self.account, self.served = moto, account, {}
        self.calls, self.denied, self.invalid, self.published = [], [], [], []
        self.alarms = {}
        self.lock = threading.RLock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith("/moto-api"):
            return self.moto(environ, start_response)
        request = Request(environ)
        key, region, signed = CREDENTIAL.search(environ["HTTP_AUTHORIZATION"]).groups()
        service = SIGNED_AS.get(signed, signed)
        if service == "s3" and key == LOADER:
            # A person copies files; the CLI holds such a call against the model by itself.
            return self.moto(environ, start_response)
        protocol = None
        try:
            model = get_service_model(service)
            protocol = determine_request_protocol(model, request.content_type)
            operation, labels = operation_of(service, request)
            given = self.parse(model.operation_model(operation), protocol, request, labels)
            with self.lock:
                self.check(service, operation, given, key, region)
                serve = self.served.get((service, operation))
                answer = serve(given, region) if serve else None
                if operation == "PutMetricAlarm":
                    self.alarms[given["AlarmName"]] = given
                if operation == "Publish":
                    self.published.append(given["TopicArn"].split(":")[-1])
        except Refused as refused:
            return self.refuse(refused, protocol, start_response)
        except Exception:
            traceback.print_exc()
            return self.refuse(Refused("InternalFailure", traceback.format_exc(), 500), protocol, start_response)
        if answer is not None:
            return self.answer(service, operation, protocol, answer, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        return self.moto(environ, start_response)

    def parse(self, model, protocol, request, labels):
        parser = PROTOCOL_PARSERS[protocol](model)
        parts = {"method": request.method, "values": request.values, "headers": request.headers}
        return parser.parse({**parts, "body": request.data, "url_path": request.path, "url_params": labels}) or {}

    def check(self, service, operation, given, key, region):
        found = wrongs(service, operation, given)
        if found:
            self.invalid.append((service, operation, found))
            raise Refused("ValidationException", f"{operation}: {found}")
        if key != LOADER:
            self.authorize(self.account.role_of_key(key), service, operation, given, region)

    def authorize(self, role, service, operation, given, region):
        needs = NEEDS.get((service, operation))
        wanted = needs(self.account, region, given) if needs else [(f"{service}:{operation}", "*", {})]
        self.demand(role, wanted)

    def demand(self, role, wanted):
        """What a service does as a role, or a role for itself."""
        policies_of = self.account.policies(role)
        for action, resource, context in wanted:
            self.calls.append((role, action, resource, context))
            if not policies.allows(policies_of, action, resource, context):
                self.denied.append((role, action, resource))
                raise Refused("AccessDeniedException", f"{role} is not allowed {action} on {resource}")

    def answer(self, service, operation, protocol, value, start_response):
        if protocol in ("query", "ec2"):
            inside = as_xml(value) if protocol == "ec2" else f"<{operation}Result>{as_xml(value)}</{operation}Result>"
            text, kind = f"<{operation}Response>{inside}</{operation}Response>", "text/xml"
        else:
            text, kind = json.dumps(value), "application/x-amz-json-1.1" if protocol == "json" else "application/json"
        start_response("200 OK", [("Content-Type", kind)])
        return [text.encode()]

    def refuse(self, refused, protocol, start_response):
        head = [("x-amzn-errortype", refused.code), ("x-amzn-requestid", "made-up")]
        if protocol in ("query", "ec2"):
            inside = f"<Code>{refused.code}</Code><Message>{xml.escape(refused.message)}</Message>"
            wrapped = f"<Response><Errors><Error>{inside}</Error></Errors><RequestID>made-up</RequestID></Response>" if protocol == "ec2" else None
            text, kind = wrapped or f"<ErrorResponse><Error>{inside}</Error><RequestId>made-up</RequestId></ErrorResponse>", "text/xml"
        else:
            text, kind = json.dumps({"__type": refused.code, "message": refused.message}), "application/json"
        start_response(f"{refused.status} Refused", [("Content-Type", kind), *head])
        return [text.encode()]


def as_xml(value):
    if isinstance(value, dict):
        return "".join(f"<{key}>{as_xml(part)}</{key}>" for key, part in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{as_xml(part)}</member>" for part in value)
    return xml.escape(str(value).lower() if isinstance(value, bool) else str(value))


def role_key(role):
    """The access key with which a caller shows up as a role."""
    return f"role.{role}"


__all__ = ["Front", "LOADER", "MACHINE_KEY", "Refused", "role_key"]
