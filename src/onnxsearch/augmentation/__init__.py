"""Augmented spaces: beside the vectors of a model, vectors that an album has taught.

The mean of the album is taken off each vector, and each is moved towards its nearest
neighbours: x' = unit(x + sum of max(0, x.y)^alpha y over its n nearest y), the image itself
not among them. This is database-side feature augmentation (Arandjelovic and Zisserman, Three
things everyone should know to improve object retrieval, CVPR 2012, section 4), with the
weights of alpha query expansion (Radenovic, Tolias and Chum, Fine-tuning CNN image retrieval
with no human annotation, TPAMI 2019, section 4.3).

A space is a model to searches: `AugmentedModel` embeds with the model below and moves the
query like a stored image. Its vectors are in a collection of their own, under the keys that
the images have, and the records list it like every model. So images are removed, replaced
and changed with it.

What it was made with is in a cell of the metadata store (`onnxsearch.catalog.augmented_spaces`).
A space is searched only once that cell says that all images have been moved. Rows are derived
and can be made again, so that a refresh overwrites them, unlike all other rows.
"""
