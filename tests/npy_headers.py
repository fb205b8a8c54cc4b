"""Contents of `.npy` files that NumPy cannot read, each by an error of another class."""

import struct


def _file(header: str, rest: bytes = bytes(1000)) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + rest


def _shaped(shape: str) -> bytes:
    return _file(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}")


UNREADABLE = [
    b"",
    b"nothing of the kind",
    _file("(((("),
    _file("(" * 5000),
    _file("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4"),
    _shaped("(-1, 4, 4)"),
    _shaped("(True, 4, 4)"),
    _shaped("(4, -4, 4)"),
    _shaped("(1000000000, 4, 4)"),
    _shaped("(99999999999999999999999, 4, 4)"),
    _file("{'descr': 'O', 'fortran_order': False, 'shape': (3, 4, 4)}"),
    _file("{'descr': ['', 3], 'fortran_order': False, 'shape': (3, 4, 4)}"),
    _file("{'descr': {}, 'fortran_order': 7, 'shape': (3, 4, 4)}"),
    b"PK\x03\x04 an archive that is not one",
]
