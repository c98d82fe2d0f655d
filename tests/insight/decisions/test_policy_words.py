import pytest

from dlcycle.insight.decisions.policy_words import action_of, told_difference


@pytest.mark.parametrize(
    ("saving", "words"),
    [
        ((0.0, 0.0, 0.0), "as much as people alone"),
        ((0.001, -0.004, 0.004), "as much as people alone"),
        (
            (0.0, -1.0, 2.0),
            "as much as people alone (95 % interval -1.00 to 2.00 of the difference), so a saving is not proven",
        ),
        ((20.0, 10.0, 30.0), "20 EUR less than people alone (95 % interval 10 to 30)"),
        (
            (-20.0, -30.0, 10.0),
            "20 EUR more than people alone (95 % interval -10 to 30), so a saving is not proven",
        ),
    ],
)
def test_no_difference_is_not_told_as_a_saving(saving: tuple[float, float, float], words: str) -> None:
    metric = dict(zip(("value", "low", "high"), saving, strict=True))
    assert told_difference(metric, "people alone", "EUR") == words


def test_shares_close_to_none_and_to_all_are_not_rounded_to_them() -> None:
    assert action_of("best", 0.0) == "Let people decide every row"
    assert action_of("best", 0.002) == "Let the model decide less than 1 % of the rows and people the rest"
    assert action_of("best", 0.5) == "Let the model decide 50 % of the rows and people the rest"
    assert action_of("best", 0.999) == "Let the model decide all but a few of the rows and people the rest"
    assert action_of("best", 1.0) == "Let the model decide every row and weigh what mistakes cost"
    assert action_of("required_precision", 1.0) == action_of("alone", 1.0) == "Let the model decide every row"
