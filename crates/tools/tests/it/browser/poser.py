#!/usr/bin/python3
"""Answers in the place of a browser, with pictures that lie in the workspace."""

import base64
import json

METRICS = {"clientWidth": 10, "clientHeight": 10, "pageX": 0, "pageY": 0}


def answer(method, params):
    if method == "Page.getLayoutMetrics":
        return {"cssVisualViewport": METRICS}
    if method == "Page.captureScreenshot":
        with open("/workspace/picture." + params["format"], "rb") as picture:
            return {"data": base64.b64encode(picture.read()).decode()}
    return {}


commands, answers = open(3, "rb"), open(4, "wb")


def say(message):
    answers.write(json.dumps(message).encode() + b"\0")
    answers.flush()


kept = b""
while piece := commands.read1():
    kept += piece
    while b"\0" in kept:
        command, kept = kept.split(b"\0", 1)
        command = json.loads(command)
        if command["method"] == "Target.setAutoAttach":
            tab = {"targetId": "T", "type": "page", "url": "http://localhost/"}
            say({"method": "Target.attachedToTarget", "params": {"sessionId": "S", "targetInfo": tab}})
        say({"id": command["id"], "result": answer(command["method"], command["params"])})
