"""Slack's own client, told line by line what to do; answers line by line in JSON."""

import json
import sys

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

url, bot_token, app_token, secret = sys.argv[1:]
web = WebClient(token=bot_token, base_url=url)
verifier = SignatureVerifier(secret)


def say(what):
    print(json.dumps(what), flush=True)


def call(method, arguments):
    try:
        return getattr(web, method)(**arguments).data
    except SlackApiError as error:
        return error.response.data


def heard(client, request):
    client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
    say({"id": request.envelope_id, "payload": request.payload})


listener = None
for line in sys.stdin:
    what = json.loads(line)
    if what["do"] == "verify":
        say(verifier.is_valid(what["body"], what["at"], what["signature"]))
    elif what["do"] == "call":
        say(call(what["method"], what["arguments"]))
    elif what["do"] == "listen":
        listener = SocketModeClient(app_token=app_token, web_client=web)
        listener.socket_mode_request_listeners.append(heard)
        listener.connect()
        say("listening")
