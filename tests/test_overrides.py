"""Settings for one run: what may be given, what it does to the run key, and what stays as it is."""

from pathlib import Path

import pytest

from perennial.config.overrides import Overrides, parse
from perennial.context import Workspace
from perennial.errors import ConfigError
from tests import shop


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Open a shop's workspace."""
    return Workspace.open(root=shop.write_project(tmp_path))


def test_a_run_with_settings_of_its_own_has_the_key_of_a_file_that_says_so(place: Workspace) -> None:
    """The digest is that of the edited file, and nothing else of the pipeline has changed."""
    given = parse(["model.seed=9", "model.params.max_iter=20"])
    once = place.pipeline("shop", given)
    plain = place.pipeline("shop")
    path = place.root / "configs" / "shop.yaml"
    path.write_text(shop.PIPELINE.replace("seed: 3", "seed: 9").replace("max_iter: 15", "max_iter: 20"))

    assert once.digest == place.pipeline("shop").digest != plain.digest
    assert once.config.model.params == {"max_iter": 20, "max_leaf_nodes": 7, "min_samples_leaf": 20}
    assert once.config.gates == plain.config.gates


def test_nothing_given_changes_nothing(place: Workspace) -> None:
    """An empty form has the run key of the schedule's run, which is then not repeated."""
    assert parse([]) is None
    assert place.pipeline("shop", Overrides()).digest == place.pipeline("shop").digest


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.sed=3", "'model.sed=3' cannot be set for one run; write model.seed=VALUE"),
        ("seed=3", "cannot be set for one run"),
        ("gates.0.max=9", "cannot be set for one run"),
        ("model.seed", "cannot be set for one run"),
        ("model.params=3", r"model\.params\.NAME=VALUE"),
        ("model.seed=many", "model.seed: Input should be a valid integer"),
        ("model.seed=1.5", "model.seed: Input should be a valid integer"),
        ("model.rows=10", "model.rows: Input should be greater than or equal to 1000"),
        ("model.seed=[1, 2]", "holds more than one value"),
    ],
)
def test_what_does_not_fit_is_refused(word: str, said: str) -> None:
    """A name or a value that cannot be is one paragraph; gates and data are never settings of one run."""
    with pytest.raises(ConfigError, match=said):
        parse([word])


def test_a_form_refuses_what_the_shell_refuses() -> None:
    """Values come as JSON there: unknown names and other types are errors, not guesses."""
    for given in ({"sed": 3}, {"seed": "3"}, {"rows": 10}):
        with pytest.raises(ValueError, match="validation error"):
            Overrides.model_validate(given)
