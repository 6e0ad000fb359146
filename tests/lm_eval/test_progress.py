from bytemlperf.lm_eval.progress import Bar


def test_a_bar_goes_on_from_wave_to_wave_and_ends_whole(capsys):
    bar, seen = Bar(), []
    bar(5, 10)  # nobody looks yet
    with bar.shown("waves", 10, hidden=False):
        for done in (2, 4, 1, 3):  # a wave of four, then one that is cut short
            bar(done, 4)
            seen.append(bar.at)
    assert seen == [2, 4, 5, 7]
    assert "10/10" in capsys.readouterr().err
    bar(5, 10)
    with bar.shown("hidden", 10, hidden=True):
        bar(1, 10)
    assert "hidden" not in capsys.readouterr().err
