"""What this processor can do, and machine code for it from LLVM IR. The only door to llvmlite."""

import ctypes
import warnings
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Self

# Whatever the processor prefers, a vector of 16 floats is one register where we ask for it.
WIDE = "-prefer-256-bit"
# What an LLVM has to know: plain pointers, and one number in all places of a vector.
PROBE = """define void @work(ptr %place) {
  store <4 x float> splat (float 1.0), ptr %place
  ret void
}
"""


@dataclass(frozen=True)
class Machine:
    """lanes: floats in a vector register; dot: whether it multiplies pairs of bf16 and adds."""

    lanes: int
    dot: bool
    amx: bool = False  # dense products of bf16 by tiles: nothing sparse beats those by much
    without: str = ""  # features the code may not use, as LLVM wants them: "-avx512f,..."

    @classmethod
    def of(cls, features: dict[str, bool]) -> Self:
        if features.get("avx512f") and features.get("avx512bw") and features.get("avx512vl"):
            return cls(16, bool(features.get("avx512bf16")), bool(features.get("amx-bf16")))
        if features.get("avx2") and features.get("fma"):
            return cls(8, False)
        return cls(4, False)

    def narrow(self, lanes: int, dot: bool = False) -> Self:
        """This machine as if it had less."""
        off = {16: "" if dot else "-avx512bf16", 8: "-avx512f", 4: "-avx512f,-avx2,-fma,-avx"}
        return replace(self, lanes=lanes, dot=dot, without=off[lanes])

    @property
    def sums(self) -> int:
        """How many vectors of partial sums fit into the registers beside what they are made of."""
        return 24 if self.lanes == 16 else 12


def installed() -> bool:
    return find_spec("llvmlite") is not None


@cache
def trouble() -> str:
    """Why no machine code can be made here; empty if it can.

    An old llvmlite, brought by another package, lacks what we call or does not know our words; a
    hardened system may forbid to run what was just written.
    """
    if not installed():
        return "there is no llvmlite: pip install 'prune[cpu]'"
    try:
        compiled(PROBE, host())
    except Exception as failed:  # whatever it is, torch can do the same
        reason = str(failed).splitlines()[0] if str(failed) else type(failed).__name__
        found = version("llvmlite")
        return f"no machine code with llvmlite {found} ({reason}): pip install -U 'prune[cpu]'"
    return ""


@cache
def usable() -> bool:
    """Whether masks can be applied by machine code; if it should be and cannot, says so once."""
    if not installed() or not openmp():
        return False
    if why := trouble():
        warnings.warn(f"masks are applied by torch: {why}", stacklevel=2)
    return not why


@cache
def host() -> Machine:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return Machine.of(dict(llvm.get_host_cpu_features()))


@cache
def openmp() -> dict[str, int]:
    """Addresses of the OpenMP that torch uses, in whose threads we run; empty if it has none.

    Threads of our own would compete with its idle ones, which spin. GOMP_parallel is the name of
    GNU's, which torch brings on Linux; LLVM's and Intel's answer to it too.
    """
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    try:
        process = ctypes.CDLL(None)
        return {name: _address(getattr(process, name)) for name in names}
    except (AttributeError, OSError, TypeError):  # the last: Windows has no such handle
        return {}


def compiled(text: str, machine: Machine) -> Any:
    """The execution engine that holds the machine code of a module; code lives as long as it."""
    import llvmlite.binding as llvm

    made_for = target(machine)
    for name, address in openmp().items():
        llvm.add_symbol(name, address)
    module = llvm.parse_assembly(text)
    module.verify()
    optimize(module, made_for)
    engine = llvm.create_mcjit_compiler(module, made_for)
    engine.finalize_object()
    return engine


def target(machine: Machine) -> Any:
    """LLVM's target: this processor, less what `machine` may not use."""
    import llvmlite.binding as llvm

    host()  # initialises LLVM
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=",".join(filter(None, (features, WIDE, machine.without))),
        opt=2,
        jit=True,
    )


def optimize(module: Any, made_for: Any) -> None:
    import llvmlite.binding as llvm

    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_vectorization = tuning.slp_vectorization = False  # it is vectors already
    tuning.loop_unrolling = False  # unrolled as far as registers last
    passes = llvm.create_pass_builder(made_for, tuning)
    passes.getModulePassManager().run(module, passes)


def _address(function: Any) -> int:
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found
