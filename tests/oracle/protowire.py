# SPDX-License-Identifier: Apache-2.0
"""As much of protobuf's wire format as it takes to read and edit a tokenizer.model."""


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, data):
    """A length-delimited field, or a varint one."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(message):
    """(number, payload) of a message of length-delimited fields, as ModelProto is."""
    at = 0
    while at < len(message):
        values = []
        for _ in range(2):
            value = shift = 0
            while True:
                byte = message[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            values.append(value)
        yield values[0] >> 3, message[at:at + values[1]]
        at += values[1]
