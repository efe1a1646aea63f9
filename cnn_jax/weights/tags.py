"""How the images of published weights are prepared, by the weights' own names: facts, nothing computed.

Taken from timm 1.0.31 (each model's `pretrained_cfg`) and torchvision 0.28 (`transforms()` of each entry of its weights
enums); tests/data/make_preprocessing.py wrote them down, and a test compares.
"""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of RGB values 0 .. 1
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# (size, share of the short side that the crop has, filter, mean and deviation, and size and share of timm's own
# measurements, which are of larger images) -> tags.
TIMM = (
    (
        (160, 0.95, 'bicubic', IMAGENET, 224, 0.95),
        """
        resnet101.a3_in1k resnet152.a3_in1k resnet18.a3_in1k resnet34.a3_in1k resnet50.a3_in1k
        resnet50d.a3_in1k resnext50_32x4d.a3_in1k seresnet50.a3_in1k
        """,
    ),
    (
        (176, 0.875, 'bicubic', IMAGENET, 224, 0.95),
        """
        resnet10t.c3_in1k resnet14t.c3_in1k
        """,
    ),
    (
        (176, 0.875, 'bilinear', IMAGENET, 224, 0.965),
        """
        resnet101.tv2_in1k resnet152.tv2_in1k resnet50.tv2_in1k resnext101_32x8d.tv2_in1k
        resnext50_32x4d.tv2_in1k wide_resnet101_2.tv2_in1k wide_resnet50_2.tv2_in1k
        """,
    ),
    (
        (176, 0.9, 'bicubic', IMAGENET, 224, 1.0),
        """
        resnet50.a1h_in1k
        """,
    ),
    (
        (224, 0.875, 'bicubic', IMAGENET, 224, 0.875),
        """
        legacy_seresnet18.in1k legacy_seresnext26_32x4d.in1k resnet101.gluon_in1k resnet101c.gluon_in1k
        resnet101d.gluon_in1k resnet101s.gluon_in1k resnet152.gluon_in1k resnet152c.gluon_in1k
        resnet152d.gluon_in1k resnet152s.gluon_in1k resnet18.gluon_in1k resnet34.gluon_in1k resnet50.am_in1k
        resnet50.gluon_in1k resnet50c.gluon_in1k resnet50d.gluon_in1k resnet50s.gluon_in1k
        resnext101_32x4d.gluon_in1k resnext101_64x4d.gluon_in1k resnext50_32x4d.gluon_in1k
        seresnext101_32x4d.gluon_in1k seresnext101_64x4d.gluon_in1k seresnext50_32x4d.gluon_in1k
        """,
    ),
    (
        (224, 0.875, 'bicubic', IMAGENET, 288, 0.95),
        """
        resnet18d.ra2_in1k resnet26.bt_in1k resnet26d.bt_in1k resnet34.bt_in1k resnet34d.ra2_in1k
        resnet50.bt_in1k resnet50.ra_in1k resnet50.ram_in1k resnet50d.ra2_in1k resnext50_32x4d.ra_in1k
        resnext50d_32x4d.bt_in1k seresnet50.ra2_in1k seresnext26d_32x4d.bt_in1k seresnext26t_32x4d.bt_in1k
        seresnext50_32x4d.racm_in1k wide_resnet50_2.racm_in1k
        """,
    ),
    (
        (224, 0.875, 'bilinear', IMAGENET, 224, 0.875),
        """
        legacy_seresnet101.in1k legacy_seresnet152.in1k legacy_seresnet34.in1k legacy_seresnet50.in1k
        legacy_seresnext101_32x4d.in1k legacy_seresnext50_32x4d.in1k resnet101.tv_in1k resnet152.tv_in1k
        resnet18.fb_ssl_yfcc100m_ft_in1k resnet18.fb_swsl_ig1b_ft_in1k resnet18.tv_in1k resnet34.tv_in1k
        resnet50.fb_ssl_yfcc100m_ft_in1k resnet50.fb_swsl_ig1b_ft_in1k resnet50.tv_in1k
        resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k resnext101_32x16d.fb_swsl_ig1b_ft_in1k
        resnext101_32x16d.fb_wsl_ig1b_ft_in1k resnext101_32x32d.fb_wsl_ig1b_ft_in1k
        resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k resnext101_32x4d.fb_swsl_ig1b_ft_in1k
        resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k resnext101_32x8d.fb_swsl_ig1b_ft_in1k
        resnext101_32x8d.fb_wsl_ig1b_ft_in1k resnext101_32x8d.tv_in1k resnext101_64x4d.tv_in1k
        resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k resnext50_32x4d.fb_swsl_ig1b_ft_in1k resnext50_32x4d.tv_in1k
        vgg11.tv_in1k vgg11_bn.tv_in1k vgg13.tv_in1k vgg13_bn.tv_in1k vgg16.tv_in1k vgg16_bn.tv_in1k
        vgg19.tv_in1k vgg19_bn.tv_in1k wide_resnet101_2.tv_in1k wide_resnet50_2.tv_in1k
        """,
    ),
    (
        (224, 0.9, 'bicubic', HALF, 288, 1.0),
        """
        resnet18d.ra4_e3600_r224_in1k resnet34.ra4_e3600_r224_in1k resnetv2_18.ra4_e3600_r224_in1k
        resnetv2_18d.ra4_e3600_r224_in1k resnetv2_34.ra4_e3600_r224_in1k resnetv2_34d.ra4_e3600_r224_in1k
        """,
    ),
    (
        (224, 0.94, 'bicubic', IMAGENET, 288, 0.95),
        """
        resnet50_gn.a1h_in1k
        """,
    ),
    (
        (224, 0.95, 'bicubic', HALF, 288, 1.0),
        """
        resnet50d.ra4_e3600_r224_in1k resnetv2_101.a1h_in1k resnetv2_50.a1h_in1k resnetv2_50d_gn.ah_in1k
        """,
    ),
    (
        (224, 0.95, 'bicubic', IMAGENET, 288, 1.0),
        """
        resnet101.a1_in1k resnet101.a1h_in1k resnet101.a2_in1k resnet152.a1_in1k resnet152.a1h_in1k
        resnet152.a2_in1k resnet18.a1_in1k resnet18.a2_in1k resnet34.a1_in1k resnet34.a2_in1k resnet50.a1_in1k
        resnet50.a2_in1k resnet50.b1k_in1k resnet50.b2k_in1k resnet50.c1_in1k resnet50.c2_in1k resnet50.d_in1k
        resnet50d.a1_in1k resnet50d.a2_in1k resnext101_64x4d.c1_in1k resnext50_32x4d.a1_in1k
        resnext50_32x4d.a1h_in1k resnext50_32x4d.a2_in1k seresnet50.a1_in1k seresnet50.a2_in1k
        seresnext101_32x8d.ah_in1k seresnext101d_32x8d.ah_in1k
        """,
    ),
    (
        (224, 1.0, 'bicubic', IMAGENET, 224, 1.0),
        """
        resnet50.bamboo
        """,
    ),
    (
        (256, 0.94, 'bicubic', IMAGENET, 320, 1.0),
        """
        resnet26t.ra2_in1k
        """,
    ),
    (
        (256, 0.95, 'bicubic', IMAGENET, 320, 1.0),
        """
        resnet101d.ra2_in1k resnet152d.ra2_in1k resnet200d.ra2_in1k seresnet152d.ra2_in1k
        """,
    ),
    (
        (299, 0.875, 'bicubic', HALF, 299, 0.875),
        """
        inception_v3.tf_adv_in1k inception_v3.tf_in1k inception_v3.tv_in1k
        """,
    ),
    (
        (299, 0.875, 'bicubic', IMAGENET, 299, 0.875),
        """
        inception_v3.gluon_in1k
        """,
    ),
    (
        (384, 1.0, 'bicubic', HALF, 448, 1.0),
        """
        resnetv2_34d.ra4_e3600_r384_in1k
        """,
    ),
)

# (size, short side, filter, mean and deviation) -> tags: V1 is IMAGENET1K_V1.
TORCHVISION = (
    (
        (224, 256, 'bilinear', IMAGENET),
        """
        alexnet.V1 googlenet.V1 resnet101.V1 resnet152.V1 resnet18.V1 resnet34.V1 resnet50.V1 resnext101_32x8d.V1
        resnext50_32x4d.V1 vgg11.V1 vgg11_bn.V1 vgg13.V1 vgg13_bn.V1 vgg16.V1 vgg16_bn.V1 vgg19.V1 vgg19_bn.V1
        wide_resnet101_2.V1 wide_resnet50_2.V1
        """,
    ),
    (
        (224, 232, 'bilinear', IMAGENET),
        """
        resnet101.V2 resnet152.V2 resnet50.V2 resnext101_32x8d.V2 resnext101_64x4d.V1 resnext50_32x4d.V2
        wide_resnet101_2.V2 wide_resnet50_2.V2
        """,
    ),
    ((299, 342, 'bilinear', IMAGENET), 'inception_v3.V1'),
    ((224, 256, 'bilinear', ((0.48235, 0.45882, 0.40784), (1 / 255,) * 3)), 'vgg16.FEATURES'),
)
