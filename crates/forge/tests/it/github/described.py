# Holds requests against GitHub's description of its API: method and path, parameters, and bodies by their schemas.
import json
import re
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

from openapi_schema_validator import OAS30Validator

description = json.load(open(sys.argv[1]))


def whole(node):
    """The node with what it refers to in place."""
    if isinstance(node, list):
        return [whole(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = description
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return whole(target)
    return {name: whole(one) for name, one in node.items() if name not in ("example", "examples")}


def pattern(template):
    literal = re.split(r"\{\w+\}", template)
    names = re.findall(r"\{(\w+)\}", template)
    text = re.escape(literal[0])
    for name, rest in zip(names, literal[1:]):
        # The path of a file has several parts.
        text += f"(?P<{name}>{'.+' if name == 'path' else '[^/]+'})" + re.escape(rest)
    return re.compile(text + "$")


paths = sorted(description["paths"].items(), key=lambda entry: entry[0].count("{"))
paths = [(pattern(template), item) for template, item in paths]


def operation(method, path):
    for matches, item in paths:
        found = matches.match(path)
        if found and method in item:
            return whole(item[method]), {name: unquote(value) for name, value in found.groupdict().items()}
    return None, None


def typed(text, schema):
    if schema.get("type") == "integer":
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def known_fields(schema):
    """The fields of a body that are described, or None where any are taken."""
    names = set(schema.get("properties", {}))
    for kind in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(kind, []):
            names |= set(one.get("properties", {}))
    return names


def faults(request):
    url = urlsplit(request["path"])
    described, in_path = operation(request["method"], url.path)
    if described is None:
        yield "there is no such operation"
        return
    operations.add(described["operationId"])
    parameters = {(one["in"], one["name"]): one for one in described.get("parameters", [])}
    given = {("path", name): value for name, value in in_path.items()}
    given |= {("query", name): value for name, value in parse_qsl(url.query, keep_blank_values=True)}
    for key, value in given.items():
        if key not in parameters:
            yield f"there is no parameter {key}"
            continue
        schema = parameters[key]["schema"]
        for error in OAS30Validator(schema).iter_errors(typed(value, schema)):
            yield f"{key}: {error.message}"
    for key, parameter in parameters.items():
        if parameter.get("required") and key not in given and key[0] != "header":
            yield f"{key} is missing"
    body = described.get("requestBody")
    if request["body"] is None:
        if body and body.get("required"):
            yield "the body is missing"
    elif not body:
        yield "there is a body"
    else:
        schema = body["content"]["application/json"]["schema"]
        for error in OAS30Validator(schema).iter_errors(request["body"]):
            yield f"{list(error.path)}: {error.message}"
        for name in set(request["body"]) - known_fields(schema):
            yield f"the body has no field {name}"
    for name in ("accept", "authorization", "user-agent", "x-github-api-version"):
        # Whoever exchanges a code for an app is nobody yet.
        is_nobody = name == "authorization" and request["path"].endswith("/conversions")
        if name not in request["headers"] and not is_nobody:
            yield f"the header {name} is missing"


operations = set()
found = [f"{one['method']} {one['path']}: {fault}" for one in json.load(sys.stdin) for fault in faults(one)]
print(json.dumps({"faults": found, "operations": sorted(operations)}))
