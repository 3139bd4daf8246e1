#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""report.py DIR: the tables of cost.txt, on stdout, and DIR/*.dat for plots.gp,
from the figures that the benchmarks left in DIR.

A file of figures has a line for each: a name and a number. Names come twice, as every
program runs twice; the tables show both runs of what is som's.
"""
import sys
import textwrap

GIB_UNITS = 512
KIB = 1024
EXIT_UNITS = 1000
# One clear_page() stores 4096 bytes by "rep stosq", 8 each time.
STORES = 4096 // 8

missed = 0


class Figures:
    """What one guest has found out: name -> value in the first and second run."""

    def __init__(self, path):
        self.values = {}
        with open(path, encoding="ascii") as lines:
            for line in lines:
                name, value = line.split()
                self.values.setdefault(name, []).append(int(value))

    def get(self, name, run=0):
        """A figure, or None if this driver or kernel does not have it."""
        values = self.values.get(name)
        return values[min(run, len(values) - 1)] if values else None

    def names(self, prefix, run=0):
        """What stands behind a prefix in names that this run has."""
        return [n[len(prefix):] for n in self.values
                if n.startswith(prefix) and len(self.values[n]) > run]


def cell(value):
    """A number for a table; whole ones as they are."""
    if value is None:
        return "-"
    if isinstance(value, float) and value != int(value):
        return f"{value:.1f}"
    return str(int(value)) if isinstance(value, (int, float)) else value


class Table:
    """Rows of the same columns. The first two are som and its second run."""

    def __init__(self, title, *columns):
        self.columns = columns
        print(f"\n{title:<36}" + "".join(f" {c:>10}" for c in columns))

    def row(self, name, *values, target=None, note=""):
        """A row. What target holds for are the first two values."""
        global missed
        line = f"{name:<36}" + "".join(f" {cell(v):>10}" for v in values)
        if target is not None:
            met = all(v is not None and v <= target for v in values[:2])
            line += f"  <= {cell(target)} {'met' if met else 'NOT MET'}"
            missed += not met
        print(line + note)


def each(total, nr):
    """An amount for each of nr, rounded to whole numbers."""
    return None if total is None else (total + nr // 2) // nr


def cleared(figures, name, run=0):
    """Pages cleared by a touch: as often as clearing all that it maps goes into
    its instructions. What else it does takes far less than that."""
    total = figures.get(name, run)
    if total is None or name.endswith("zero_page"):
        return None if total is None else 0
    pages = GIB_UNITS * (GIB_UNITS if name.endswith("_1g") else 1)
    return total // (pages * STORES) * pages


def path(figures, name, run=0):
    """Instructions that are not stores of clear_page()."""
    pages = cleared(figures, name, run)
    return None if pages is None else figures.get(name, run) - pages * STORES


TOUCH = [("som", "som"), ("som_dirty", "som dirty"), ("thp", "THP"),
         ("hugetlb_2m", "HugeTLB2M"), ("hugetlb_1g", "HugeTLB1G"),
         ("zero_page", "zero page")]


def touch(figures, out):
    """First touch. A GiB page's touch is shared out to the units in it."""
    def values(function, figure):
        result = []
        for kind, _ in TOUCH:
            parts = GIB_UNITS if kind == "hugetlb_1g" else 1
            for run in (0, 1) if kind == "som" else (0,):
                result.append(each(function(f"{figure}.{kind}", run), parts))
        return result

    def shape(name, run):
        return path(figures, name, run)

    def kib(name, run):
        pages = cleared(figures, name, run)
        return None if pages is None else pages * 4

    heads = ["som", "again"] + [head for _, head in TOUCH[1:]]
    table = Table("first touch of 2 MiB", *heads)
    instructions = values(shape, "touch")
    zeroed = values(kib, "touch")
    in_all = values(figures.get, "touch")
    table.row("instructions but zeroing", *instructions, target=1500)
    table.row("KiB zeroed", *zeroed)
    table.row("in all, zeroing 8 bytes each", *in_all)
    table.row("in all, zeroing 1 byte each",
              *[i + z * KIB for i, z in zip(instructions, zeroed)])
    table.row("the first in a GiB, but zeroing", *values(shape, "touch1"))

    table = Table("with an empty reserve", "som dirty", "again", "HugeTLB2M")
    names = [("touch.som_dirty", 0), ("touch.som_dirty", 1), ("touch.hugetlb_2m", 0)]
    for width in 8, 1:
        row = [path(figures, *n) + cleared(figures, *n) * 4096 // width
               for n in names]
        table.row(f"in all, zeroing {width} byte{'s'[:width > 1]} each", *row,
                  target=row[2])

    table = Table("all 512 of a GiB, each", *heads[:-1])
    table.row("in all, zeroing 8 bytes each",
              *[each(figures.get(f"touchall.{k}", r), GIB_UNITS)
                for k, _ in TOUCH[:-1]
                for r in ((0, 1) if k == "som" else (0,))])
    if figures.get("touch.som_zeroed_again") is not None:
        table = Table("units zeroed in the background", "som", "again")
        table.row("first touch, in all",
                  *[figures.get("touch.som_zeroed_again", r) for r in (0, 1)],
                  target=1500)

    table = Table("one entry of 1 GiB", "som", "again", "HugeTLB1G")
    names = [("touch.som_1g", 0), ("touch.som_1g", 1), ("touch.hugetlb_1g", 0)]
    table.row("first touch of 1 GiB, but zeroing",
              *[path(figures, *n) for n in names])
    table.row("KiB zeroed", *[cleared(figures, *n) * 4 for n in names])
    table.row("munmap", *[figures.get(n.replace("touch", "give"), r)
                          for n, r in names])

    with open(f"{out}/touch.dat", "w", encoding="ascii") as data:
        for (_, head), i in zip(TOUCH, [0] + list(range(2, 7))):
            clearing = in_all[i] - instructions[i]
            head = head.replace("TLB", "TLB\\n")
            data.write(f'"{head}" {instructions[i]} {clearing}\n')


def give(figures, out):
    """Giving back, and the end of a process."""
    kinds = ["som", "thp", "hugetlb_2m", "hugetlb_1g"]
    heads = ["som", "again", "THP", "HugeTLB2M", "HugeTLB1G"]

    def values(figure, parts):
        return [each(figures.get(f"{figure}.{k}", r), parts) for k in kinds
                for r in ((0, 1) if k == "som" else (0,))]

    table = Table("giving back, each 2 MiB", *heads)
    bulk = values("give", GIB_UNITS)
    table.row("munmap of 1 GiB", *bulk, target=300)
    table.row("munmap of one unit", *values("giveone", 1))
    table.row("end of a process with 1000", *values("exit", EXIT_UNITS))
    with open(f"{out}/give.dat", "w", encoding="ascii") as data:
        for head, value in zip(["som"] + heads[2:], bulk[:1] + bulk[2:]):
            head = head.replace("TLB", "TLB\\n")
            data.write(f'"{head}" {value}\n')


def ending(figures):
    """How long the end of a process keeps others waiting."""
    def values(figure):
        return [figures.get(f"{figure}.{k}", r) for k in ("som", "thp", "hugetlb_2m")
                for r in ((0, 1) if k == "som" else (0,))]

    def holder(lock):
        result = []
        for kind in "som", "thp", "hugetlb_2m":
            names = figures.names(f"holder.{lock}.{kind}.")
            result.append(names[0] if names else "-")
        return result

    table = Table("end of a process with 1000 units", "som", "again", "THP",
                  "HugeTLB2M")
    table.row("instructions in all", *values("exit"))
    table.row("longest hold of a spinlock", *values("hold.spin"),
              target=max(values("hold.spin")[2:]))
    table.row("spinlocks taken", *values("taken.spin"))
    table.row("longest hold of a mutex", *values("hold.mutex"))
    table.row("mutexes taken", *values("taken.mutex"))
    table.row("processor not let go", *values("stall"),
              target=max(values("stall")[2:]))
    table.row("(without any memory)", figures.get("stall.none"),
              figures.get("stall.none", 1))
    for lock, name in (("spin", "spinlock"), ("mutex", "mutex")):
        print(f"the {name} held longest was taken by: "
              + ", ".join(f"{h} ({k})" for h, k in
                          zip(holder(lock), ("som", "THP", "HugeTLB2M"))))


FORK_UNITS = 448


def forking(figures):
    """fork, and what it leaves to do."""
    kinds = ["som", "thp", "small"]

    def values(figure):
        return [figures.get(f"{figure}.{k}", r) for k in kinds
                for r in ((0, 1) if k == "som" else (0,))]

    table = Table("fork with 448 units (POLICY_FORK_COPY)", "som", "again",
                  "THP", "4 KiB")
    without = figures.get("fork.none")
    forks = [v - without for v in values("fork")]
    table.row("the call, each unit", *[each(v, FORK_UNITS) for v in forks],
              target=each(forks[2], FORK_UNITS))
    table.row("parent's first write to a unit", *values("forkwrite"))
    table.row("... to all of its pages", *values("forkwriteall"))
    table.row("child's first read of a unit", *values("forkread"))


def handing(figures):
    """Memory that goes to another process."""
    table = Table("handing over, each 2 MiB", "parcel", "again", "writev",
                  "memfd", "vmsplice")

    def values(figure, units):
        total = [figures.get(f"{figure}.{units}", r) for r in (0, 1)]
        total += [figures.get(f"{k}.{units}") for k in ("writev", "memfd", "pipe")]
        return [each(v, units) for v in total]

    table.row("one unit, MAP_POPULATE", *values("populate", 1))
    table.row("8 units", *values("populate", 8))
    table.row("64 units", *values("populate", 64))
    table.row("512 units", *values("populate", 512), target=600)
    table.row("512 units, touched one by one", *values("parcel", 512),
              target=600)
    table.row("1 GiB by one entry, in all",
              *[figures.get("parcel.gig", r) for r in (0, 1)], target=20000)
    table.row("KiB from which no copy is cheaper",
              *[figures.get("crossover", r) for r in (0, 1)])


def converting(figures):
    """Units that become ordinary pages, and go back."""
    table = Table("2 MiB to ordinary pages and back", "som", "again")
    for text, name in (
            ("SOM_IOC_PAGE_BACKED", "call"),
            ("SOM_IOC_POOL_BACKED", "back"),
            ("a touch that moves what is cut", "fault"),
            ("a first touch of what is cut", "fresh"),
            ("tracked, first write, moves it", "written"),
            ("the same without the policy", "special"),
            ("a write to a page that is clean", "again")):
        table.row(text, *[figures.get(f"convert.{name}", r) for r in (0, 1)])


def scale(figures, out):
    """Threads, processes, sparse touches, VMAs."""
    kinds = ["som", "thp", "hugetlb_2m"]
    heads = ["som", "again", "THP", "HugeTLB2M"]
    counts = [1, 2, 4, 8]

    def values(name):
        return [figures.get(name.format(k), r) for k in kinds
                for r in ((0, 1) if k == "som" else (0,))]

    def flat(name):
        """10 % more than the first, and nothing more, is called flat."""
        return max(values(name)[:2]) * 11 // 10

    for what, title in (("threads", "a fault, threads of one process"),
                        ("procs", "a fault, processes")):
        table = Table(title, *heads)
        for nr in counts:
            table.row(f"{nr} at a time", *values(f"{what}.{{}}.{nr}"),
                      target=flat(f"{what}.{{}}.1") if nr > 1 else None)
        table.row("times that one slept, of 512",
                  *values(f"sleeps_{what}.{{}}.8"))
    table = Table("1 TiB mapped, a fault", *heads)
    for i in 1, 4, 8, 12, 16:
        table.row(f"{i}. sixteenth", *values(f"sparse.{{}}.{i}"),
                  target=flat("sparse.{}.1") if i > 1 else None)
    table = Table("60,000 VMAs", *heads)
    table.row("a fault, 1 VMA", *values("vmas.{}.touch_in_1"))
    table.row("a fault, 60,000 VMAs", *values("vmas.{}.touch_in_60000"),
              target=flat("vmas.{}.touch_in_1"))
    table.row("mprotect that makes two, first 1000",
              *values("vmas.{}.split_first"))
    table.row("the same, last 1000", *values("vmas.{}.split_last"))
    table.row("munmap of all, each VMA", *values("vmas.{}.unmap"))

    with open(f"{out}/scale.dat", "w", encoding="ascii") as data:
        for nr in counts:
            data.write(" ".join([str(nr)] + [
                str(figures.get(f"{what}.{k}.{nr}"))
                for what in ("threads", "procs") for k in kinds]) + "\n")
    with open(f"{out}/sparse.dat", "w", encoding="ascii") as data:
        for i in range(1, 17):
            data.write(" ".join([str(64 * i)] + [
                str(figures.get(f"sparse.{k}.{i}")) for k in kinds]) + "\n")


def slab(figures, what, run=0):
    """Slab bytes: the driver's, and the kernel's own."""
    return [sum(figures.get(f"slab.{what}.{whose}.{caller}", run)
                for caller in figures.names(f"slab.{what}.{whose}.", run))
            for whose in ("driver", "kernel")]


def memory(figures, pages, out):
    """Bytes beside a GiB: of a second one, as the first one's are the process's."""
    def columns(run):
        result = []
        for head, kind, size, how in (
                ("som", "som", "1g", "on"), ("som off", "som", "1g", "off"),
                ("som 1G", "som_1g", "1g", "on"), ("THP", "thp", "2m", "off"),
                ("HTLB2M", "hugetlb_2m", "2m", "on"),
                ("HTLB2M off", "hugetlb_2m", "2m", "off"),
                ("HTLB1G", "hugetlb_1g", "1g", "on"),
                ("HTLB1G off", "hugetlb_1g", "1g", "off"),
                ("4 KiB", "small", "2m", "off")):
            driver, kernel = slab(figures, f"{kind}.second", run)
            chunk = sum(slab(figures, "chunk", run)) if size == "1g" and \
                kind.startswith("som") else 0
            parts = [pages.get(f"vmemmap.{size}.{how}"),
                     pages.get(f"kernel_tables.{size}.{how}"),
                     figures.get(f"tables.{kind}.second", run),
                     driver + chunk, kernel]
            first = sum(slab(figures, f"{kind}.first", run)) + \
                figures.get(f"tables.{kind}.first", run)
            result.append([head] + parts + [sum(parts)] +
                          [first - driver - kernel - parts[2]])
        return result

    first, second = columns(0), columns(1)
    names = ["struct pages", "page tables that map those",
             "page tables of the process", "the driver", "VMA and its like",
             "all", "once in a process"]
    targets = {4: 8 * KIB, 6: 40 * KIB}
    table = Table("bytes beside 1 GiB", first[0][0], "again",
                  *[r[0] for r in first[1:]])
    for i, name in enumerate(names, start=1):
        table.row(name, first[0][i], second[0][i], *[r[i] for r in first[1:]],
                  target=targets.get(i))
    print("\nthe driver's bytes, by who asked for them:")
    for what, where in (("som.first.driver", "the first GiB of a process"),
                        ("som.second.driver", "another GiB"),
                        ("chunk.driver", "a chunk"), ("chunk.kernel", "a chunk")):
        for caller in sorted(figures.names(f"slab.{what}.")):
            print(f"    {figures.get(f'slab.{what}.{caller}'):>6} "
                  f"{caller} ({where})")
    with open(f"{out}/memory.dat", "w", encoding="ascii") as data:
        for row in first:
            data.write('"{}" {}\n'.format(
                row[0], " ".join(f"{v / KIB:.3f}" for v in row[1:6])))


def print_differing(all_figures):
    """Names of the figures whose two runs are not the same, and by how much."""
    names = []
    for figures in all_figures:
        for name, values in figures.values.items():
            if len(values) > 1 and values[0] != values[1]:
                low, high = min(values), max(values)
                names.append(f"{name} {100 * (high - low) / max(low, 1):.2g}%")
    print("\nnot the same in both runs, as a timer interrupt came, or the kernel had\n"
          "other work for it to do:")
    for line in textwrap.wrap(", ".join(sorted(names)) or "none", 78):
        print("    " + line)


def main():
    """Tables to stdout."""
    work = sys.argv[1]
    single, forks, parcels, scaling, process, pages = (
        Figures(f"{work}/{name}.figures") for name in
        ("cost", "fork", "parcel", "scale", "memory", "reserve"))
    touch(single, work)
    give(single, work)
    ending(single)
    forking(forks)
    handing(parcels)
    converting(parcels)
    scale(scaling, work)
    memory(process, pages, work)
    print_differing([single, forks, parcels, scaling, process])
    print(f"\n{missed} targets missed")


main()
