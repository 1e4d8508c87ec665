# SPDX-License-Identifier: Apache-2.0
"""doctor on this machine: what it says is what the system says, and what goes wrong in a self-test is noticed."""
import json
import os
import resource
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.quick


def environment(**changes):
    return {k: v for k, v in os.environ.items() if k != "CRIA_ISA"} | changes


@pytest.fixture(scope="module")
def healthy(run):
    r = run("doctor", "--json", "--quiet", env=environment())
    assert (r.returncode, r.stderr) == (0, b"")
    return json.loads(r.stdout)


def test_machine(healthy):
    machine = healthy["machine"]
    assert machine["cpus"] == len(os.sched_getaffinity(0))
    assert machine["cpus_online"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert 1 <= machine["memory_nodes"] <= machine["cores"] <= machine["cpus"]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert abs(machine["memory_bytes"] - pages) <= 0.01 * pages
    assert machine["memory_available_bytes"] <= machine["memory_bytes"]
    with open("/proc/cpuinfo") as f:
        assert machine["processor"] == "" or machine["processor"] in f.read()
    with open("/proc/cpuinfo") as f:
        assert ("avx2" in machine["features"].split()) == (" avx2" in f.read())


def test_choice(healthy):
    machine, choice = healthy["machine"], healthy["choice"]
    tables = [t["table"] for t in healthy["self_test"]["tables"]]
    assert choice["isa"] == tables[-1]
    assert choice["threads"] == choice["default_threads"] == min(machine["cores"], machine["quota"] or machine["cores"])
    assert choice["pinned"] == (machine["memory_nodes"] > 1)


def test_every_table_is_tested(healthy):
    tables = healthy["self_test"]["tables"]
    assert tables[0]["table"] == "scalar"
    assert all(t["failed"] == 0 and t["kernels"] >= 5 for t in tables)
    assert all(t["kernels"] >= 10 for t in tables[1:])
    assert ("avx2" in healthy["machine"]["features"].split()) == any(t["table"] == "avx2" for t in tables)
    assert healthy["ok"] is True


def test_limits(healthy):
    limits = healthy["limits"]
    assert 1e8 < limits["read_bytes_per_second"] < 1e13
    assert 1e8 < limits["f32_ops_per_second"] < 1e14 and 1e8 < limits["int8_ops_per_second"] < 1e15


def test_page(run):
    r = run("doctor", "--quiet", env=environment())
    assert (r.returncode, r.stderr) == (0, b"")
    text = r.stdout.decode()
    for word in ("Machine", "processor ", "cores ", "CPU quota ", "huge pages ", "Choice", "instruction set ", "threads ",
                 "Limits", "memory, read ", "GB/s", "Gop/s",
                 "Self-test", "scalar ", "kernels right", "Advice"):
        assert word in text
    columns = {line[2:].index(line[2:].split("  ")[-1].strip()) for line in text.splitlines()
               if line.startswith("  ") and not line.startswith("  *") and "  " in line[2:]}
    assert columns == {18}, "a table that is not aligned"


def advice(run, *arguments, **changes):
    r = run("doctor", "--json", "--quiet", *arguments, env=environment(**changes))
    assert r.returncode == 0
    result = json.loads(r.stdout)
    return result, " ".join(result["advice"])


def test_advice_on_threads_and_instruction_set(run, healthy):
    cores = healthy["choice"]["default_threads"]
    result, text = advice(run, "--threads", 2 * cores, CRIA_ISA="scalar")
    assert result["choice"]["threads"] == 2 * cores
    assert f"--threads {cores} is likely best" in text
    assert result["choice"]["isa"] == "scalar" and result["choice"]["isa_why"] == "CRIA_ISA=scalar"
    assert ("without CRIA_ISA" in text) == (healthy["choice"]["isa"] != "scalar")
    assert len(healthy["advice"]) < len(result["advice"])


def test_affinity_is_noticed(run, healthy):
    mine = os.sched_getaffinity(0)
    r = run("doctor", "--json", "--quiet", env=environment(),
            preexec_fn=lambda: os.sched_setaffinity(0, {min(mine)}))
    result = json.loads(r.stdout)
    assert result["machine"]["cpus"] == result["choice"]["threads"] == 1
    said = "affinity mask or cpuset lets cria use 1 of" in " ".join(result["advice"])
    assert said == (healthy["machine"]["cpus_online"] > 1)


@pytest.mark.parametrize("arguments, changes", [(["--isa", "avx9"], {}), ([], {"CRIA_ISA": "avx9"})])
def test_an_impossible_instruction_set_is_a_failure(run, arguments, changes):
    r = run("doctor", "--quiet", *arguments, env=environment(**changes))
    assert r.returncode == 1 and r.stdout == b""
    assert r.stderr.startswith(b"cria: ") and r.stderr.count(b"\n") == 1 and b"avx9" in r.stderr and b"scalar" in r.stderr


def test_a_self_test_without_memory_is_a_failure(run):
    def little():
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 20, 1 << 20))
    r = run("doctor", "--json", "--quiet", "--threads", 1, env=environment(), preexec_fn=little)
    assert r.returncode == 1
    result = json.loads(r.stdout)
    assert result["ok"] is False
    failed = [t for t in result["self_test"]["tables"] if t["failed"]]
    assert failed and all(t["failed"] == 1 and "memory" in t["failure"] for t in failed)
    assert "do not trust" in result["advice"][0]
    assert result["limits"] is None


def test_a_kernel_that_stops_the_program_is_a_line_of_the_page(cria):
    """The signal of an instruction that the processor has not, sent from here to the first testing process."""
    program = subprocess.Popen([str(cria), "doctor", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment())
    children = f"/proc/{program.pid}/task/{program.pid}/children"
    child = None
    for _ in range(10000):
        with open(children) as f:
            child = f.read().split()
        if child:
            break
        time.sleep(0.001)
    os.kill(int(child[0]), signal.SIGILL)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 1 and err == b""
    line = next(line for line in out.decode().splitlines() if line.startswith("  scalar"))
    assert "FAILED: 1 of" in line and "stopped by signal 4" in line
    assert out.count(b"FAILED") == 1, "the other tables are tested all the same"
