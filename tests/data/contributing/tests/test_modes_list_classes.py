"""What it prints."""

from cnn_jax.main import main


def test_the_classes_are_listed(capsys):
    assert main(['--mode=list_classes', '--experiment=lenet_digits', '--most=2']) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ['0', '1']
