"""Lab 4's resource script: when it promotes, when it refuses, and what it says.

MariaDB is played by a script that answers as two servers would and writes down what it was told.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from workshop import manifest, render

PLAYED = r"""#!/bin/bash
for word in "$@"; do
    case $word in --execute=*) sql=${word#--execute=} ;; --defaults-extra-file=*) at=other ;; esac
done
cd "$(dirname "$0")/${at:-own}" || exit 1
echo "${at:-own}: $sql" >>../told
show() { for name in "$@"; do printf '%s\t%s\n' "$name" "$(cat "$name")"; done; }
case $sql in
*) if [ -e dead ]; then echo "ERROR 2002 (HY000): Can't connect" >&2; exit 1; fi ;;&
*) if [ -e refused ]; then echo "ERROR 1045 (28000): Access denied" >&2; exit 1; fi ;;&
"SHOW GLOBAL VARIABLES WHERE"*) show read_only gtid_binlog_pos ;;
"SHOW GLOBAL VARIABLES LIKE"*) show "$(cut -d "'" -f 2 <<<"$sql")" ;;
"SHOW SLAVE STATUS"*) cat replication ;;
"SELECT MASTER_GTID_WAIT"*) cat applied ;;
*"read_only = OFF"*) echo OFF >read_only ;;
*"read_only = ON"*) echo ON >read_only ;;
esac
"""
FOLLOWING = """\
 Master_Host: 192.168.57.22
 Slave_IO_Running: Yes
 Slave_SQL_Running: Yes
 Gtid_IO_Pos: 0-2-70
 Last_SQL_Error:
"""


@dataclass
class Server:
    """db1, with a database played for it."""

    script: Path
    folder: Path

    def put(self, where: str, **values: str) -> None:
        for name, value in values.items():
            (self.folder / where / name).write_text(f"{value}\n")

    def asked(self, word: str) -> tuple[int, str]:
        """Its exit status, and all that it said."""
        done = subprocess.run([self.script, word], capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    @property
    def told(self) -> str:
        told = self.folder / "told"
        return told.read_text() if told.exists() else ""


@pytest.fixture
def db1(tmp_path: Path) -> Server:
    """A replica that has applied all it received, beside a sound replica that has no more."""
    labs = tmp_path / "labs"
    shutil.copytree(manifest.LABS, labs)
    draft = labs / "04-replication" / "draft.toml"
    if draft.exists():
        draft.rename(draft.with_name("lab.toml"))
    rendered = {
        (file.path, file.node): file.content
        for file in render.files(manifest.lab("replication", labs))
    }
    played = tmp_path / "bin"
    for folder in ("own", "other"):
        (played / folder).mkdir(parents=True)
    for name, body in (
        ("mariadb", PLAYED),
        ("logger", '#!/bin/sh\nshift 4\necho "$*" >&2\n'),
        ("systemctl", f'#!/bin/sh\necho "systemctl: $*" >>{played}/told\n'),
    ):
        (played / name).write_text(body)
        (played / name).chmod(0o755)
    text = rendered["etc/ha.d/resource.d/database-writer", "db1"].decode()
    assert text.count("\nPATH=") == 1
    script = tmp_path / "database-writer"
    script.write_text(text.replace("\nPATH=", f"\nPATH={played}:"))
    script.chmod(0o755)
    server = Server(script, played)
    server.put("own", read_only="ON", gtid_binlog_pos="0-2-70", replication=FOLLOWING, applied="0")
    server.put("other", read_only="ON", gtid_binlog_pos="0-2-71")
    return server


def test_a_replica_says_that_it_follows_and_a_writer_that_it_runs(db1: Server) -> None:
    assert db1.asked("status") == (3, "stopped: db1 follows\n")
    db1.put("own", read_only="OFF")
    assert db1.asked("status") == (0, "running: db1 is the writer\n")
    db1.put("own", dead="")
    status, said = db1.asked("status")
    # heartbeat looks for the word at the beginning, and a dead server holds nothing
    assert status == 3
    assert said.startswith("not running")


def test_it_waits_for_all_that_the_other_one_has(db1: Server) -> None:
    status, _ = db1.asked("start")
    assert status == 0
    assert "SELECT MASTER_GTID_WAIT('0-2-71'" in db1.told
    steps = [line for line in db1.told.splitlines() if line.startswith("own: S")]
    wait = next(i for i, line in enumerate(steps) if "MASTER_GTID_WAIT" in line)
    assert wait < steps.index("own: STOP SLAVE") < len(steps)
    assert db1.asked("status")[0] == 0


def test_where_the_other_one_is_dead_it_applies_all_that_it_received(db1: Server) -> None:
    db1.put("other", dead="")
    status, _ = db1.asked("start")
    assert status == 0
    assert db1.told.index("STOP SLAVE IO_THREAD") < db1.told.index("MASTER_GTID_WAIT('0-2-70'")


@pytest.mark.parametrize(
    ("where", "what", "value", "reason"),
    [
        ("other", "read_only", "OFF", "is still the writer"),
        ("other", "refused", "", "answers, but not the question"),
        ("own", "applied", "-1", "it has not applied all up to 0-2-71"),
        ("own", "dead", "", "this server does not answer"),
        (
            "own",
            "replication",
            FOLLOWING.replace("SQL_Running: Yes", "SQL_Running: No"),
            "it does not apply what it received",
        ),
    ],
)
def test_it_refuses_what_it_cannot_be_sure_of(
    db1: Server, where: str, what: str, value: str, reason: str
) -> None:
    db1.put(where, **{what: value})
    status, said = db1.asked("start")
    assert status == 1
    assert f"refused: {reason}" in said or reason in said
    assert "read_only = OFF" not in db1.told


def test_a_refused_promotion_goes_on_listening(db1: Server) -> None:
    db1.put("other", dead="")
    db1.put("own", applied="-1")
    assert db1.asked("start")[0] == 1
    assert db1.told.rstrip().splitlines()[-1] == "own: START SLAVE IO_THREAD"


def test_force_asks_nobody(db1: Server) -> None:
    db1.put("other", read_only="OFF")
    assert db1.asked("force")[0] == 0
    assert "other:" not in db1.told
    assert db1.asked("status")[0] == 0


def test_who_is_the_writer_already_is_left_alone(db1: Server) -> None:
    db1.put("own", read_only="OFF")
    assert db1.asked("start")[0] == 0
    assert "STOP SLAVE" not in db1.told


def test_demoted_it_takes_no_more_writes_and_follows(db1: Server) -> None:
    db1.put("own", read_only="OFF")
    assert db1.asked("stop")[0] == 0
    told = db1.told
    assert told.index("read_only = ON") < told.index("MASTER_DEMOTE_TO_SLAVE=1; START SLAVE")
    assert db1.asked("status")[0] == 3


def test_a_replica_that_is_stopped_keeps_what_it_received(db1: Server) -> None:
    assert db1.asked("stop")[0] == 0  # heartbeat calls it after a start that was refused
    assert "CHANGE MASTER" not in db1.told


def test_who_does_not_answer_is_killed_rather_than_left_with_the_right_to_write(
    db1: Server,
) -> None:
    db1.put("own", dead="")
    assert db1.asked("stop")[0] == 0  # else heartbeat restarts the machine
    told = db1.told
    assert told.index("kill --signal=KILL mariadb") < told.index("restart --no-block mariadb")
