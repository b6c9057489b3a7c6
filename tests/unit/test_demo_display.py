"""What the demo shows where there is no terminal."""

import io

from rich.console import Console

from devstack.demo.display import Display
from devstack.demo.figures import DemoFigures


def test_each_thing_that_the_demo_does_has_a_line_however_short_it_is() -> None:
    output = io.StringIO()
    with Display(Console(file=output), {}) as display:
        for doing in ["the last 24 hours", "the last 24 hours", "live", "stopping the fleet"]:
            display.show(DemoFigures(), doing)
    begun = [line.partition(":")[0] for line in output.getvalue().splitlines()]
    assert begun == ["the last 24 hours", "live", "stopping the fleet"]
