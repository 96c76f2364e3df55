"""One finished run of the binary."""

import json
from dataclasses import dataclass


@dataclass
class Run:
    arguments: list
    code: int
    stdout: str
    stderr: str

    @property
    def json(self):
        """What `--json` wrote: exactly one JSON document on stdout, and nothing beside it."""
        return json.loads(self.stdout)

    def told(self) -> str:
        """Everything that the run said, for a failed assertion."""
        words = " ".join(self.arguments)
        return f"prosect {words}\nexit code {self.code}\nstdout:\n{self.stdout}\nstderr:\n{self.stderr}"
