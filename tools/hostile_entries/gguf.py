"""Enough of GGUF (version 3, little-endian, F16, F32 and Q8_0 tensors) to take a file apart and write a damaged one."""

import struct

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
PACKED = {UINT8: "B", INT8: "b", UINT16: "H", INT16: "h", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?",
          UINT64: "Q", INT64: "q", FLOAT64: "d"}
F32, F16, Q8_0 = 0, 1, 8
BLOCKS = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34)}  # values, bytes
ALIGNMENT = 32


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def one(self, code):
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self):
        size = self.one("Q")
        self.at += size
        return bytes(self.data[self.at - size:self.at])

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            element, count = self.one("I"), self.one("Q")
            return element, [self.value(element) for _ in range(count)]
        return self.one(PACKED[kind])


def pack_text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def pack_value(kind, value):
    if kind == STRING:
        return pack_text(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(pack_value(element, v) for v in values)
    return struct.pack("<" + PACKED[kind], value)


class Tensor:
    def __init__(self, name, shape, kind, data):
        self.name, self.shape, self.kind, self.data = name, shape, kind, data

    def size(self):
        values, size = BLOCKS[self.kind]
        count = 1
        for dimension in self.shape:
            count *= dimension
        return count // values * size

    def put(self, first, values):
        """Writes floats over those of an F16 or F32 tensor from the index `first` on."""
        code, width = ("e", 2) if self.kind == F16 else ("f", 4)
        struct.pack_into(f"<{len(values)}{code}", self.data, first * width, *values)

    def value(self, index):
        code, width = ("e", 2) if self.kind == F16 else ("f", 4)
        return struct.unpack_from("<" + code, self.data, index * width)[0]


class Gguf:
    """A whole file: `metadata` is a dictionary of name -> (type, value), `tensors` one of name -> Tensor."""

    def __init__(self, path):
        with open(path, "rb") as file:
            reader = Reader(file.read())
        magic, version, tensors, keys = struct.unpack_from("<4sIQQ", reader.data)
        assert magic == b"GGUF" and version == 3, path
        reader.at = 24
        self.metadata = {}
        for _ in range(keys):
            name = reader.text()
            kind = reader.one("I")
            self.metadata[name.decode()] = (kind, reader.value(kind))
        declared = []
        for _ in range(tensors):
            name = reader.text().decode()
            shape = [reader.one("Q") for _ in range(reader.one("I"))]
            declared.append((Tensor(name, shape, reader.one("I"), None), reader.one("Q")))
        begin = -(-reader.at // ALIGNMENT) * ALIGNMENT
        self.tensors = {}
        for tensor, offset in declared:
            tensor.data = bytearray(reader.data[begin + offset:begin + offset + tensor.size()])
            self.tensors[tensor.name] = tensor

    def save(self, path, extra_keys=()):
        """Writes the file; `extra_keys` are (name, type, value) whose names may be any bytes, or there twice."""
        keys = [(name, *pair) for name, pair in self.metadata.items()] + list(extra_keys)
        head = [struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(keys))]
        for name, kind, value in keys:
            head += [pack_text(name), struct.pack("<I", kind), pack_value(kind, value)]
        offset = 0
        body = []
        for tensor in self.tensors.values():
            head += [pack_text(tensor.name), struct.pack("<I", len(tensor.shape)),
                     struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, offset)]
            padding = -len(tensor.data) % ALIGNMENT
            body += [tensor.data, bytes(padding)]
            offset += len(tensor.data) + padding
        start = b"".join(head)
        with open(path, "wb") as file:
            file.write(start + bytes(-len(start) % ALIGNMENT))
            for part in body:
                file.write(part)
        return path
