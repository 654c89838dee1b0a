"""The peer does what the page does: the same files, the same commands."""

from __future__ import annotations

import yaml

from workshop import bench, manifest, render, steps


def test_the_playbook_installs_and_runs_what_lab_1_does() -> None:
    lab = manifest.lab(1)
    play = (bench.PEERS / "lab-1.yml").read_text()
    yaml.safe_load(play)
    for file in render.files(lab):
        assert f'{{ path: {file.path}, mode: "{file.mode}" }}' in play
    for step in steps.parse(lab).section("build"):
        for line in step.body.splitlines() if step.kind == "sh" else ():
            assert line in play


def test_the_report_has_least_median_most_and_ratios() -> None:
    rows = [bench.Row("reset", "s", [2.0, 1.0, 4.0])]
    where = bench.host.Host("libvirt", "tcg", "for a test", True, "")
    text, data = bench.report(rows, [bench.Ratio("up : reset", 20.0)], where)
    assert "| reset | 1.0 | 2.0 | 4.0 | s |" in text
    assert "| up : reset | 20.0 |" in text
    assert '"accelerator": "tcg"' in data
