#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for llama-bench (by name "llama" or "ik") and llama-batched-bench ("batched"): the options that it got go
to the file FAKE_LOG, and the rates that it reports follow from the test, so that ratios can be foretold."""
import json
import os
import sys


def values(arguments, name):
    return [int(x) for i, a in enumerate(arguments) if a == name for x in arguments[i + 1].split(",")]


def pairs(arguments, name):
    return [tuple(map(int, arguments[i + 1].split(","))) for i, a in enumerate(arguments) if a == name]


def result(n_prompt, n_gen, rate, **more):
    return {"model_type": "fake", "n_prompt": n_prompt, "n_gen": n_gen, "avg_ts": -1.0, "samples_ts": [rate, 3 * rate, rate]} | more


def main():
    kind, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as log:
        print(json.dumps([kind, *arguments]), file=log)
    if "--fail" in arguments:
        print("first line\nno such model", file=sys.stderr)
        sys.exit(3)
    if "--nonsense" in arguments:
        print("| model | size |")
        return
    if kind == "batched":
        print("main: some text")
        for n in values(arguments, "-ntg"):
            for b in values(arguments, "-npl"):
                print(json.dumps({"pp": values(arguments, "-npp")[0], "tg": n, "pl": b, "speed_tg": 1000.0 * b}))
        return
    found = []
    for depth in values(arguments, "-d") if kind == "llama" else [0]:
        more = {"n_depth": depth} if kind == "llama" else {}
        found += [result(n, 0, 100.0 + depth, **more) for n in values(arguments, "-p") if n]
        found += [result(0, n, 10.0 + depth, **more) for n in values(arguments, "-n") if n]
    if kind == "ik":
        for x in found:
            x["test"] = f"pp{x['n_prompt']}" if x["n_prompt"] else f"tg{x['n_gen']}"
        found += [result(p, n, 20.0 + p, test=f"tg{n}@pp{p}") for p, n in pairs(arguments, "-gp")]
        found.append(result(512, 64, 1.0, test="pp512+tg64"))  # something else
    print(json.dumps(found))


if __name__ == "__main__":
    main()
