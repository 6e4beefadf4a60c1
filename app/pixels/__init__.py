"""Pixel data: decoded, encoded, transcoded and rendered, in worker processes of limited memory and time."""
