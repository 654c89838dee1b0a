"""The workshop's engine. Labs import from here and from nowhere else."""

from workshop.errors import WorkshopError
from workshop.facts import ipvs_table
from workshop.faults import Action, Plan, command
from workshop.waiting import always, eventually

__all__ = [
    "Action", "Plan", "WorkshopError", "always", "command", "eventually", "ipvs_table",
]  # fmt: skip
