"""The workshop's engine. Labs import from here and from nowhere else."""

from workshop.errors import WorkshopError
from workshop.facts import ipvs_table, ndb_members
from workshop.faults import Action, Plan, command, cut
from workshop.waiting import always, eventually

__all__ = [
    "Action", "Plan", "WorkshopError", "always", "command", "cut", "eventually", "ipvs_table",
    "ndb_members",
]  # fmt: skip
