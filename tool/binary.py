"""Reads object files and programs, ELF and Mach-O of 64 bits: for which system and CPU they are,
what they define and refer to, and the machine code of a function. For tool/cross."""
import struct

FORMATS = {"macos": "Mach-O", "freebsd": "ELF", "netbsd": "ELF", "openbsd": "ELF", "linux": "ELF"}

ALIGNMENT = 64  # of the functions of the ports: src/ctx/asm.h

ELF_CPUS = {62: "x86_64", 183: "aarch64"}
ELF_SYMTAB, ELF_RELA, ELF_NOTE, ELF_DYNSYM = 2, 4, 7, 11
ELF_NOTES = {b"FreeBSD\0": "freebsd", b"NetBSD\0": "netbsd", b"OpenBSD\0": "openbsd"}
MACHO_CPUS = {0x01000007: "x86_64", 0x0100000c: "aarch64"}
MACHO_SYMTAB, MACHO_SEGMENT, MACHO_DYLIB, MACHO_BUILD = 0x2, 0x19, 0xc, 0x32
MACHO_SIGNATURE, MACHO_MACOS = 0x1d, 1


def text_at(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


class Elf:
    """format, cpu, system, described; undefined and functions are names, the latter with addresses
    and sizes."""

    format, underscore = "ELF", ""

    def __init__(self, data):
        self.data = data
        self.cpu = ELF_CPUS.get(struct.unpack_from("<H", data, 18)[0], "?")
        self.system, self.described = "linux", "no note of a system"
        at, = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]
        self.sections = [(text_at(data, headers[names][4] + h[0]), *h[1:]) for h in headers]
        self.functions, self.undefined, self.relocated_code = {}, set(), False
        for name, kind, _, _, offset, length, link, _, _, _ in self.sections:
            if kind in (ELF_SYMTAB, ELF_DYNSYM):
                self._read_symbols(offset, length, self.sections[link][4])
            elif kind == ELF_NOTE:
                self._read_note(offset, length)
            elif kind == ELF_RELA and name == ".rela.text":
                self.relocated_code = True

    def _read_symbols(self, offset, length, strings):
        for at in range(offset, offset + length, 24):
            name, _, _, section, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
            text = text_at(self.data, strings + name)
            if section == 0 and text:
                self.undefined.add(text)
            elif section != 0 and section < len(self.sections):
                self.functions[text] = (section, value, size)

    def _read_note(self, offset, length):
        end = offset + length
        while offset + 12 <= end:
            name, size, _ = struct.unpack_from("<III", self.data, offset)
            owner = self.data[offset + 12:offset + 12 + name]
            if owner in ELF_NOTES:
                self.system = ELF_NOTES[owner]
                self.described = "its note of the system"
            offset += 12 + (name + 3) // 4 * 4 + (size + 3) // 4 * 4

    def code(self, name, _):
        if name not in self.functions:
            return b""
        section, value, size = self.functions[name]
        _, _, _, address, offset = self.sections[section][:5]
        at = offset + value - address
        return self.data[at:at + size]


class MachO:
    """The same. There symbols have no sizes."""

    format, underscore = "Mach-O", "_"

    def __init__(self, data):
        self.data, self.functions, self.undefined = data, {}, set()
        cpu, _, _, commands = struct.unpack_from("<IIII", data, 4)
        self.cpu, self.system = MACHO_CPUS.get(cpu, "?"), "?"
        self.sections, libraries, signed, at = [(b"", 0, 0, 0)], [], False, 32
        symbols = None
        for _ in range(commands):
            command, size = struct.unpack_from("<II", data, at)
            if command == MACHO_SEGMENT:
                self._read_sections(at)
            elif command == MACHO_SYMTAB:
                symbols = struct.unpack_from("<IIII", data, at + 8)
            elif command == MACHO_DYLIB:
                libraries.append(text_at(data, at + struct.unpack_from("<I", data, at + 8)[0]))
            elif command == MACHO_BUILD:
                platform, = struct.unpack_from("<I", data, at + 8)
                self.system = "macos" if platform == MACHO_MACOS else "?"
            signed |= command == MACHO_SIGNATURE
            at += size
        self.described = ", ".join(libraries + (["signed"] if signed else []))
        self.relocated_code = False
        if symbols:
            self._read_symbols(*symbols[:3])

    def _read_sections(self, at):
        count, = struct.unpack_from("<I", self.data, at + 64)
        for i in range(count):
            name, _, address, size, offset = struct.unpack_from("<16s16sQQI", self.data,
                                                                at + 72 + i * 80)
            self.sections.append((name, address, size, offset))

    def _read_symbols(self, offset, count, strings):
        for i in range(count):
            name, kind, section, _, value = struct.unpack_from("<IBBHQ", self.data,
                                                               offset + i * 16)
            text = text_at(self.data, strings + name)
            if kind & 0xe0: # for debuggers
                continue
            if kind & 0x0e == 0x0e:
                self.functions[text] = (section, value)
            elif kind & 0x0e == 0:
                self.undefined.add(text)

    def code(self, name, size):
        """Up to the next symbol, less what aligns that one when `size` bytes come before it."""
        if name not in self.functions:
            return b""
        section, value = self.functions[name]
        _, address, length, offset = self.sections[section]
        later = [v for s, v in self.functions.values() if s == section and v > value]
        end = min(later, default=address + length)
        if 0 <= end - value - size < ALIGNMENT:
            end = value + size
        return self.data[offset + value - address:offset + end - address]


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:5] == b"\x7fELF\x02":
        return Elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return MachO(data)
    raise ValueError(f"{path} is neither ELF nor Mach-O of 64 bits")
