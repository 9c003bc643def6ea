"""A command does its work without a look at all that the work returns."""

from activityctl.cli.session import run_to_end


class Large:
    """A result whose text would take long."""

    texts = 0

    def __repr__(self) -> str:
        Large.texts += 1
        return "very much text"


async def work() -> Large:
    return Large()


def test_no_text_is_made_of_a_result() -> None:
    assert isinstance(run_to_end(work()), Large)
    assert Large.texts == 0
