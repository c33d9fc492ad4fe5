"""Which tests of several processes count for coverage."""

from collections.abc import Iterator

import pytest

# Together with the unit tests, these run nearly all of the package. Measuring makes a process take
# half as long again, so that the others are not measured.
MEASURED = {"test_logging", "test_multiworker", "test_predict", "test_tables"}


@pytest.fixture(autouse=True, scope="module")
def _measure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keeps the processes of all other tests from measuring coverage."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.module.__name__.rpartition(".")[2] not in MEASURED:
            monkeypatch.delenv("COVERAGE_FOLDER", raising=False)
        yield
