"""What a set of validation data is called in W&B and in the logs, if a run has several."""

from __future__ import annotations

import dataclasses
import hashlib
import re

from disteval.errors import DistEvalError

# Characters of a name that are kept; W&B allows 128 in the name of an artifact.
MAX_LENGTH = 64


def slug(name: str) -> str:
    """Returns a name in letters that W&B allows; two different names stay different."""
    allowed = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:MAX_LENGTH]
    if allowed == name:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=3).hexdigest()
    return f"{allowed}-{digest}"


@dataclasses.dataclass(frozen=True)
class SetName:
    """The name of a set; without one, everything is named as by the base class.

    Args:
        name: See `DistEvalCallback`.

    Raises:
        DistEvalError: The name is no text, or empty.
    """

    name: str | None = None

    def __post_init__(self) -> None:
        is_text = isinstance(self.name, str) and self.name.strip()
        if self.name is not None and not is_text:
            raise DistEvalError(
                f"`name` is no name of a set. Received: name={self.name!r}. Expected: a text such "
                'as "night", or None.'
            )

    @property
    def slug(self) -> str:
        """The name in letters that W&B allows; empty without a name."""
        return "" if self.name is None else slug(self.name)

    def artifact(self, name: str) -> str:
        """Returns the name of an artifact, such as `val_night`."""
        return f"{name}_{self.slug}" if self.slug else name

    def value(self, name: str) -> str:
        """Returns the name of a value of the run, such as `eval/night/accuracy`."""
        return f"{self.prefix}{name}"

    @property
    def prefix(self) -> str:
        """What the names of all values of the run begin with."""
        return f"eval/{self.slug}/" if self.slug else "eval/"

    def log(self, metric: str) -> str:
        """Returns the name of a metric in `logs`, such as `val_night_accuracy`."""
        return f"val_{self.slug}_{metric}" if self.slug else f"val_{metric}"

    def step(self, step: str) -> str:
        """Returns the name of a step of all ranks, which tells the sets apart."""
        return step if self.name is None else f"{step} of the set {self.name!r}"


UNNAMED = SetName()
