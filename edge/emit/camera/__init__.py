"""C between a camera and a model: decoding, cropping, resizing and quantizing, row by row."""
