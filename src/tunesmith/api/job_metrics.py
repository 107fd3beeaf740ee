"""What a tuning job has measured so far, live: its metrics files as points, a series a name.

The files are the only place where a job's figures are kept, so none can be lost or stand twice. An attempt that resumes
another begins with the other's lines up to its checkpoint; until it has got as far, the other's later lines still
count. Once the task has succeeded, the attempt that did is all that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith import folder, pipeline, resources
from tunesmith.folder import JobFolder
from tunesmith.settings import Settings
from tunesmith.store import Job, Point

NAMES = (*resources.TRAINING_METRICS, *resources.EVALUATION_METRICS)


def read(settings: Settings, job: Job) -> Mapping[str, Sequence[Point]]:
    """Points by step, for each of the six names of which the job has measured something."""
    task = job.task(pipeline.TUNE)
    # The database says which attempts there were: a folder may be left over from another job of this id.
    first = task.attempt if task.state == "SUCCEEDED" else 1
    found: dict[str, dict[int, Point]] = {}
    for number in range(first, task.attempt + 1):
        attempt = JobFolder(settings.jobs / job.id).attempt(pipeline.TUNE, number)
        for line in folder.read_jsonl(attempt.metrics):
            for name in NAMES:
                if name in line:
                    point = Point(line["step"], line["wall_time"], float(line[name]))
                    found.setdefault(name, {})[point.step] = point
    return {name: [points[step] for step in sorted(points)] for name, points in found.items()}
