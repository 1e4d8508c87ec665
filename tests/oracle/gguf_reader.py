# SPDX-License-Identifier: Apache-2.0
"""PyPI gguf's reader, which makes several numpy views of each item of an array: of a vocabulary's that takes it seconds."""
import struct

import gguf
from gguf.constants import GGUFValueType


class Reader(gguf.GGUFReader):
    """The same fields, tensors and contents()."""

    def __init__(self, path):
        super().__init__(str(path))

    def _get_field_parts(self, orig_offs, raw_type):
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        data = memoryview(self.data)
        kind, n = struct.unpack_from("<IQ", data, orig_offs)
        at, types = orig_offs + 12, [GGUFValueType.ARRAY, GGUFValueType(kind)]
        if kind in self.gguf_scalar_to_np:
            values = self._get(at, self.gguf_scalar_to_np[kind], n)
            return 12 + values.nbytes, [values], [0], types
        assert kind == GGUFValueType.STRING, "arrays of arrays"
        parts = []
        for _ in range(n):
            end = at + 8 + int.from_bytes(data[at:at + 8], "little")
            parts.append(data[at + 8:end])
            at = end
        return at - orig_offs, parts, list(range(n)), types
