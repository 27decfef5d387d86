"""Emits what all kernels share: their arguments, OpenMP's entry, the check of the block lists."""

from prune.kernels.llvm.text import Function


def entry() -> Function:
    """`work(arguments, thread, threads)`: the share of one thread."""
    return Function("work", "ptr arguments, i64 thread, i64 threads", public=True)


def arguments(f: Function, listed: dict[str, str]) -> dict[str, str]:
    """The values of a list of 64-bit integers, by name. listed: name -> LLVM type."""
    places = [f.at("%arguments", 8 * i) for i in range(len(listed))]
    loaded = [f.load(kind, place, 8) for kind, place in zip(listed.values(), places, strict=True)]
    return dict(zip(listed, loaded, strict=True))


def openmp() -> str:
    """What `team` calls."""
    return "declare i32 @omp_get_thread_num()\ndeclare i32 @omp_get_num_threads()\n"


def team() -> str:
    """`team(arguments)`: what each thread of an OpenMP team calls."""
    f = Function("team", "ptr arguments", public=True)
    thread = f.let("call i32 @omp_get_thread_num()")
    threads = f.let("call i32 @omp_get_num_threads()")
    wide = [f.let(f"sext i32 {value} to i64") for value in (thread, threads)]
    f.do(f"call void @work(ptr %arguments, i64 {wide[0]}, i64 {wide[1]})")
    return f.text()


def check() -> str:
    """`check(start, other, order, lists, others, blocks, bad)`: *bad = 1 if a list leads astray.

    A microsecond for a thousand blocks, so it is done before each call: no index is trusted.
    """
    listed = "ptr start, ptr other, ptr order, i64 lists, i64 others, i64 blocks, ptr bad"
    f = Function("check", listed, public=True)
    bad = f.slot("i64")
    f.store("i64", "0", bad)

    def note(test: str) -> None:
        wide = f.let(f"zext i1 {test} to i64")
        f.store("i64", f.let(f"or i64 {f.load('i64', bad)}, {wide}"), bad)

    note(f.compare("ne", f.number("%start", 0), 0))
    note(f.compare("ne", f.number("%start", "%lists"), "%blocks"))
    with f.loop(0, "%lists") as i:
        note(f.compare("slt", f.number("%start", f.add(i, 1)), f.number("%start", i)))
    with f.loop(0, "%blocks") as i:
        note(f.compare("uge", f.number("%other", i), "%others"))
    with f.when(f.compare("ne", "%order", "null", "ptr")), f.loop(0, "%blocks") as i:
        note(f.compare("uge", f.number("%order", i), "%blocks"))
    f.store("i64", f.load("i64", bad), "%bad")
    return f.text()
