"""The whole program on tiny data."""


def test_a_run_trains_validates_and_saves(trained):
    runner, _, work_dir = trained
    assert runner.iter == 4
    assert (work_dir / 'iter_4.pth').is_file()
