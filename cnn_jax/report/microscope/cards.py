"""What stands behind each "?" of the page: how a picture is made, what it cannot tell, and the test that guards it."""

from typing import NamedTuple

from cnn_jax.report.microscope import guided, maps, optimised, units


class Card(NamedTuple):
    """A method in words.

    Attributes:
        title: of the card.
        formula: what is computed.
        settings: the constants of this page, a seed among them where there is chance.
        cannot: what the picture does not tell.
        test: FILE::FUNCTION, what fails when the method is wrong.
    """

    title: str
    formula: str
    settings: str
    cannot: str
    test: str


CARDS: dict[str, Card] = {
    'selectivity': Card(
        'Selectivity',
        "The correlation, over the images, of the mean of a unit's map with being of a class (1 or 0); the "
        'largest over the classes. Point-biserial: 1 where the unit has one value for the class and another '
        'for all others.',
        'All images that are looked at; no chance.',
        'A unit can matter to the net without being selective for one class, and be selective without '
        'mattering.',
        'tests/test_report_microscope.py::test_correlation_of_a_unit_that_is_its_class',
    ),
    'patches': Card(
        'Patches that excite it most',
        "Of each image the largest value of the unit's map; of the images with the highest, what the unit at "
        'that place sees: the smallest box around the pixels that its value depends on. Zeiler and Fergus '
        '2013, arXiv:1311.2901.',
        f'{units.NUM_PATCHES} images, one patch of each; of equals the first.',
        'What the patches have in common that the unit uses: they also share what is merely frequent. And '
        'nothing of what the unit does at middling values.',
        'tests/test_report_microscope.py::test_top_patches_are_those_of_the_method',
    ),
    'guided': Card(
        'Guided reconstruction',
        "The gradient of the unit's value with respect to the pixels, where each ReLU lets through only what "
        'is positive forwards and backwards: g (x > 0) (g > 0); summed over the colours. Springenberg et al. '
        '2014, arXiv:1412.6806.',
        f'The first {guided.NUM_GUIDED} patches; each unit has its own colours.',
        'Little of the weights: pictures of a net with random weights look alike (Adebayo et al. 2018, '
        'arXiv:1810.03292). It shows edges near which the unit looks, not how much each counts.',
        'tests/test_report_guided.py::test_guided_pictures_are_those_of_the_method',
    ),
    'optimised': Card(
        'Images made for a unit',
        "From noise, the pixels climb the mean of the unit's map, moved, turned and blurred a little at each "
        'step; the second image is also made to differ from the first, the third goes down. Yosinski et al. '
        '2015, arXiv:1506.06579.',
        f'Preset {optimised.PRESET}, {optimised.STEPS} steps, seed {optimised.SEED}; the first units of layers with '
        'weights, by `--mode=report --set.made=NUMBER`.',
        'What the unit sees in real images: people tell that better from patches (Borowski et al. 2021, '
        'arXiv:2010.12606). Other settings give other pictures.',
        'tests/test_report_made.py::test_made_images_excite_their_units',
    ),
    'class_images': Card(
        'Images of the classes',
        'From noise, the pixels climb the score of the class (before softmax), moved, turned and blurred a little at '
        'each step, with the net as it was at that step of its training. Simonyan et al. 2013, arXiv:1312.6034; '
        'Yosinski et al. 2015, arXiv:1506.06579.',
        f'Preset {optimised.PRESET}, {optimised.STEPS} steps, seed {optimised.SEED}; the same noise and the same moves '
        'at all steps of the training. The first classes, by `--mode=report --set.classes=NUMBER`.',
        'What the net needs to see: an image can have a high score and be like no image of the class. Scores of two '
        'steps of the training are not on one scale, for weights grow.',
        'tests/test_report_class_images.py::test_class_images_are_those_of_the_method_at_each_step',
    ),
    'gradient': Card(
        'Gradient',
        'The derivative of the score of the class (before softmax) with respect to each pixel, summed over '
        'the colours. Simonyan et al. 2013, arXiv:1312.6034.',
        'No settings, no chance.',
        'What would happen if a pixel changed much: it is the slope at this image alone. It is noisy where '
        'the net bends often.',
        'tests/test_visualize_attribution.py::test_gradient_against_finite_differences',
    ),
    'guided_backprop': Card(
        'Guided backpropagation',
        'The gradient of the score, where each ReLU lets through only what is positive forwards and '
        'backwards. Springenberg et al. 2014, arXiv:1412.6806.',
        'No settings, no chance.',
        'Whether the class has anything to do with it: look at the twin, which is often as sharp (Adebayo et '
        'al. 2018, arXiv:1810.03292).',
        'tests/test_visualize_golden.py::test_maps_of_vgg11',
    ),
    'grad_cam': Card(
        'Grad-CAM',
        "The maps of a layer, each times the mean of the score's gradient over its places, summed, and what "
        'is negative cut off; placed at the centres of what the units see. Selvaraju et al. 2016, '
        'arXiv:1610.02391.',
        'The last layer that has maps, on the page of images; on the page Alive the chosen one.',
        "Detail finer than the layer's places, and what speaks against the class.",
        'tests/test_report_alive.py::test_grad_cam_in_the_page_is_the_method',
    ),
    'occlusion': Card(
        'Occlusion',
        'A square is set to 0, the mean of standardised images, and the score that is lost is written where '
        'it was; where squares overlap, the mean. Zeiler and Fergus 2013, arXiv:1311.2901.',
        'Squares of a quarter of the image, in steps of half a square.',
        'What two places do together, and anything smaller than the square. A grey square is itself something'
        ' that the net has never seen.',
        'tests/test_report_maps.py::test_occlusion_is_that_of_the_method',
    ),
    'twins': Card(
        'Twins',
        'The same map of a net whose weights are shuffled within each array: what is learned is gone, what '
        "the shape of the net does stays. The number is Spearman's correlation of the magnitudes. Adebayo et "
        'al. 2018, arXiv:1810.03292.',
        f'Seed {maps.SEED} of the shuffling.',
        'That a map is right: one that differs from its twin depends on the weights, no more.',
        'tests/test_report_maps.py::test_twins_are_maps_of_shuffled_weights',
    ),
    'alive': Card(
        'The net in the page',
        'The net as JAX traced it, a list of convolutions, pools, products and sums, run step by step in '
        'float32; the gradient of Grad-CAM is part of the list.',
        'The weights of the step that the page names; nothing is rounded.',
        'How the net does on drawings: it has learned from other images, and a drawing may be like none of '
        'them.',
        'tests/test_report_alive.py::test_a_net_in_the_page_is_the_net_of_jax',
    ),
}  # fmt: skip


def cards() -> dict[str, dict[str, str]]:
    """All cards as plain values."""
    return {name: card._asdict() for name, card in CARDS.items()}
