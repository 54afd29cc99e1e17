"""Image processors of the models of the catalogue, as their published files have them."""

from __future__ import annotations

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_DEVIATION = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_DEVIATION = [0.229, 0.224, 0.225]

CLIP_PROCESSOR = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": CLIP_MEAN,
    "image_std": CLIP_DEVIATION, "resample": 3, "size": 224,
}  # fmt: skip
SIGLIP_PROCESSOR = {
    "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": [0.5] * 3, "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5] * 3, "processor_class": "SiglipProcessor", "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip
DINO_PROCESSOR = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": IMAGENET_MEAN,
    "image_processor_type": "BitImageProcessor", "image_std": IMAGENET_DEVIATION, "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256},
}  # fmt: skip
NOMIC_PROCESSOR = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": CLIP_MEAN,
    "image_processor_type": "CLIPImageProcessor", "image_std": CLIP_DEVIATION, "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224},
}  # fmt: skip
JINA_PROCESSOR = {
    "fill_color": 0, "image_processor_type": "JinaCLIPImageProcessor",
    "interpolation": "bicubic", "mean": CLIP_MEAN, "processor_class": "JinaCLIPProcessor",
    "resize_mode": "shortest", "size": 224, "std": CLIP_DEVIATION,
}  # fmt: skip
RESNET_PROCESSOR = {
    "crop_pct": 0.875, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "ConvNextFeatureExtractor", "image_mean": IMAGENET_MEAN,
    "image_std": IMAGENET_DEVIATION, "resample": 3, "size": 224,
}  # fmt: skip
VIT_PROCESSOR = {
    "do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": 224,
}  # fmt: skip
