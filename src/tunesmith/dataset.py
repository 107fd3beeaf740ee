"""What a job that builds a data set of a codebase is to do: a DatasetPlan, with nothing left open, for its tasks.

In: what the API has understood. Out: frozen data, stored as JSON. Names no place on this machine, and no key.
"""

from __future__ import annotations

from typing import Any

from tunesmith.spec import Frozen


class DatasetPlan(Frozen):
    """A data set build job."""

    repository: str
    """An https or ssh URL of a git repository, gs://BUCKET/ARCHIVE, or gs://BUCKET/FOLDER/ with files in it."""
    destination: str
    """gs://BUCKET/FOLDER of this job's own, where the data set is written."""
    options: dict[str, Any]
    """All of a build's, by their names in data/codebase/options.py: rules as texts, suites as URIs."""
