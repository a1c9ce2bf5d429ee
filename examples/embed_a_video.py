"""Print the videos nearest to another: python examples/embed_a_video.py CHECKPOINT QUERY.mp4 VIDEO.mp4 VIDEO.mp4 ..."""

import sys

import numpy as np

import vimix


def main(checkpoint: str, query: str, *videos: str) -> None:
    encoder = vimix.load_encoder(checkpoint)  # last.pt, the folder of a stage, or an exported .safetensors
    features = vimix.embed_videos([query, *videos], encoder)  # [1 + N, D]
    features -= features[1:].mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features[1:] @ features[0]
    for number in np.argsort(-cosines)[:5]:
        print(f"{cosines[number]:.3f}  {videos[number]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
