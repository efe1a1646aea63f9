"""Every file that CONTRIBUTING.md speaks of has the form of its kind; what is missing is said in a sentence."""

import forms
import pytest

FILES = [pytest.param(kind, name, file, id=file) for kind, (_, files) in forms.KINDS.items() for name, file in files]


@pytest.mark.parametrize(('kind', 'name', 'file'), FILES)
def test_a_file_has_the_form_of_its_kind(kind, name, file):
    missing = forms.missing(kind, name, file)
    assert not missing, '\n'.join(missing)
