"""A program with a window, which speaks X11 itself: writes what happens to it into the file that is named, and turns red when it is clicked."""

import os
import socket
import struct
import sys

BLUE, RED = 0x336699, 0xCC0000


def cookie():
    data = open(os.environ["XAUTHORITY"], "rb").read()
    place, parts = 2, []
    for _ in range(4):
        (length,) = struct.unpack_from(">H", data, place)
        parts.append(data[place + 2 : place + 2 + length])
        place += 2 + length
    return parts[2], parts[3]


def padded(data):
    return data + bytes(-len(data) % 4)


def exactly(length):
    data = b""
    while len(data) < length:
        more = display.recv(length - len(data))
        if not more:
            sys.exit("the display has ended")
        data += more
    return data


def learn():
    """What the keys write now. What happens meanwhile is looked at later."""
    display.sendall(struct.pack("<BxHBBxx", 101, 2, first, last - first + 1))
    while True:
        event = exactly(32)
        if event[0] == 1:
            count = struct.unpack_from("<I", event, 4)[0]
            return event[1], struct.unpack("<%dI" % count, exactly(count * 4))
        waiting.append(event)


def tell(line):
    print(line, file=out, flush=True)


def character(keysym, state):
    named = {0xFF0D: "\\n", 0xFF09: "\\t"}.get(keysym)
    if named or 0xFF00 <= keysym < 0x1000000:
        return named
    keysym -= 0x1000000 if keysym >= 0x1000000 else 0
    return ("^" if state & 4 else "") + chr(keysym)


out = open(sys.argv[1], "w")
display = socket.socket(socket.AF_UNIX)
display.connect("/tmp/.X11-unix/X" + os.environ["DISPLAY"].lstrip(":"))
name, data = cookie()
display.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(data)) + padded(name) + padded(data))
head = exactly(8)
setup = head + exactly(struct.unpack_from("<H", head, 6)[0] * 4)
if setup[0] != 1:
    sys.exit("the display refuses")
(window,) = struct.unpack_from("<I", setup, 12)
vendor, formats = struct.unpack_from("<H", setup, 24)[0], setup[29]
first, last = setup[34], setup[35]
(root,) = struct.unpack_from("<I", setup, 40 + vendor + -vendor % 4 + formats * 8)

EVENTS = 1 | 4 | 8
display.sendall(
    struct.pack("<BBHIIhhHHHHIIII", 1, 0, 10, window, root, 200, 100, 400, 300, 0, 1, 0, 0x802, BLUE, EVENTS)
    + struct.pack("<BxHI", 8, 2, window)
)
waiting = []
wide, keys = learn()
tell("ready")
while True:
    event = waiting.pop(0) if waiting else exactly(32)
    kind, detail = event[0] & 0x7F, event[1]
    x, y, state = struct.unpack_from("<hhH", event, 24)
    if kind == 0:
        sys.exit("error %d" % detail)
    elif kind == 34:
        wide, keys = learn()
    elif kind == 2:
        written = character(keys[(detail - first) * wide + (state & 1)], state)
        if written is not None:
            tell("key " + written)
    elif kind == 4:
        tell("press %d at %d %d with %d" % (detail, x, y, state & 0xFF))
        display.sendall(struct.pack("<BxHIII", 2, 4, window, 2, RED) + struct.pack("<BBHIhhHH", 61, 0, 4, window, 0, 0, 0, 0))
    elif kind == 5:
        tell("release %d at %d %d" % (detail, x, y))
