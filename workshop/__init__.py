"""The workshop's engine. Labs import from here and from nowhere else."""

from workshop.errors import WorkshopError
from workshop.faults import Action, Plan, command
from workshop.waiting import always, eventually

__all__ = ["Action", "Plan", "WorkshopError", "always", "command", "eventually"]
