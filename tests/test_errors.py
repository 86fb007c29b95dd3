from tapwright.errors import ProviderError


def test_in_one_line_the_next_step_is_kept() -> None:
    assert ProviderError("it does not answer").line == "it does not answer"
    assert ProviderError("it is not here", "apt install a\nor b").line == "it is not here: apt install a, or b"
