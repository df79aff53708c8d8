"""What the forks print while they are imported is not shown, and nothing else is lost."""

from mmengine.logging import print_log

from allinone.compat import import_noise


def test_only_the_whole_message_is_kept_back(monkeypatch, capsys):
    monkeypatch.delenv(import_noise.VARIABLE, raising=False)
    print_log('Could not import OneDL')
    print_log('Could not import OneDL. Skipping OneDL datasets.')
    print_log('Could not import OneDL, nor Two')
    assert capsys.readouterr().out == 'Could not import OneDL, nor Two\n'
    monkeypatch.setenv(import_noise.VARIABLE, '')  # So that it is removed afterwards
    import_noise.show()
    print_log('Could not import OneDL')
    assert capsys.readouterr().out == 'Could not import OneDL\n'
