"""/asyncapi.json: AsyncAPI 3.0, what comes and goes over Kafka, made of the streams' descriptions.

Which brokers, and how to be let in, is not said: the document is open to all.
"""

from typing import Any

import msgspec

from api.http.examples import BY_NAME, NOON
from api.http.openapi import TITLE
from reporting.version import version
from schemas.alerts import EVENT_MEDIA_TYPE, EVENT_TYPE, EVENTS, RaisedAlert
from schemas.session_events import EVENT_TYPES, EventName
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.stream import TIMESTAMP, Stream

SCHEMAS = "#/components/schemas/"
KEY = {"kafka": {"key": {"type": "string", "description": "The device's id; it is never checked."}}}
HOW = """\
Readings and session events are taken from these topics exactly once; a value is one JSON object, or
an array of them, which is much cheaper. What is rejected is kept with the reason, and found at
`GET /v1/telemetry/rejected`."""
Json = dict[str, Any]


def document(settings: Settings) -> Json:
    """The document, for these topics."""
    channels, operations, messages = {}, {}, {}
    for stream in STREAMS.values():
        name = f"{stream.name}Readings"
        messages[name] = _message(
            f"Readings of {stream.plural}", f"{stream.name.capitalize()}Reading", _reading(stream)
        )
        channels[name] = _channel(settings.topic(stream), name, f"Readings of {stream.plural}.")
        operations[f"send{name[0].upper()}{name[1:]}"] = _operation("receive", name)
    if settings.kafka_session_topic:
        name = "sessionEvents"
        start, end = (_event(event) for event in EVENT_TYPES)
        messages[name] = _message("Starts and ends of sessions", "SessionEvent", start, end)
        channels[name] = _channel(
            settings.kafka_session_topic, name, "What chargers say of sessions."
        )
        operations["sendSessionEvents"] = _operation("receive", name)
    if settings.alert_topic:
        messages["alerts"] = _alerts()
        channels["alerts"] = _channel(settings.alert_topic, "alerts", "Alerts of the figures.")
        operations["receiveAlerts"] = _operation("send", "alerts")
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": version(), "description": HOW},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _schemas(settings)},
    }


def _channel(topic: str, name: str, description: str) -> Json:
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(action: str, name: str) -> Json:
    """`action` is what this application does: it receives what gateways send."""
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _message(title: str, schema: str, *examples: Json) -> Json:
    one = {"$ref": f"{SCHEMAS}{schema}"}
    array = {"type": "array", "minItems": 1, "items": one}
    payloads = [{"payload": example} for example in (*examples, list(examples))]
    return {
        "title": title,
        "payload": {"oneOf": [one, array]},
        "bindings": KEY,
        "examples": payloads,
    }


def _reading(stream: Stream) -> Json:
    values = {field.name: field.example for field in stream.fields}
    return {stream.id_field: stream.id_example, **values, TIMESTAMP: NOON}


def _event(name: EventName) -> Json:
    members = msgspec.structs.fields(EVENT_TYPES[name])
    values = {field.encode_name: BY_NAME[field.encode_name] for field in members}
    return {"event": name, **values}


def _alerts() -> Json:
    return {
        "title": "Steps in the life of an alert",
        "contentType": EVENT_MEDIA_TYPE,
        "payload": {"$ref": f"{SCHEMAS}AlertEvent"},
        "bindings": KEY,
    }


def _schemas(settings: Settings) -> Json:
    types = [stream.reading for stream in STREAMS.values()]
    _, schemas = msgspec.json.schema_components(types, ref_template=f"{SCHEMAS}{{name}}")
    if settings.kafka_session_topic:
        _, of_events = msgspec.json.schema_components(
            EVENT_TYPES.values(), ref_template=f"{SCHEMAS}{{name}}"
        )
        for name, kind in EVENT_TYPES.items():
            schema = of_events[kind.__name__]
            schema["properties"] |= {"event": {"const": name}}
            schema["properties"][TIMESTAMP] |= {"format": "date-time"}
            schema["required"] = ["event", *schema["required"]]
        references = [{"$ref": f"{SCHEMAS}{kind.__name__}"} for kind in EVENT_TYPES.values()]
        schemas |= of_events | {"SessionEvent": {"oneOf": references}}
    if settings.alert_topic:
        schemas["AlertEvent"] = _cloud_event()
        alert = RaisedAlert.model_json_schema(
            mode="serialization", ref_template=f"{SCHEMAS}{{model}}"
        )
        schemas["RaisedAlert"] = alert
    return schemas


def _cloud_event() -> Json:
    text: Json = {"type": "string"}
    properties = dict.fromkeys(("id", "source", "subject", "datacontenttype"), text) | {
        "specversion": {"const": "1.0"},
        "type": {"enum": [f"{EVENT_TYPE}.{one}" for one in EVENTS]},
        "time": text | {"format": "date-time"},
        "data": {"$ref": f"{SCHEMAS}RaisedAlert"},
    }
    return {"type": "object", "properties": properties, "required": sorted(properties)}
