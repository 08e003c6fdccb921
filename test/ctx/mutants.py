#!/usr/bin/env python3
"""Proves that the tests of the switch notice a wrong one.

Each mutant is the port's assembly with one thing broken: a register left out, a control word never
loaded, argument and function swapped, a call frame rule dropped. It is built into the same program
as the port itself, and that program must fail: by its exit status, a signal or a limit of processor
time. A few mutants change nothing that can be observed; they are marked so, and must pass.

A mutation names the function it is in and must match there exactly once, so a port that is edited
away from its mutations is reported, not passed over.
"""

import argparse
import concurrent.futures
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PORTS = HERE.parent.parent / "src" / "ctx"
WARNINGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
CPU_LIMIT_S, PATIENCE_S = 5, 120


class Mutant:
    """One edit, or several: (function or macro, pattern, replacement)."""

    def __init__(self, name, *edits, equivalent=False, needs=None):
        self.name, self.edits, self.equivalent, self.needs = name, edits, equivalent, needs

    def apply(self, text):
        for function, pattern, replacement in self.edits:
            begin, end = region(text, function)
            body, count = re.subn(pattern, replacement, text[begin:end], flags=re.M)
            if count != 1 or body == text[begin:end]:
                raise ValueError(f"{pattern!r} matches {count} times in {function}")
            text = text[:begin] + body + text[end:]
        return text


def region(text, function):
    """Where the lines of a function, or of an assembler macro, begin and end."""
    for opening, closing in ((rf"^cr_(?:function|local) CR_SYMBOL\({function}\)$",
                              rf"^cr_end CR_SYMBOL\({function}\)$"),
                             (rf"^\.macro {function}$", r"^\.endm$")):
        begin = re.search(opening, text, re.M)
        if begin:
            end = re.compile(closing, re.M).search(text, begin.end())
            return begin.end(), end.start()
    raise ValueError(f"there is no {function}")


def drop(function, instruction):
    """An edit that leaves an instruction out, but not the label before it."""
    return (function, rf"^(\d:)?[ \t]*{re.escape(instruction)}.*$", r"\1")


def swap(function, old, new):
    return (function, rf"{re.escape(old)}$", new)


def x86_64():
    switch, make, begin = "cr_ctx_switch", "cr_ctx_make", "ctx_begin"
    for register in ("rbx", "rbp", "r12", "r13", "r14", "r15"):
        for verb, what in (("popq", "restored"), ("pushq", "saved")):
            yield Mutant(f"{register} is not {what}",
                         swap(switch, f"{verb:8}%{register}", f"{verb:8}%rdx"))
    yield Mutant("rsp is not restored", swap(switch, "leaq    8(%rsi), %rsp", "addq $8, %rsp"))
    yield Mutant("the context left is not stored", drop(switch, "movq    %rsp, (%rdi)"))
    yield Mutant("MXCSR is never loaded", drop(switch, "ldmxcsr (%rsi)"))
    yield Mutant("MXCSR is never found to differ", drop(switch, "jne     3f"))
    yield Mutant("MXCSR is always loaded", swap(switch, "jne     3f", "jmp 3f"))
    yield Mutant("MXCSR is not stored", drop(switch, "stmxcsr (%rsp)"))
    yield Mutant("MXCSR is compared with its status bits",
                 swap(switch, "$0xffc0, %eax", "$0xffff, %eax"))
    for bit in range(6, 16):
        yield Mutant(f"MXCSR bit {bit} is not compared",
                     swap(switch, "$0xffc0, %eax", f"${0xffc0 & ~(1 << bit):#x}, %eax"))
    yield Mutant("x87 control is never loaded", drop(switch, "fldcw   4(%rsi)"))
    yield Mutant("x87 control is never found to differ", drop(switch, "jne     4f"))
    yield Mutant("x87 control is always loaded", swap(switch, "jne     4f", "jmp 4f"),
                 equivalent=True)
    yield Mutant("x87 control is not stored", drop(switch, "fnstcw  4(%rsp)"))
    yield Mutant("x87 control is compared by its low byte", swap(switch, "cmpw    4(%rsi), %cx",
                                                                 "cmpb 4(%rsi), %cl"))
    yield Mutant("make does not store MXCSR", drop(make, "stmxcsr (%rax)"))
    yield Mutant("make does not store x87 control", drop(make, "fnstcw  4(%rax)"))
    yield Mutant("make does not store the function", drop(make, "movq    %rsi, 24(%rax)"))
    yield Mutant("make does not store the argument", drop(make, "movq    %rdx, 32(%rax)"))
    yield Mutant("make does not clear rbp", drop(make, "movq    $0, 48(%rax)"))
    yield Mutant("make misaligns the stack by 8", swap(make, "-64(%rdi), %rax", "-72(%rdi), %rax"))
    yield Mutant("make exceeds the top", swap(make, "-64(%rdi), %rax", "-48(%rdi), %rax"))
    yield Mutant("argument and function are swapped", swap(begin, "movq    %r12, %rdi",
                                                           "movq %r13, %rdi"),
                 swap(begin, "*%r13", "*%r12"))
    yield Mutant("the argument is not moved", drop(begin, "movq    %r12, %rdi"))
    yield Mutant("the function is entered by a jump", swap(begin, "call    *%r13", "jmp *%r13"))


def aarch64():
    switch, make, begin = "cr_ctx_switch", "cr_ctx_make", "ctx_begin"
    pairs = [(f"x{n}", f"x{n + 1}") for n in range(19, 29, 2)]
    pairs += [(f"d{n}", f"d{n + 1}") for n in range(8, 16, 2)] + [("x29", "x30")]
    for pair in pairs:
        for register in pair:
            other = "d16" if register[0] == "d" else "x12"
            left_out = [other if name == register else name for name in pair]
            for verb, what in (("ldp", "restored"), ("stp", "saved")):
                old, new = (f"{verb:8}{', '.join(names)}, [sp" for names in (pair, left_out))
                yield Mutant(f"{register} is not {what}", (switch, re.escape(old), new))
    yield Mutant("sp is not restored", drop(switch, "mov     sp, x1"))
    yield Mutant("the context left is not stored", drop(switch, "str     x11, [x0]"))
    yield Mutant("FPCR is never loaded", drop(switch, "msr     fpcr, x10"))
    yield Mutant("FPCR is never found to differ", drop(switch, "b.ne    2f"))
    yield Mutant("FPCR is always loaded", swap(switch, "b.ne    2f", "b 2f"), equivalent=True)
    yield Mutant("FPCR is not stored", drop(switch, "str     x9, [sp, #160]"))
    yield Mutant("make does not store FPCR", drop(make, "str     x9, [x0, #160]"))
    yield Mutant("make swaps argument and function", swap(make, "x2, x1, [x0, #16]",
                                                          "x1, x2, [x0, #16]"))
    yield Mutant("make does not clear x29", swap(make, "xzr, x17, [x0]", "x2, x17, [x0]"))
    yield Mutant("make misaligns the stack by 8", swap(make, "x0, x0, #176", "x0, x0, #184"))
    yield Mutant("make exceeds the top", swap(make, "x0, x0, #176", "x0, x0, #160"))
    yield Mutant("argument and function are swapped", swap(begin, "x0, x19", "x0, x20"),
                 swap(begin, "blr     x20", "blr x19"))
    yield Mutant("the argument is not moved", drop(begin, "mov     x0, x19"))
    yield Mutant("guarded: the function is entered by br", swap(begin, "blr     x20", "br x20"),
                 needs="BTI")
    yield Mutant("guarded: the resume is a br", swap(switch, "    ret", "    br x30"), needs="BTI")
    yield Mutant("guarded: make has no landing pad", (make, r"hint    #34.*$", "nop"), needs="BTI")
    yield Mutant("guarded: switch has no landing pad",
                 ("ctx_sign", r"hint    #34.*$", "nop"), needs="BTI without PAC")
    yield Mutant("guarded: switch does not sign", ("ctx_sign", r"hint    #25.*$", "hint #34"),
                 needs="PAC")
    yield Mutant("guarded: switch neither signs nor lands", ("ctx_sign", r"hint    #25.*$", "nop"),
                 needs="PAC")
    yield Mutant("guarded: switch does not authenticate",
                 ("ctx_authenticate", r"hint    #29.*$", "nop"), needs="PAC")
    yield Mutant("guarded: make does not sign", (make, r"hint    #8\b.*$", "nop"), needs="PAC")
    yield Mutant("guarded: make signs for another stack", swap(make, "x16, x0", "x16, xzr"),
                 needs="PAC")


def call_frame_rules(text):
    """Each rule of the switch and of the entry stub, left out one at a time."""
    for function in ("cr_ctx_switch", "ctx_begin"):
        begin, end = region(text, function)
        for match in re.finditer(r"^    (\.cfi_(?:def_cfa_offset|offset|undefined|restore)\b.*)$",
                                 text[begin:end], re.M):
            before = text[begin:begin + match.start()]
            line = text.count("\n", 0, begin + match.start()) + 1
            pattern = rf"\A({re.escape(before)})    {re.escape(match[1])}$"
            yield Mutant(f"line {line}: no {match[1]}", (function, pattern, r"\1"))
    yield Mutant("no .cfi_restore_state", drop("cr_ctx_switch", ".cfi_remember_state"),
                 drop("cr_ctx_switch", ".cfi_restore_state"))
    for macro in re.findall(r"^\.macro (\w+)$", text, re.M):
        begin, end = region(text, macro)
        if ".cfi_negate_ra_state" in text[begin:end]:
            yield Mutant(f"{macro} has no .cfi_negate_ra_state",
                         drop(macro, ".cfi_negate_ra_state"), needs="PAC")


def protection(cc):
    """What the compiler's flags turn on: None, PAC, BTI or both."""
    macros = subprocess.run(cc + ["-dM", "-E", "-x", "c", "/dev/null"], check=True,
                            capture_output=True, text=True).stdout
    return {name for name in ("BTI", "PAC") if f"__ARM_FEATURE_{name}_DEFAULT" in macros}


def limit_cpu():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Builder:
    """Builds the program around a port, and runs it."""

    def __init__(self, options, folder):
        self.cc, self.emulator = shlex.split(options.cc), shlex.split(options.emulator)
        self.folder, self.features = pathlib.Path(folder), protection(self.cc)
        self.cpu = options.port.stem.split("_")[0].replace("x86", "x86_64")
        sources = ["cfi.c"] if options.cfi else ["gate.c"]
        if not options.cfi and "BTI" in self.features:
            sources.append("guarded.c")
        self.objects = []
        for source in [HERE / name for name in sources + [f"fill_{self.cpu}.S"]]:
            target = self.folder / (source.name + ".o")
            self.run(self.cc + WARNINGS + ["-c", str(source), "-o", str(target)])
            self.objects.append(str(target))

    @staticmethod
    def run(command):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise ValueError(f"cannot build: {result.stderr.strip()[:400]}")

    def build(self, text, stem):
        """The port's code goes where guarded.c looks for it, if that is linked in."""
        source, target = self.folder / f"{stem}.S", self.folder / f"{stem}.o"
        source.write_text(text)
        self.run(self.cc + ["-I", str(PORTS), "-c", str(source), "-o", str(target)])
        if "BTI" in self.features:
            objcopy = subprocess.run(self.cc + ["-print-prog-name=objcopy"], check=True,
                                     capture_output=True, text=True).stdout.strip()
            self.run([objcopy, "--rename-section", ".text=ctx_text", str(target)])
        program = self.folder / f"{stem}.exe"
        self.run(self.cc + self.objects + [str(target), "-o", str(program)])
        return program

    def failure(self, text, stem):
        """How the program failed, or None."""
        program = self.build(text, stem)
        try:
            result = subprocess.run(self.emulator + [str(program)], capture_output=True,
                                    timeout=PATIENCE_S, preexec_fn=limit_cpu)
        except subprocess.TimeoutExpired:
            return "it hangs"
        if result.returncode == -signal.SIGXCPU:
            return "time limit"
        if result.returncode < 0:
            return f"signal {-result.returncode}"
        if result.returncode == 0:
            return None
        told = re.findall(r"^FAIL .*$", result.stdout.decode(errors="replace"), re.M)
        return told[0][5:] if told else f"exit status {result.returncode}"

    def applies(self, mutant):
        """Whether a mutant is one of this branch protection."""
        wanted = set(re.findall("BTI|PAC", mutant.needs or ""))
        if mutant.needs == "BTI without PAC":
            return self.features == {"BTI"}
        return wanted <= self.features

    def judge(self, number, mutant, text):
        """Returns (word, why) of one mutant."""
        try:
            failure = self.failure(mutant.apply(text), f"mutant{number}")
        except ValueError as error:
            return "FAIL", str(error)
        if mutant.equivalent:
            return ("FAIL", f"must pass: {failure}") if failure else ("ok", "equivalent, passes")
        return ("ok", failure) if failure else ("FAIL", "nothing noticed it")


def main():
    parser = argparse.ArgumentParser(description="mutants of a port must fail its tests")
    parser.add_argument("--cc", default="cc", help="the compiler, with its flags")
    parser.add_argument("--emulator", default="", help="what runs the programs, with its flags")
    parser.add_argument("--port", type=pathlib.Path, default=PORTS / "x86_64_sysv.S")
    parser.add_argument("--cfi", action="store_true", help="mutate call frame rules, run cfi.c")
    parser.add_argument("--new", action="store_true",
                        help="only mutants that need the compiler's branch protection")
    parser.add_argument("--only", default="", help="only mutants whose name matches")
    options = parser.parse_args()
    text = options.port.read_text()
    counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def report(word, name, why):
        counts[word] += 1
        print(f"{word} {name}: {why}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        builder = Builder(options, folder)
        if options.cfi:
            mutants = list(call_frame_rules(text))
        else:
            mutants = list({"x86_64": x86_64, "aarch64": aarch64}[builder.cpu]())
        failure = builder.failure(text, "port")
        report("FAIL" if failure else "ok", "the port itself", failure or "passes")
        mutants = [m for m in mutants if re.search(options.only, m.name)
                   and (m.needs or not options.new)]
        other = [m for m in mutants if not builder.applies(m)]
        if other:
            print(f"note: {len(other)} mutants need another -mbranch-protection")
        mutants = [m for m in mutants if m not in other]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            judged = pool.map(lambda pair: builder.judge(*pair, text), enumerate(mutants))
            for mutant, (word, why) in zip(mutants, judged):
                report(word, f"mutant, {mutant.name}", why)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
